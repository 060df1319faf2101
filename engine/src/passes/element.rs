//! What one element of a value is, as a function of its coordinates.
//!
//! Masks and repeated key heads are written by exporters in many ways: ranges, comparisons, gathers, expands and
//! reshapes. Asked for the element at symbolic coordinates, all of them give the same short formula.

use std::cell::Cell;

use symbolic::{Expr, Symbol};

use super::{
    formula::{
        Element::{self, Bool, Float, Int, Load, Set},
        and, binary, cast, choose, non_negative, not, truth,
    },
    pattern::Cx,
};
use crate::{
    dtype::DType,
    graph::{Node, ValueId},
    ops::{concat, gather, gather_nd, pad, split, transpose},
};

/// Nodes looked through before giving up: masks are shallow.
const DEPTH: usize = 64;

/// Coordinates `[batch, head, query, key]` as symbols no larger than the shape allows.
pub(super) fn coordinates(shape: &[Expr]) -> Vec<Expr> {
    let names = ["#batch", "#head", "#query", "#key"];
    let symbol = |(name, size): (&str, &Expr)| match size.constant() {
        Some(1) => Expr::from(0),
        Some(n) => Expr::from(&Symbol::new(name).with_range(0, (n - 1).max(0))),
        None => Expr::from(&Symbol::new(name)),
    };
    names[4 - shape.len().min(4)..].iter().copied().zip(shape).map(symbol).collect()
}

/// The element of `value` at the coordinates `at`, one for each dimension, with all arithmetic followed.
pub(super) fn element(cx: &Cx<'_>, value: ValueId, at: &[Expr]) -> Element {
    Walk { cx, arithmetic: true, stop: None, steps: Cell::new(0) }.element(value, at, DEPTH)
}

/// Like [`element`], but only movement of elements and products with constants are followed, and not past `stop`: a
/// computed float is a load.
pub(super) fn moved_element(cx: &Cx<'_>, value: ValueId, at: &[Expr], stop: Option<ValueId>) -> Element {
    Walk { cx, arithmetic: false, stop, steps: Cell::new(0) }.element(value, at, DEPTH)
}

struct Walk<'a, 'b> {
    cx: &'b Cx<'a>,
    arithmetic: bool,
    stop: Option<ValueId>,
    steps: Cell<usize>,
}

impl Walk<'_, '_> {
    fn element(&self, value: ValueId, at: &[Expr], depth: usize) -> Element {
        self.steps.set(self.steps.get() + 1);
        let load = || if self.is_flag(value) { Set(value, at.to_vec()) } else { Load(value, at.to_vec()) };
        if let Some(known) = self.known(value, at) {
            return known;
        }
        let Some(node) = self.cx.producer(value) else { return load() };
        if depth == 0 || self.steps.get() > 4096 || self.stop == Some(value) {
            return load();
        }
        self.through(node, value, at, depth - 1).unwrap_or_else(load)
    }

    /// Whether the value holds nothing but 0 and 1.
    fn is_flag(&self, value: ValueId) -> bool {
        let graph = self.cx.graph;
        graph.flags.contains(&value) || graph.fact(value).is_some_and(|f| f.dtype == DType::Bool)
    }

    /// Constants and known contents.
    fn known(&self, value: ValueId, at: &[Expr]) -> Option<Element> {
        let fact = self.cx.graph.fact(value)?;
        if let Some(content) = &fact.content {
            let position = flat(&fact.shape, at);
            let index = match position.as_ref().and_then(Expr::constant) {
                _ if content.len() == 1 => 0,
                Some(at) => usize::try_from(at).ok()?,
                None => return progression(&fact.shape, content, at).map(Int),
            };
            let e = content.get(index)?.clone();
            return Some(if fact.dtype == DType::Bool { Bool(e.constant()? != 0) } else { Int(e) });
        }
        self.cx.scalar(value).map(Float)
    }

    fn through(&self, node: &Node, value: ValueId, at: &[Expr], depth: usize) -> Option<Element> {
        let input = |i: usize| node.input(i);
        let fact = |v: ValueId| self.cx.graph.fact(v);
        let operand = |i: usize| {
            let id = input(i)?;
            let shape = &fact(id)?.shape;
            Some(self.element(id, &narrowed(shape, at)?, depth))
        };
        match node.op.name() {
            "Identity" => operand(0),
            "Cast" => {
                let (from, to) = (fact(input(0)?)?.dtype, fact(value)?.dtype);
                let kept = self.arithmetic || from.is_float() == to.is_float();
                kept.then(|| cast(operand(0)?, from, to))?
            }
            "Expand" => operand(0),
            "Unsqueeze" | "Squeeze" | "Reshape" | "Flatten" => {
                let source = input(0)?;
                let coordinates = regroup(&fact(value)?.shape, at, &fact(source)?.shape)?;
                Some(self.element(source, &coordinates, depth))
            }
            "Transpose" => {
                let perm = &node.op_as::<transpose::Transpose>()?.perm_of(at.len());
                let mut coordinates = vec![Expr::from(0); at.len()];
                for (to, from) in perm.iter().enumerate() {
                    *coordinates.get_mut(*from)? = at[to].clone();
                }
                Some(self.element(input(0)?, &coordinates, depth))
            }
            "Range" => {
                let one = |i: usize| fact(input(i)?)?.content.as_ref()?.first().cloned();
                Some(Int(&one(0)? + &(&one(2)? * &at[0])))
            }
            "Gather" => self.gather(node, at, depth),
            "GatherND" => self.gather_nd(node, at, depth),
            "Concat" => self.concat(node, at, depth),
            "Pad" => self.pad(node, at, depth),
            "Slice" => self.slice(node, at, depth),
            "Split" => self.split(node, value, at, depth),
            "Where" => choose(operand(0)?, operand(1)?, operand(2)?),
            "Not" => Some(not(truth(operand(0)?)?)),
            "Neg" => match operand(0)? {
                Int(a) => Some(Int(-&a)),
                Float(a) => Some(Float(-a)),
                _ => None,
            },
            name => {
                let scalar = |i: usize| input(i).is_some_and(|v| self.cx.scalar(v).is_some());
                let followed = self.arithmetic || (matches!(name, "Mul" | "Div") && (scalar(0) || scalar(1)));
                followed.then(|| binary(name, operand(0)?, operand(1)?))?
            }
        }
    }

    fn gather(&self, node: &Node, at: &[Expr], depth: usize) -> Option<Element> {
        let (data, indices) = (node.input(0)?, node.input(1)?);
        let rank = self.cx.graph.fact(data)?.rank();
        let axis = crate::op::Infer::axis(node.op_as::<gather::Gather>()?.axis, rank).ok()?;
        let count = self.cx.graph.fact(indices)?.rank();
        let Int(index) = self.element(indices, at.get(axis..axis + count)?, depth) else { return None };
        let index = from_front(index, &self.cx.graph.fact(data)?.shape[axis])?;
        let mut coordinates = at[..axis].to_vec();
        coordinates.push(index);
        coordinates.extend_from_slice(&at[axis + count..]);
        Some(self.element(data, &coordinates, depth))
    }

    fn gather_nd(&self, node: &Node, at: &[Expr], depth: usize) -> Option<Element> {
        let (data, indices) = (node.input(0)?, node.input(1)?);
        let facts = (self.cx.graph.fact(data)?, self.cx.graph.fact(indices)?);
        let outer = facts.1.rank().checked_sub(1)?;
        let count = usize::try_from(facts.1.shape[outer].constant()?).ok()?;
        if node.op_as::<gather_nd::GatherNd>()?.batch_dims != 0 {
            return None;
        }
        let mut coordinates = Vec::new();
        for which in 0..count {
            let mut position = at.get(..outer)?.to_vec();
            position.push(Expr::from(which as i64));
            let Int(index) = self.element(indices, &position, depth) else { return None };
            coordinates.push(from_front(index, facts.0.shape.get(which)?)?);
        }
        coordinates.extend_from_slice(&at[outer..]);
        Some(self.element(data, &coordinates, depth))
    }

    /// Between the counts before and behind each axis, the input; outside, one value.
    fn pad(&self, node: &Node, at: &[Expr], depth: usize) -> Option<Element> {
        let source = node.input(0)?;
        let fact = self.cx.graph.fact(source)?;
        let filled = node.input(2).map_or(Some(0.0), |v| self.cx.scalar(v))?;
        let pads = self.cx.graph.fact(node.input(1)?)?.content.clone()?;
        let plain = node.op_as::<pad::Pad>()?.mode == pad::Mode::Constant && node.input(3).is_none();
        if !plain || pads.len() != 2 * at.len() {
            return None;
        }
        let (mut inside, mut coordinates) = (Bool(true), Vec::with_capacity(at.len()));
        let (before, behind) = pads.split_at(at.len());
        for (((c, size), before), behind) in at.iter().zip(&fact.shape).zip(before).zip(behind) {
            let own = c - before;
            if [before, behind] == [&Expr::ZERO; 2] {
                coordinates.push(own);
                continue;
            }
            let (first, last) = (non_negative(&own), non_negative(&(&(size - &own) - &Expr::from(1))));
            inside = and(inside, and(first, last));
            coordinates.push(own);
        }
        let outside = if fact.dtype == DType::Bool { Bool(filled != 0.0) } else { Float(filled) };
        choose(inside, self.element(source, &coordinates, depth), outside)
    }

    /// A slice forwards from known starts.
    fn slice(&self, node: &Node, at: &[Expr], depth: usize) -> Option<Element> {
        let source = node.input(0)?;
        let shape = &self.cx.graph.fact(source)?.shape;
        let content = |i: usize| self.cx.graph.fact(node.input(i)?)?.content.as_deref();
        let given = |i: usize| node.input(i).is_none() || content(i).is_some();
        let starts = content(1).filter(|_| given(3) && given(4))?;
        let mut coordinates = at.to_vec();
        for (i, start) in starts.iter().enumerate() {
            let axis = content(3).map_or(Some(i as i64), |axes| axes.get(i)?.constant())?;
            let axis = crate::op::Infer::axis(axis, shape.len()).ok()?;
            let step = content(4).map_or(Some(1), |steps| steps.get(i)?.constant())?;
            let start = from_front(start.clone(), &shape[axis])?;
            if step < 1 || !Expr::ZERO.provably_le(&start) {
                return None;
            }
            coordinates[axis] = &start + &(&at[axis] * &Expr::from(step));
        }
        Some(self.element(source, &coordinates, depth))
    }

    /// One of the parts of known sizes.
    fn split(&self, node: &Node, value: ValueId, at: &[Expr], depth: usize) -> Option<Element> {
        let axis = crate::op::Infer::axis(node.op_as::<split::Split>()?.axis, at.len()).ok()?;
        let mut coordinates = at.to_vec();
        for before in node.outputs.iter().take_while(|output| **output != value) {
            coordinates[axis] = &coordinates[axis] + self.cx.graph.fact(*before)?.shape.get(axis)?;
        }
        Some(self.element(node.input(0)?, &coordinates, depth))
    }

    /// A concat can be looked into where the coordinate is a number.
    fn concat(&self, node: &Node, at: &[Expr], depth: usize) -> Option<Element> {
        let axis = crate::op::Infer::axis(node.op_as::<concat::Concat>()?.axis, at.len()).ok()?;
        let mut position = at[axis].constant()?;
        for input in node.inputs.iter().flatten() {
            let size = self.cx.graph.fact(*input)?.shape[axis].constant()?;
            if position < size {
                let mut coordinates = at.to_vec();
                coordinates[axis] = Expr::from(position);
                return Some(self.element(*input, &coordinates, depth));
            }
            position -= size;
        }
        None
    }
}

/// The element of a constant at coordinates that are not all numbers, if elements grow evenly along those axes.
fn progression(shape: &[Expr], content: &[Expr], at: &[Expr]) -> Option<Expr> {
    let number =
        |here: &[Expr]| content.get(usize::try_from(flat(shape, here)?.constant()?).ok()?)?.constant();
    let open = at.iter().enumerate().filter(|(_, c)| c.constant().is_none());
    let open: Vec<(usize, i64)> =
        open.map(|(axis, _)| Some((axis, shape.get(axis)?.constant()?))).collect::<Option<_>>()?;
    let mut here = at.to_vec();
    open.iter().for_each(|(axis, _)| here[*axis] = Expr::ZERO);
    let first = number(&here)?;
    let mut sum = Expr::from(first);
    let mut steps = Vec::with_capacity(open.len());
    for (axis, size) in &open {
        let mut next = here.clone();
        next[*axis] = Expr::from((size - 1).min(1));
        let step = number(&next)?.checked_sub(first)?;
        sum = &sum + &(&at[*axis] * &Expr::from(step));
        steps.push(step);
    }
    let count = open.iter().try_fold(1_i64, |count, (_, size)| count.checked_mul(*size))?;
    let even = |index: i64| {
        let (mut rest, mut expected, mut here) = (index, first, here.clone());
        for ((axis, size), step) in open.iter().zip(&steps) {
            let position = rest.checked_rem(*size)?;
            rest /= size;
            here[*axis] = Expr::from(position);
            expected = expected.checked_add(step.checked_mul(position)?)?;
        }
        (number(&here)? == expected).then_some(())
    };
    (0..count).all(|index| even(index).is_some()).then_some(sum)
}

/// An index that may count from the back, counted from the front; `None` where its sign is not known.
fn from_front(index: Expr, size: &Expr) -> Option<Expr> {
    if Expr::ZERO.provably_le(&index) {
        return Some(index);
    }
    index.provably_lt(&Expr::ZERO).then(|| &index + size)
}

/// Coordinates of an operand that is broadcast: 0 where its size is 1.
fn narrowed(shape: &[Expr], at: &[Expr]) -> Option<Vec<Expr>> {
    let own = at.get(at.len().checked_sub(shape.len())?..)?;
    let zero = || Expr::from(0);
    Some(
        shape
            .iter()
            .zip(own)
            .map(|(s, c)| if s.constant() == Some(1) { zero() } else { c.clone() })
            .collect(),
    )
}

/// The row-major position.
fn flat(shape: &[Expr], at: &[Expr]) -> Option<Expr> {
    if shape.len() != at.len() {
        return None;
    }
    Some(shape.iter().zip(at).fold(Expr::from(0), |sum, (size, c)| &(&sum * size) + c))
}

/// Coordinates in `to` of the element that has coordinates `at` in `from`, both row-major over equal counts.
fn regroup(from: &[Expr], at: &[Expr], to: &[Expr]) -> Option<Vec<Expr>> {
    let mut out = vec![Expr::from(0); to.len()];
    let real =
        |shape: &[Expr]| (0..shape.len()).filter(|i| shape[*i].constant() != Some(1)).collect::<Vec<_>>();
    let (sources, targets) = (real(from), real(to));
    let (mut i, mut j) = (0, 0);
    while i < sources.len() && j < targets.len() {
        let (start_i, start_j) = (i, j);
        let (mut have, mut want) = (from[sources[i]].clone(), to[targets[j]].clone());
        (i, j) = (i + 1, j + 1);
        while have != want {
            if i < sources.len() && want.exact_div(&have).is_some() {
                have = &have * &from[sources[i]];
                i += 1;
            } else if j < targets.len() && have.exact_div(&want).is_some() {
                want = &want * &to[targets[j]];
                j += 1;
            } else {
                return None;
            }
        }
        let group = &sources[start_i..i];
        let shape: Vec<Expr> = group.iter().map(|d| from[*d].clone()).collect();
        let own: Vec<Expr> = group.iter().map(|d| at[*d].clone()).collect();
        let mut rest = flat(&shape, &own)?;
        for (k, target) in targets[start_j..j].iter().enumerate().rev() {
            if k == 0 {
                out[*target] = rest.clone();
            } else {
                let size = to[*target].constant()?;
                out[*target] = rest.modulo(size);
                rest = rest.floor_div(size);
            }
        }
    }
    (i == sources.len() && j == targets.len()).then_some(out)
}

#[cfg(test)]
mod tests {
    use symbolic::{Expr, Symbol};

    use super::progression;

    #[test]
    fn a_constant_that_grows_evenly_is_a_sum_of_its_coordinates() {
        let [row, column] = ["row", "column"].map(|name| Expr::from(&Symbol::new(name)));
        let shape = [2, 3].map(Expr::from);
        let read = |content: [i64; 6], at: &[Expr]| progression(&shape, &content.map(Expr::from), at);
        let both = [row.clone(), column.clone()];
        let sum = &(&Expr::from(5) + &(&row * &Expr::from(10))) + &column;
        assert_eq!(read([5, 6, 7, 15, 16, 17], &both), Some(sum));
        assert_eq!(read([5, 6, 7, 15, 16, 18], &both), None);
        assert_eq!(
            read([5, 6, 7, 15, 16, 17], &[Expr::from(1), column.clone()]),
            Some(&column + &Expr::from(15))
        );
        assert_eq!(
            read([5, 6, 8, 15, 16, 17], &[Expr::from(1), column.clone()]),
            Some(&column + &Expr::from(15))
        );
        assert_eq!(read([5, 6, 8, 15, 16, 17], &[Expr::ZERO, column]), None);
        assert_eq!(read([5, 5, 5, 5, 5, 5], &both), Some(Expr::from(5)));
    }
}
