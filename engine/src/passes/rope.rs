//! Rotary embedding as exporters spell it: `x * cos + concat(-x[half..], x[..half]) * sin`, or, where neighbours are
//! pairs, with `-x[1], x[0], -x[3], x[2], …` in place of the concat.

use std::sync::Arc;

use symbolic::Expr;

use super::pattern::{Cx, Misfit, Pattern, Rewrite};
use crate::{
    graph::{Node, ValueId},
    ops::rope,
};

pub(super) struct Rope;

impl Pattern for Rope {
    fn name(&self) -> &'static str {
        "RoPE"
    }

    fn tells(&self, cx: &Cx<'_>, node: &Node) -> bool {
        node.op.name() == "Concat" && node.input(0).and_then(|v| negated(cx, v)).is_some()
    }

    fn apply(&self, cx: &Cx<'_>, node: &Node) -> Result<Rewrite, Misfit> {
        let Turned { x, width, value: turned, interleaved } = turned(cx, node)?;
        let by_sin =
            cx.only_reader(turned, "Mul").ok_or("the turned half goes elsewhere than into one product")?;
        let sin = other(by_sin, turned).ok_or("the turned half is squared")?;
        let sum = cx
            .only_reader(by_sin.outputs[0], "Add")
            .ok_or("the product with the sine goes elsewhere than into one sum")?;
        let straight = other(sum, by_sin.outputs[0]).ok_or("the product with the sine is doubled")?;
        let cos = cx
            .operands(straight, "Mul")
            .into_iter()
            .find_map(|(a, b)| (a == x).then_some(b))
            .ok_or("the other half of the sum is not the same input times a cosine")?;
        let (cos, sin) = (table(cx, cos, x)?, table(cx, sin, x)?);
        let rotary_dim = width.constant().and_then(|w| usize::try_from(w).ok());
        let rotary_dim = rotary_dim.ok_or("the width is not a number")?;
        let op = rope::Rope { interleaved, rotary_dim, full_table: true };
        let (x, out) = whole_head(cx, x, sum.outputs[0]).unwrap_or((x, sum.outputs[0]));
        Ok(Rewrite::new(out, Arc::new(op), vec![Some(x), Some(cos), Some(sin)]))
    }
}

/// The head whose beginning `part` is, and what it becomes where the rest is put behind the turned part as it was.
fn whole_head(cx: &Cx<'_>, part: ValueId, turned: ValueId) -> Option<(ValueId, ValueId)> {
    let joined = cx.only_reader(turned, "Concat")?;
    let [Some(first), Some(rest)] = joined.inputs.as_slice() else { return None };
    let (begin, rest) = (last_slice(cx, part)?, last_slice(cx, *rest)?);
    let follows = begin.source == rest.source && begin.start == Expr::ZERO && rest.start == begin.width;
    let shape = |value: ValueId| cx.graph.fact(value).map(|f| &f.shape);
    let whole = shape(joined.outputs[0]) == shape(begin.source) && [begin.step, rest.step] == [1, 1];
    (*first == turned && follows && whole).then_some((begin.source, joined.outputs[0]))
}

fn other(node: &Node, one: ValueId) -> Option<ValueId> {
    match (node.input(0)?, node.input(1)?) {
        (a, b) if a == one && b != one => Some(b),
        (a, b) if b == one && a != one => Some(a),
        _ => None,
    }
}

/// The pairs of `x [batch, heads, seq, width]`, turned by a right angle.
struct Turned {
    x: ValueId,
    width: Expr,
    value: ValueId,
    interleaved: bool,
}

/// What is negated, before a dimension is put behind it.
fn negated(cx: &Cx<'_>, value: ValueId) -> Option<ValueId> {
    let value = cx.made_by(value, "Unsqueeze").map_or(Some(value), |n| n.input(0))?;
    cx.made_by(value, "Neg")?.input(0)
}

fn turned(cx: &Cx<'_>, concat: &Node) -> Result<Turned, String> {
    let halves = (concat.input(0), concat.input(1), concat.inputs.len());
    let (Some(first), Some(second), 2) = halves else { return Err("the concat has not two inputs".into()) };
    let high = negated(cx, first).ok_or("the first half is not negated")?;
    let stacked = cx.made_by(first, "Unsqueeze").is_some();
    let low = if stacked { stacked_part(cx, second) } else { Some(second) };
    let low = low.ok_or("the other half has no dimension put behind it")?;
    let high = last_slice(cx, high).ok_or("the negated half is not a slice of the last axis")?;
    let low = last_slice(cx, low).ok_or("the other half is not a slice of the last axis")?;
    let x = high.source;
    let fact = cx.graph.fact(x).ok_or("the input has no type")?;
    let width = fact.shape.last().ok_or("the input is a scalar")?;
    let whole = low.source == x && high.width == low.width && &low.width + &high.width == *width;
    let (start, step) = if stacked { (Expr::ONE, 2) } else { (low.width.clone(), 1) };
    if !whole || low.start != Expr::ZERO || high.start != start || [low.step, high.step] != [step; 2] {
        return Err("the two slices are not the two halves of one value".into());
    }
    if fact.rank() != 4 {
        return Err(format!("the input has {} dimensions, not [batch, heads, seq, head_dim]", fact.rank()));
    }
    let value = if stacked { interleaved(cx, concat, first, x)? } else { concat.outputs[0] };
    let sizes = cx.graph.fact(value).map(|f| &f.shape);
    if sizes != Some(&fact.shape) {
        return Err("the halves are joined along another axis".into());
    }
    Ok(Turned { x, width: width.clone(), value, interleaved: stacked })
}

/// The part before a last dimension of size 1 is put behind it.
fn stacked_part(cx: &Cx<'_>, value: ValueId) -> Option<ValueId> {
    let part = cx.made_by(value, "Unsqueeze")?.input(0)?;
    let mut shape = cx.graph.fact(part)?.shape.clone();
    shape.push(Expr::ONE);
    (cx.graph.fact(value)?.shape == shape).then_some(part)
}

/// The value in which parts that are stacked behind one another alternate.
fn interleaved(cx: &Cx<'_>, concat: &Node, part: ValueId, x: ValueId) -> Result<ValueId, String> {
    let pairs = concat.outputs[0];
    let mut shape = cx.graph.fact(part).map(|f| f.shape.clone()).unwrap_or_default();
    if let Some(last) = shape.last_mut() {
        *last = Expr::from(2);
    }
    let stacked = stacked_part(cx, part).is_some() && cx.graph.fact(pairs).is_some_and(|f| f.shape == shape);
    let joined = cx.only_reader(pairs, "Reshape").filter(|_| stacked);
    let joined = joined.ok_or("the pairs are not stacked behind one another and then joined")?.outputs[0];
    let sizes = |value: ValueId| cx.graph.fact(value).map(|f| &f.shape);
    if sizes(joined) != sizes(x) {
        return Err("the pairs are joined into another shape".into());
    }
    Ok(joined)
}

/// A slice of the last axis.
struct Cut {
    source: ValueId,
    start: Expr,
    step: i64,
    width: Expr,
}

fn last_slice(cx: &Cx<'_>, value: ValueId) -> Option<Cut> {
    if let Some(node) = cx.made_by(value, "Split") {
        let source = node.input(0)?;
        let at = node.outputs.iter().position(|o| *o == value)?;
        let widths: Option<Vec<&Expr>> =
            node.outputs.iter().map(|o| cx.graph.fact(*o)?.shape.last()).collect();
        let widths = widths?;
        let start = widths[..at].iter().fold(Expr::from(0), |sum, w| &sum + *w);
        let total = widths.iter().fold(Expr::from(0), |sum, w| &sum + *w);
        let whole = cx.graph.fact(source)?.shape.last()? == &total;
        return whole.then(|| Cut { source, start, step: 1, width: widths[at].clone() });
    }
    let node = cx.made_by(value, "Slice")?;
    let source = node.input(0)?;
    let (from, to) = (cx.graph.fact(source)?, cx.graph.fact(value)?);
    let last = from.rank().checked_sub(1)?;
    if from.shape[..last] != to.shape[..last] {
        return None;
    }
    let known = |index: usize| cx.graph.fact(node.input(index)?)?.content.clone();
    let one = |index: usize| known(index).filter(|c| c.len() == 1).map(|c| c[0].clone());
    let axis = one(3)?.constant()?;
    let step = if node.input(4).is_some() { one(4)?.constant()? } else { 1 };
    let start = one(1)?;
    let start = if start.constant()? < 0 { &start + &from.shape[last] } else { start };
    let fits = axis == -1 || axis == last as i64;
    fits.then(|| Cut { source, start, step, width: to.shape[last].clone() })
}

/// The `[batch or 1, seq, width]` behind a cosine or sine that is broadcast over the heads of `x`, and over nothing else
/// but its batch; itself where there is none.
fn table(cx: &Cx<'_>, value: ValueId, x: ValueId) -> Result<ValueId, String> {
    let name = &cx.graph.value(value).name;
    let shape = |value| cx.graph.fact(value).map(|f| f.shape.as_slice());
    let (Some(found), Some([batch, _, seq, width])) = (shape(value), shape(x)) else {
        return Err(format!("the table {name:?} has no type"));
    };
    let wide = |b: &Expr| b == batch || *b == Expr::ONE;
    let [b, one, s, w] = found else { return Err(format!("the table {name:?} has not four dimensions")) };
    if !wide(b) || *one != Expr::ONE || s != seq || w != width {
        return Err(format!("the table {name:?} is {found:?}, not [{batch} or 1, 1, {seq}, {width}]"));
    }
    let node = cx.producer(value).filter(|n| matches!(n.op.name(), "Unsqueeze" | "Reshape"));
    let source = node.and_then(|n| n.input(0));
    let flat = source.filter(|flat| matches!(shape(*flat), Some([fb, fs, fw]) if [fb, fs, fw] == [b, s, w]));
    Ok(flat.unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use symbolic::{Expr, Symbol};

    use super::Rope;
    use crate::{
        dtype::DType,
        graph::{Fact, Graph, ValueId},
        host::HostTensor,
        op::Op,
        ops::{binary::Binary, concat::Concat, reshape::Reshape, rope, slice::Slice, unary::Unary},
        passes::{Report, pattern::rewrite},
    };

    fn add(graph: &mut Graph, op: impl Op, inputs: &[ValueId]) -> ValueId {
        let name = format!("value {}", graph.values.len());
        graph.add_node(&name, Arc::new(op), inputs.iter().copied().map(Some).collect(), None)
    }

    fn list(graph: &mut Graph, values: &[i64]) -> ValueId {
        let name = format!("list {}", graph.values.len());
        graph.add_constant(&name, HostTensor::from_i64(vec![values.len()], values).unwrap())
    }

    /// The rotation of `x [batch, 3, seq, 8]` by tables `[batch, seq, 8]`, fused if it can be.
    fn fused(x: [&Expr; 2], tables: [[&Expr; 2]; 2]) -> (Graph, Report) {
        let mut graph = Graph::default();
        let input = |graph: &mut Graph, name: &str, shape: Vec<Expr>| {
            let id = graph.add_value(name, Some(Fact::new(DType::F32, shape)));
            graph.inputs.push(id);
            id
        };
        let eight = Expr::from(8);
        let x = input(&mut graph, "x", vec![x[0].clone(), Expr::from(3), x[1].clone(), eight.clone()]);
        let [cos, sin] = [("cos", tables[0]), ("sin", tables[1])].map(|(name, [batch, seq])| {
            let flat = input(&mut graph, name, vec![batch.clone(), seq.clone(), eight.clone()]);
            let size = |e: &Expr| e.constant().unwrap_or(-1);
            let shape = list(&mut graph, &[size(batch), 1, size(seq), 8]);
            add(&mut graph, Reshape { allow_zero: false }, &[flat, shape])
        });
        let [zero, four, eight, axis] = [0, 4, 8, 3].map(|n| list(&mut graph, &[n]));
        let low = add(&mut graph, Slice, &[x, zero, four, axis]);
        let high = add(&mut graph, Slice, &[x, four, eight, axis]);
        let negated = add(&mut graph, Unary::Neg, &[high]);
        let turned = add(&mut graph, Concat { axis: -1 }, &[negated, low]);
        let by_sin = add(&mut graph, Binary::Mul, &[turned, sin]);
        let by_cos = add(&mut graph, Binary::Mul, &[x, cos]);
        let sum = add(&mut graph, Binary::Add, &[by_cos, by_sin]);
        graph.outputs.push(sum);
        crate::infer::infer(&mut graph).unwrap();
        let mut report = Report::default();
        rewrite(&mut graph, &Rope, &mut report).unwrap();
        (graph, report)
    }

    #[test]
    fn tables_of_one_or_each_batch_are_fused() {
        let (one, two, four) = (Expr::ONE, Expr::from(2), Expr::from(4));
        let seq = Expr::from(&Symbol::new("seq").with_range(1, 64));
        for (x, cos, sin) in [
            ([&two, &four], [&two, &four], [&two, &four]),
            ([&two, &four], [&one, &four], [&two, &four]),
            ([&one, &seq], [&one, &seq], [&one, &seq]),
        ] {
            let (graph, report) = fused(x, [cos, sin]);
            assert_eq!(report.refused, [], "{graph}");
            assert!(graph.nodes.iter().any(|n| n.op_as::<rope::Rope>().is_some()), "{graph}");
        }
    }

    #[test]
    fn other_broadcasts_are_not_fused() {
        let (one, two, four) = (Expr::ONE, Expr::from(2), Expr::from(4));
        let seq = Expr::from(&Symbol::new("seq").with_range(1, 64));
        for (x, cos, sin) in [
            ([&two, &four], [&two, &one], [&two, &four]),
            ([&two, &four], [&two, &four], [&two, &one]),
            ([&one, &four], [&two, &four], [&two, &four]),
            ([&one, &one], [&one, &four], [&one, &four]),
            ([&one, &seq], [&one, &one], [&one, &one]),
        ] {
            let (graph, report) = fused(x, [cos, sin]);
            assert!(graph.nodes.iter().all(|n| n.op_as::<rope::Rope>().is_none()), "{graph}");
            let [refusal] = report.refused.as_slice() else { panic!("{graph}") };
            assert!(refusal.reason.starts_with("the table "), "{}", refusal.reason);
        }
    }
}
