//! The graph of an architecture as exporters write it: inputs `input_ids`, `attention_mask`, `position_ids` and
//! `past_key_values.N.{key,value}`, outputs `logits` and `present.N.{key,value}`, parameters under the names that transformers
//! gives them. Matrices have no data; gains are 1 and biases 0.

use onnx_import::{DataType, Setting, Size};

use super::{
    architecture::{Activation, Architecture, HeadsNorm},
    nodes::Nodes,
    positions::Layout,
};

/// Sizes that are names.
pub(super) const BATCH: Size<'_> = Size::Named("batch_size");
pub(super) const SEQUENCE: Size<'_> = Size::Named("sequence_length");
const PAST: Size<'_> = Size::Named("past_sequence_length");
const TOTAL: Size<'_> = Size::Named("past_sequence_length + sequence_length");

/// Writes the model.
pub(super) fn write(name: &str, of: &Architecture) -> Vec<u8> {
    let mut nodes = Nodes::new(name);
    let table = "model.embed_tokens.weight";
    nodes.writer.input("input_ids", DataType::I64, &[BATCH, SEQUENCE]);
    let mut layout = Layout::new(&mut nodes);
    nodes.writer.absent(table, DataType::F32, &[of.vocabulary, of.hidden]);
    let mut x = nodes.with("Gather", &[table, "input_ids"], &[("axis", Setting::Int(0))]);
    if let Some(scale) = of.embedding_scale {
        let scale = nodes.float(scale);
        x = nodes.add("Mul", &[&x, &scale]);
    }
    for layer in 0..of.layers {
        nodes.scope = format!("model.layers.{layer}");
        let mut layer = Layer { nodes: &mut nodes, of, index: layer };
        x = layer.write(&x, &mut layout);
    }
    nodes.scope = "model".to_owned();
    let x = norm(&mut nodes, &x, ("model.norm.weight", of.hidden), of.epsilon);
    head(&mut nodes, of, &x, table);
    nodes.finish()
}

/// The logits.
fn head(nodes: &mut Nodes, of: &Architecture, x: &str, table: &str) {
    let matrix = if of.tied {
        nodes.transpose(table, &[1, 0])
    } else {
        nodes.writer.absent("lm_head.weight", DataType::F32, &[of.hidden, of.vocabulary]);
        "lm_head.weight".to_owned()
    };
    let logits: (&str, &[Size<'_>]) = ("logits", &[BATCH, SEQUENCE, Size::Fixed(of.vocabulary)]);
    let Some(cap) = of.logits_softcap else { return nodes.output("MatMul", &[x, &matrix], logits) };
    let cap = nodes.float(cap);
    let product = nodes.add("MatMul", &[x, &matrix]);
    let small = nodes.add("Div", &[&product, &cap]);
    let bent = nodes.add("Tanh", &[&small]);
    nodes.output("Mul", &[&bent, &cap], logits);
}

/// `x / rms(x) * gain`, of the last dimension.
fn norm(nodes: &mut Nodes, x: &str, (gain, width): (&str, usize), epsilon: f32) -> String {
    nodes.vector(gain, width, 1.0);
    nodes.with(
        "RMSNormalization",
        &[x, gain],
        &[("axis", Setting::Int(-1)), ("epsilon", Setting::Float(epsilon))],
    )
}

/// One layer.
struct Layer<'a> {
    nodes: &'a mut Nodes,
    of: &'a Architecture,
    index: usize,
}

impl Layer<'_> {
    fn write(&mut self, x: &str, layout: &mut Layout) -> String {
        let behind = self.of.norms_behind;
        let before = self.norm(x, "input_layernorm");
        let mut seen = self.attention(&before, layout);
        if behind {
            seen = self.norm(&seen, "post_attention_layernorm");
        }
        let x = self.nodes.add("Add", &[x, &seen]);
        let name = if behind { "pre_feedforward_layernorm" } else { "post_attention_layernorm" };
        let before = self.norm(&x, name);
        let mut more = self.feed_forward(&before);
        if behind {
            more = self.norm(&more, "post_feedforward_layernorm");
        }
        self.nodes.add("Add", &[&x, &more])
    }

    fn parameter(&self, name: &str) -> String {
        format!("model.layers.{}.{name}", self.index)
    }

    fn norm(&mut self, x: &str, name: &str) -> String {
        let gain = self.parameter(&format!("{name}.weight"));
        norm(self.nodes, x, (&gain, self.of.hidden), self.of.epsilon)
    }

    /// The product with a matrix `[k, n]`.
    fn linear(&mut self, x: &str, name: &str, [k, n]: [usize; 2], bias: bool) -> String {
        let matrix = self.parameter(&format!("{name}.weight"));
        self.nodes.writer.absent(&matrix, DataType::F32, &[k, n]);
        let product = self.nodes.add("MatMul", &[x, &matrix]);
        if !bias {
            return product;
        }
        let bias = self.parameter(&format!("{name}.bias"));
        self.nodes.vector(&bias, n, 0.0);
        self.nodes.add("Add", &[&product, &bias])
    }

    /// Queries, keys and values, `[batch, positions, heads * head_dim]`.
    fn projections(&mut self, x: &str) -> [String; 3] {
        let of = self.of;
        let (own, shared) = (of.heads * of.head_dim, of.kv_heads * of.head_dim);
        let parts = [("q_proj", own), ("k_proj", shared), ("v_proj", shared)];
        if !of.fused_heads {
            let (hidden, bias) = (of.hidden, of.heads_bias);
            return parts.map(|(name, n)| self.linear(x, &format!("self_attn.{name}"), [hidden, n], bias));
        }
        let all = self.linear(x, "self_attn.qkv_proj", [of.hidden, own + 2 * shared], of.heads_bias);
        let mut end = 0;
        parts.map(|(_, n)| {
            let start = end;
            end += n as i64;
            self.nodes.slice(&all, start, end, 1)
        })
    }

    /// `[batch, heads, positions, head_dim]`, normalised where the architecture does.
    fn heads(&mut self, x: &str, heads: usize, gain: Option<&str>) -> String {
        let of = self.of;
        let split = self.nodes.reshape(x, &[0, 0, heads as i64, of.head_dim as i64]);
        let gain = gain.map(|name| self.parameter(name));
        let normal = |nodes: &mut Nodes, x: String, at: HeadsNorm| match &gain {
            Some(gain) if of.heads_norm == Some(at) => norm(nodes, &x, (gain, of.head_dim), of.epsilon),
            _ => x,
        };
        let split = normal(self.nodes, split, HeadsNorm::BehindPositions);
        let heads = self.nodes.transpose(&split, &[0, 2, 1, 3]);
        normal(self.nodes, heads, HeadsNorm::BeforePositions)
    }

    fn attention(&mut self, x: &str, layout: &mut Layout) -> String {
        let of = self.of;
        let sliding = of.slides(self.index);
        let mask = layout.mask(self.nodes, sliding.map(|s| s.window));
        let theta = sliding.map_or(of.rope.theta, |s| s.theta);
        let turns = layout.turns(self.nodes, of, theta);
        let [q, k, v] = self.projections(x);
        let q = self.heads(&q, of.heads, Some("self_attn.q_norm.weight"));
        let k = self.heads(&k, of.kv_heads, Some("self_attn.k_norm.weight"));
        let v = self.heads(&v, of.kv_heads, None);
        let [q, k] = [q, k].map(|heads| turns.turn(self.nodes, of, &heads));
        let (k, v) = (self.cached("key", &k), self.cached("value", &v));
        let scale = of.attention_scale.unwrap_or((of.head_dim as f32).sqrt().recip());
        let cap = of.attention_softcap.unwrap_or(0.0);
        let attributes = [("scale", Setting::Float(scale)), ("softcap", Setting::Float(cap))];
        let seen = self.nodes.with("Attention", &[&q, &k, &v, &mask], &attributes);
        let turned = self.nodes.transpose(&seen, &[0, 2, 1, 3]);
        let joined = self.nodes.reshape(&turned, &[0, 0, -1]);
        self.linear(&joined, "self_attn.o_proj", [of.heads * of.head_dim, of.hidden], false)
    }

    /// New keys or values behind those of the cache.
    fn cached(&mut self, kind: &str, new: &str) -> String {
        let (past, present) =
            (format!("past_key_values.{}.{kind}", self.index), format!("present.{}.{kind}", self.index));
        let (heads, width) = (Size::Fixed(self.of.kv_heads), Size::Fixed(self.of.head_dim));
        let writer = &mut self.nodes.writer;
        writer.input(&past, DataType::F32, &[BATCH, heads, PAST, width]);
        writer.node("Concat", &[&past, new], &[&present], &[("axis", Setting::Int(-2))]);
        writer.output(&present, DataType::F32, &[BATCH, heads, TOTAL, width]);
        present
    }

    fn feed_forward(&mut self, x: &str) -> String {
        let of = self.of;
        let (hidden, width) = (of.hidden, of.feed_forward);
        let [gate, up] = if of.fused_gate {
            let both = self.linear(x, "mlp.gate_up_proj", [hidden, 2 * width], false);
            let middle = width as i64;
            [self.nodes.slice(&both, 0, middle, 1), self.nodes.slice(&both, middle, 2 * middle, 1)]
        } else {
            ["mlp.gate_proj", "mlp.up_proj"].map(|name| self.linear(x, name, [hidden, width], false))
        };
        let open = match of.activation {
            Activation::Silu => {
                let sigmoid = self.nodes.add("Sigmoid", &[&gate]);
                self.nodes.add("Mul", &[&gate, &sigmoid])
            }
            Activation::GeluTanh => {
                self.nodes.with("Gelu", &[&gate], &[("approximate", Setting::Text("tanh"))])
            }
        };
        let through = self.nodes.add("Mul", &[&open, &up]);
        self.linear(&through, "mlp.down_proj", [width, hidden], false)
    }
}
