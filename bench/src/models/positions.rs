//! What depends on positions alone, and is the same for all layers of a kind: masks, and how far heads are turned.

use onnx_import::{DataType, Setting, Size};

use super::{
    architecture::Architecture,
    decoder::{BATCH, SEQUENCE},
    nodes::Nodes,
};

/// Masks and rotations that there are so far.
pub(super) struct Layout {
    /// Positions of the new tokens `[1, 1, sequence, 1]`, of all keys `[1, 1, 1, total]`.
    queries: String,
    keys: String,
    /// Whether a key is no padding and not behind a query, `[batch, 1, sequence, total]`.
    causal: String,
    /// `position_ids` as numbers, `[batch, sequence, 1]`.
    positions: String,
    windows: Vec<(usize, String)>,
    turns: Vec<(f64, Turns)>,
}

/// Cosines and sines of how far each element is turned, `[batch, 1, sequence, width]`.
#[derive(Clone)]
pub(super) struct Turns {
    cos: String,
    sin: String,
}

impl Layout {
    /// Adds the inputs `attention_mask` and `position_ids`.
    pub fn new(nodes: &mut Nodes) -> Self {
        let all = Size::Named("total_sequence_length");
        nodes.writer.input("attention_mask", DataType::I64, &[BATCH, all]);
        nodes.writer.input("position_ids", DataType::I64, &[BATCH, SEQUENCE]);
        let size = |nodes: &mut Nodes, x: &str, axis: i64| {
            let range = [("start", Setting::Int(axis)), ("end", Setting::Int(axis + 1))];
            let size = nodes.with("Shape", &[x], &range);
            nodes.add("Squeeze", &[&size])
        };
        let new = size(nodes, "input_ids", 1);
        let past = size(nodes, "past_key_values.0.key", 2);
        let total = nodes.add("Add", &[&past, &new]);
        let [zero, one] = [0, 1].map(|n| nodes.integer(n));
        let from_zero = nodes.add("Range", &[&zero, &new, &one]);
        let queries = nodes.add("Add", &[&from_zero, &past]);
        let queries = nodes.unsqueeze(&queries, &[0, 1, 3]);
        let keys = nodes.add("Range", &[&zero, &total, &one]);
        let keys = nodes.unsqueeze(&keys, &[0, 1, 2]);
        let before = nodes.add("LessOrEqual", &[&keys, &queries]);
        let text = nodes.cast("attention_mask", DataType::Bool);
        let text = nodes.unsqueeze(&text, &[1, 2]);
        let causal = nodes.add("And", &[&before, &text]);
        let positions = nodes.unsqueeze("position_ids", &[2]);
        let positions = nodes.cast(&positions, DataType::F32);
        Self { queries, keys, causal, positions, windows: Vec::new(), turns: Vec::new() }
    }

    /// What queries see, within so many positions.
    pub fn mask(&mut self, nodes: &mut Nodes, window: Option<usize>) -> String {
        let Some(window) = window else { return self.causal.clone() };
        if let Some((_, mask)) = self.windows.iter().find(|(w, _)| *w == window) {
            return mask.clone();
        }
        let size = nodes.integer(window as i64);
        let first = nodes.add("Sub", &[&self.queries, &size]);
        let near = nodes.add("Greater", &[&self.keys, &first]);
        let mask = nodes.add("And", &[&self.causal, &near]);
        self.windows.push((window, mask.clone()));
        mask
    }

    /// How far heads are turned, with this base.
    pub fn turns(&mut self, nodes: &mut Nodes, of: &Architecture, theta: f64) -> Turns {
        if let Some((_, turns)) = self.turns.iter().find(|(t, _)| *t == theta) {
            return turns.clone();
        }
        let width = of.turned();
        let name = format!("model.rotary_emb.inv_freq_{}", self.turns.len());
        nodes.writer.floats(&name, &[width / 2], &of.rope.frequencies(width, theta));
        let angles = nodes.add("Mul", &[&self.positions, &name]);
        let angles = nodes.concat(&[&angles, &angles], -1);
        let [cos, sin] = ["Cos", "Sin"].map(|op| nodes.add(op, &[&angles]));
        let [cos, sin] = [cos, sin].map(|table| {
            let table = nodes.unsqueeze(&table, &[1]);
            if of.rope.interleaved { by_pairs(nodes, &table, width as i64) } else { table }
        });
        let turns = Turns { cos, sin };
        self.turns.push((theta, turns.clone()));
        turns
    }
}

/// The first half of a table, each element twice.
fn by_pairs(nodes: &mut Nodes, table: &str, width: i64) -> String {
    let half = nodes.slice(table, 0, width / 2, 1);
    let pairs = nodes.unsqueeze(&half, &[4]);
    let twice = nodes.integers(&[1, 1, 1, 1, 2]);
    let pairs = nodes.add("Expand", &[&pairs, &twice]);
    nodes.reshape(&pairs, &[0, 0, 0, width])
}

impl Turns {
    /// Turns the first elements of heads `[batch, heads, sequence, head_dim]`.
    pub fn turn(&self, nodes: &mut Nodes, of: &Architecture, heads: &str) -> String {
        let (width, all) = (of.turned() as i64, of.head_dim as i64);
        let first = if width == all { heads.to_owned() } else { nodes.slice(heads, 0, width, 1) };
        let across = if of.rope.interleaved {
            let even = nodes.slice(&first, 0, width, 2);
            let odd = nodes.slice(&first, 1, width, 2);
            let odd = nodes.add("Neg", &[&odd]);
            let [odd, even] = [odd, even].map(|half| nodes.unsqueeze(&half, &[4]));
            let pairs = nodes.concat(&[&odd, &even], -1);
            nodes.reshape(&pairs, &[0, 0, 0, width])
        } else {
            let low = nodes.slice(&first, 0, width / 2, 1);
            let high = nodes.slice(&first, width / 2, width, 1);
            let high = nodes.add("Neg", &[&high]);
            nodes.concat(&[&high, &low], -1)
        };
        let straight = nodes.add("Mul", &[&first, &self.cos]);
        let across = nodes.add("Mul", &[&across, &self.sin]);
        let turned = nodes.add("Add", &[&straight, &across]);
        if width == all {
            return turned;
        }
        let rest = nodes.slice(heads, width, all, 1);
        nodes.concat(&[&turned, &rest], -1)
    }
}
