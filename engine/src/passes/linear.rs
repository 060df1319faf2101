//! Products with constant matrices and look-ups in constant tables: what weights are packed for.

use std::collections::HashSet;
use std::sync::Arc;

use super::{
    Report,
    pattern::{Cx, Rewrite, apply_all},
};
use crate::{
    error::EngineError,
    graph::{Graph, Node, ValueId},
    host::WeightFormat,
    ops::{gather, gather_rows, linear, transpose},
};

/// How weights are held on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeightFormats {
    /// Matrices inside the layers.
    pub layers: WeightFormat,
    /// The embedding table, and the output head that shares it.
    pub embedding: WeightFormat,
    /// The output head where it is a matrix of its own.
    pub head: WeightFormat,
}

impl WeightFormats {
    /// One format for all.
    #[must_use]
    pub fn uniform(format: WeightFormat) -> Self {
        Self { layers: format, embedding: format, head: format }
    }
}

/// Tables smaller than this are looked up as plain data.
const TABLE: i64 = 1 << 12;

/// Rewrites products and look-ups; then sums with what a product alone feeds become its residual.
pub(super) fn run(
    graph: &mut Graph,
    formats: &WeightFormats,
    fuse: bool,
    report: &mut Report,
) -> Result<(), EngineError> {
    let cx = Cx::new(graph);
    let tables: HashSet<ValueId> = cx.graph.nodes.iter().filter_map(|n| table(&cx, n)).collect();
    let mut rewrites = Vec::new();
    for node in &cx.graph.nodes {
        if let Some(matrix) = table(&cx, node) {
            let op = gather_rows::GatherRows { format: fitting(&cx, matrix, false, formats.embedding) };
            let inputs = vec![Some(matrix), node.input(1)];
            rewrites.push(Rewrite { replaces: node.outputs[0], op: Arc::new(op), inputs });
        } else if let Some((x, matrix, transposed)) = product(&cx, node) {
            let wanted = if tables.contains(&matrix) {
                formats.embedding
            } else if cx.graph.outputs.contains(&cx.after_casts(node.outputs[0])) {
                formats.head
            } else {
                formats.layers
            };
            let format = fitting(&cx, matrix, transposed, wanted);
            let op = linear::Linear { format, transposed, residual: false };
            let inputs = vec![Some(x), Some(matrix)];
            rewrites.push(Rewrite { replaces: node.outputs[0], op: Arc::new(op), inputs });
        }
    }
    *report.applied.entry("Linear").or_default() += rewrites.len();
    apply_all(graph, rewrites)?;
    if fuse { residuals(graph, report) } else { Ok(()) }
}

/// The table of a look-up of rows.
fn table(cx: &Cx<'_>, node: &Node) -> Option<ValueId> {
    let op = node.op_as::<gather::Gather>()?;
    let data = node.input(0)?;
    let fact = cx.graph.fact(data)?;
    let fits = fact.rank() == 2 && fact.dtype.is_float() && matches!(op.axis, 0 | -2);
    (fits && cx.graph.is_constant(data) && fact.len().constant()? >= TABLE).then_some(data)
}

/// Activation, matrix and whether the matrix is stored `[k, n]`.
fn product(cx: &Cx<'_>, node: &Node) -> Option<(ValueId, ValueId, bool)> {
    if node.op.name() != "MatMul" {
        return None;
    }
    let (x, matrix) = (node.input(0)?, node.input(1)?);
    let (left, right) = (cx.graph.fact(x)?, cx.graph.fact(matrix)?);
    if right.rank() != 2 || left.rank() < 2 || !right.dtype.is_float() || cx.graph.is_constant(x) {
        return None;
    }
    if cx.graph.is_constant(matrix) {
        return Some((x, matrix, true));
    }
    let turned = cx.producer(matrix)?;
    if turned.op_as::<transpose::Transpose>()?.perm_of(2) != [1, 0] {
        return None;
    }
    let stored = turned.input(0)?;
    cx.graph.is_constant(stored).then_some((x, stored, false))
}

/// The wanted format, or f16 where the width does not fill its words. A matrix that is quantised already keeps its codes,
/// or is held in f16 where no format has such groups, unless plain floats are wanted.
fn fitting(cx: &Cx<'_>, matrix: ValueId, transposed: bool, wanted: WeightFormat) -> WeightFormat {
    if let (Some(blocks), Some(_)) = (cx.graph.blocks(matrix), wanted.group()) {
        return blocks.grid().format().unwrap_or(WeightFormat::F16);
    }
    let k = cx.graph.fact(matrix).and_then(|f| f.shape[usize::from(!transposed)].constant()).unwrap_or(0);
    let fits = usize::try_from(k).is_ok_and(|k| wanted.accepts(k));
    if fits { wanted } else { WeightFormat::F16 }
}

fn residuals(graph: &mut Graph, report: &mut Report) -> Result<(), EngineError> {
    let cx = Cx::new(graph);
    let mut rewrites = Vec::new();
    let mut taken = HashSet::new();
    for node in &cx.graph.nodes {
        let Some(op) = node.op_as::<linear::Linear>() else { continue };
        let out = node.outputs[0];
        let Some(sum) = cx.only_reader(out, "Add") else { continue };
        let other = sum.inputs.iter().flatten().find(|v| **v != out);
        let same = |v: ValueId| cx.graph.fact(v).map(|f| &f.shape) == cx.graph.fact(out).map(|f| &f.shape);
        if let Some(other) =
            other.filter(|v| same(**v) && !cx.graph.is_constant(**v) && taken.insert(sum.outputs[0]))
        {
            let op = linear::Linear { residual: true, ..op.clone() };
            let inputs = vec![node.input(0), node.input(1), Some(*other)];
            rewrites.push(Rewrite { replaces: sum.outputs[0], op: Arc::new(op), inputs });
        }
    }
    *report.applied.entry("Residual").or_default() += rewrites.len();
    apply_all(graph, rewrites)
}
