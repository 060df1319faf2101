//! Products with constant matrices and look-ups in constant tables: what weights are packed for.

use std::collections::HashSet;
use std::sync::Arc;

use symbolic::Expr;

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

/// Rewrites products and look-ups.
pub(super) fn run(
    graph: &mut Graph,
    formats: &WeightFormats,
    report: &mut Report,
) -> Result<(), EngineError> {
    let cx = Cx::new(graph);
    let tables: HashSet<ValueId> =
        cx.graph.nodes.iter().filter_map(|n| table(&cx, n)).map(|(matrix, _)| matrix).collect();
    let mut rewrites = Vec::new();
    for node in &cx.graph.nodes {
        if let Some((matrix, transposed)) = table(&cx, node) {
            let format = fitting(&cx, matrix, transposed, formats.embedding);
            let op = gather_rows::GatherRows { format, transposed };
            let inputs = vec![Some(matrix), node.input(1)];
            rewrites.push(Rewrite::new(node.outputs[0], Arc::new(op), inputs));
        } else if let Some((x, matrix, transposed)) = product(&cx, node) {
            let wanted = if tables.contains(&matrix) {
                formats.embedding
            } else if cx.graph.outputs.contains(&cx.after_casts(node.outputs[0])) {
                formats.head
            } else {
                formats.layers
            };
            let format = fitting(&cx, matrix, transposed, wanted);
            let op = linear::Linear::new(format, transposed);
            let inputs = vec![Some(x), Some(matrix)];
            rewrites.push(Rewrite::new(node.outputs[0], Arc::new(op), inputs));
        }
    }
    *report.applied.entry("Linear").or_default() += rewrites.len();
    apply_all(graph, rewrites)
}

/// The table of a look-up of rows, and whether it is stored `[width, rows]`.
fn table(cx: &Cx<'_>, node: &Node) -> Option<(ValueId, bool)> {
    let op = node.op_as::<gather::Gather>()?;
    let data = node.input(0)?;
    let fact = cx.graph.fact(data)?;
    let fits = fact.rank() == 2 && fact.dtype.is_float() && matches!(op.axis, 0 | -2);
    if !fits || fact.len().constant()? < TABLE {
        return None;
    }
    if cx.graph.is_constant(data) {
        return Some((data, false));
    }
    turned(cx, data).map(|stored| (stored, true))
}

/// The constant of which a matrix is the transpose.
fn turned(cx: &Cx<'_>, matrix: ValueId) -> Option<ValueId> {
    let node = cx.producer(matrix)?;
    let swapped = node.op_as::<transpose::Transpose>()?.perm_of(2) == [1, 0];
    node.input(0).filter(|stored| swapped && cx.graph.is_constant(*stored))
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
    turned(cx, matrix).map(|stored| (x, stored, false))
}

/// The wanted format, or f16 where the width does not fill its words. A matrix that is quantised already keeps its codes,
/// or is held in f16 where no format has such groups, unless plain floats are wanted.
pub(super) fn fitting(cx: &Cx<'_>, matrix: ValueId, transposed: bool, wanted: WeightFormat) -> WeightFormat {
    if let (Some(blocks), Some(_)) = (cx.graph.blocks(matrix), wanted.group()) {
        let grid = if transposed { blocks.grid().transposed() } else { *blocks.grid() };
        let format = grid.format().filter(|_| grid.k.is_multiple_of(linear::CHUNK));
        return format.unwrap_or(WeightFormat::F16);
    }
    let shape = cx.graph.fact(matrix).map_or(&[][..], |f| &f.shape);
    let k = shape.iter().rev().nth(usize::from(transposed)).and_then(Expr::constant).unwrap_or(0);
    let fits = usize::try_from(k).is_ok_and(|k| wanted.accepts(k));
    if fits { wanted } else { WeightFormat::F16 }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Report, WeightFormats, run};
    use crate::{
        dtype::DType,
        graph::{Fact, Graph},
        host::{HostTensor, WeightFormat},
        ops::{gather, gather_rows, linear, matmul, transpose},
    };

    fn fact(dtype: DType, shape: &[i64]) -> Fact {
        Fact::new(dtype, shape.iter().map(|d| (*d).into()).collect())
    }

    #[test]
    fn a_head_that_is_the_embedding_too_is_packed_once() {
        let mut graph = Graph::default();
        let head = graph.add_constant("head", HostTensor::from_f32(vec![64, 80], &[0.5; 64 * 80]).unwrap());
        let ids = graph.add_value("ids", Some(fact(DType::I64, &[1, 3])));
        let turn = Arc::new(transpose::Transpose { perm: Some(vec![1, 0]) });
        let table = graph.add_node("table", turn, vec![Some(head)], Some(fact(DType::F32, &[80, 64])));
        let look = Arc::new(gather::Gather { axis: 0 });
        let x = graph.add_node("x", look, vec![Some(table), Some(ids)], Some(fact(DType::F32, &[1, 3, 64])));
        let inputs = vec![Some(x), Some(head)];
        let out =
            graph.add_node("out", Arc::new(matmul::MatMul), inputs, Some(fact(DType::F32, &[1, 3, 80])));
        (graph.inputs, graph.outputs) = (vec![ids], vec![out]);
        let format: WeightFormat = "m0e4-g64".parse().unwrap();
        let formats = WeightFormats { embedding: format, ..WeightFormats::uniform(WeightFormat::F32) };
        run(&mut graph, &formats, &mut Report::default()).unwrap();
        let [look, product] = &graph.nodes[..] else { panic!("{} nodes", graph.nodes.len()) };
        assert_eq!(look.op_as(), Some(&gather_rows::GatherRows { format, transposed: true }));
        assert_eq!(product.op_as(), Some(&linear::Linear::new(format, true)));
        assert_eq!((look.input(0), product.input(1)), (Some(head), Some(head)));
    }
}
