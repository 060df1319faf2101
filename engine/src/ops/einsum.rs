//! Einsum: sums of products by Einstein's convention, as diagonals, transposes, sums and matrix products.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    binary::Binary,
    concat::Concat,
    identity::Identity,
    matmul::MatMul,
    one_hot::facing,
    range,
    reduce::{Reduce, Reduction},
    reshape::Reshape,
    select::Where,
    shape::Shape,
    squeeze::Squeeze,
    transpose::Transpose,
};
use crate::{
    error::{OpError, invalid},
    graph::ValueId,
    op::{Case, Composite, OnnxNode, Op, Operator, Parts, composite, sample, standard},
};

/// A letter of the equation, or a dimension that `...` stands for, counted from the back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Label {
    Rest(usize),
    Letter(char),
}

/// Letters in their order; `None` for `...`.
type Term = Vec<Option<char>>;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Einsum {
    inputs: Vec<Term>,
    output: Term,
}

/// A value and what its dimensions are.
#[derive(Clone, Debug)]
struct Operand {
    value: ValueId,
    labels: Vec<Label>,
}

impl Einsum {
    /// Reads an equation such as `bij,bjk->bik`. Without `->` the result has `...`, then the letters that occur once, in
    /// alphabetical order.
    ///
    /// # Errors
    /// When it is none.
    pub fn new(equation: &str) -> Result<Self, OpError> {
        let (left, right) = match equation.split_once("->") {
            Some((left, right)) => (left, Some(right)),
            None => (equation, None),
        };
        let wrong = || invalid(format!("equation {equation:?} cannot be read"));
        let inputs = left.split(',').map(term).collect::<Option<Vec<Term>>>().ok_or_else(wrong)?;
        let output = match right {
            Some(text) => term(text).ok_or_else(wrong)?,
            None => {
                let all: Vec<char> = inputs.iter().flatten().copied().flatten().collect();
                let once = |c: &char| all.iter().filter(|other| *other == c).count() == 1;
                let letters: BTreeSet<char> = all.iter().copied().filter(once).collect();
                let rest = inputs.iter().flatten().any(Option::is_none);
                rest.then_some(None).into_iter().chain(letters.into_iter().map(Some)).collect()
            }
        };
        Ok(Self { inputs, output })
    }
}

fn term(text: &str) -> Option<Term> {
    let mut term = Vec::new();
    let mut rest = text.trim();
    while let Some(first) = rest.chars().next() {
        if let Some(behind) = rest.strip_prefix("...") {
            term.push(None);
            rest = behind.trim_start();
        } else if first.is_ascii_alphabetic() {
            term.push(Some(first));
            rest = rest[1..].trim_start();
        } else {
            return None;
        }
    }
    (term.iter().filter(|l| l.is_none()).count() < 2).then_some(term)
}

fn labels(term: &Term, rest: usize) -> Vec<Label> {
    let list = |label: &Option<char>| match label {
        Some(letter) => vec![Label::Letter(*letter)],
        None => (0..rest).rev().map(Label::Rest).collect(),
    };
    term.iter().flat_map(list).collect()
}

impl Operand {
    fn at(&self, label: Label) -> Option<usize> {
        self.labels.iter().position(|l| *l == label)
    }

    fn ordered(&self, parts: &mut Parts<'_, '_>, order: &[Label]) -> Result<ValueId, OpError> {
        let missing = || invalid("the result has a letter that no operand has");
        let perm = order.iter().map(|l| self.at(*l)).collect::<Option<Vec<usize>>>().ok_or_else(missing)?;
        if perm.iter().copied().eq(0..self.labels.len()) {
            return Ok(self.value);
        }
        parts.add(Transpose { perm: Some(perm) }, &[self.value])
    }

    /// Sums over the labels that are not to be kept.
    fn summed(mut self, parts: &mut Parts<'_, '_>, keep: impl Fn(Label) -> bool) -> Result<Self, OpError> {
        let axes: Vec<i64> =
            (0..self.labels.len()).filter(|a| !keep(self.labels[*a])).map(|a| a as i64).collect();
        if !axes.is_empty() {
            let op =
                Reduce { reduction: Reduction::Sum, keep: false, noop_without_axes: false, axes: Some(axes) };
            self.value = parts.add(op, &[self.value])?;
            self.labels.retain(|l| keep(*l));
        }
        Ok(self)
    }

    /// Takes diagonals until no label occurs twice.
    fn diagonal(mut self, parts: &mut Parts<'_, '_>) -> Result<Self, OpError> {
        let twice = |labels: &[Label]| (0..labels.len()).find(|a| labels[a + 1..].contains(&labels[*a]));
        while let Some(first) = twice(&self.labels) {
            let label = self.labels[first];
            let second = self.labels.iter().rposition(|l| *l == label).unwrap_or(first);
            let behind = |axis: usize| self.labels.len() - 1 - axis;
            let (a, b) = (range::along(parts, self.value, first)?, range::along(parts, self.value, second)?);
            let (a, b) = (facing(parts, a, behind(first))?, facing(parts, b, behind(second))?);
            let same = parts.add(Binary::Equal, &[a, b])?;
            let zero = parts.number(0.0, parts.fact(self.value)?.dtype)?;
            let kept = parts.add(Where, &[same, self.value, zero])?;
            let axes = Some(vec![first as i64]);
            let op = Reduce { reduction: Reduction::Sum, keep: false, noop_without_axes: false, axes };
            self.value = parts.add(op, &[kept])?;
            self.labels.remove(first);
        }
        Ok(self)
    }

    /// The sizes of labels that lie side by side from `first` on, as a list.
    fn sizes(&self, parts: &mut Parts<'_, '_>, first: usize, count: usize) -> Result<ValueId, OpError> {
        let (start, end) = (first as i64, Some((first + count) as i64));
        parts.add(Shape { start, end, total: false }, &[self.value])
    }
}

/// The value `[batch.., outer.., inner..]` with the outer and the inner dimensions made one each.
fn as_matrix(parts: &mut Parts<'_, '_>, x: &Operand, batch: usize, outer: usize) -> Result<ValueId, OpError> {
    let inner = x.labels.len() - batch - outer;
    if outer == 1 && inner == 1 {
        return Ok(x.value);
    }
    let mut sizes = vec![x.sizes(parts, 0, batch)?];
    for (first, count) in [(batch, outer), (batch + outer, inner)] {
        let list = x.sizes(parts, first, count)?;
        let axes = Some(vec![0]);
        let op = Reduce { reduction: Reduction::Prod, keep: true, noop_without_axes: false, axes };
        sizes.push(parts.add(op, &[list])?);
    }
    let shape = parts.add(Concat { axis: 0 }, &sizes)?;
    parts.add(Reshape { allow_zero: true }, &[x.value, shape])
}

/// Multiplies two operands and sums over the labels that both have and nothing needs any more.
fn product(
    parts: &mut Parts<'_, '_>,
    a: Operand,
    b: Operand,
    keep: &impl Fn(Label) -> bool,
) -> Result<Operand, OpError> {
    let a = a.clone().summed(parts, |l| keep(l) || b.at(l).is_some())?;
    let b = b.clone().summed(parts, |l| keep(l) || a.at(l).is_some())?;
    let pick = |from: &Operand, test: &dyn Fn(Label) -> bool| {
        from.labels.iter().copied().filter(|l| test(*l)).collect::<Vec<Label>>()
    };
    let batch = pick(&a, &|l| b.at(l).is_some() && keep(l));
    let inner = pick(&a, &|l| b.at(l).is_some() && !keep(l));
    let left = pick(&a, &|l| b.at(l).is_none());
    let right = pick(&b, &|l| a.at(l).is_none());
    let ordered = |parts: &mut Parts<'_, '_>, x: &Operand, lists: [&[Label]; 3]| {
        let labels = lists.concat();
        Ok::<_, OpError>(Operand { value: x.ordered(parts, &labels)?, labels })
    };
    let labels = [batch.as_slice(), &left, &right].concat();
    if inner.is_empty() {
        let a = ordered(parts, &a, [&batch, &left, &[]])?;
        let b = ordered(parts, &b, [&batch, &right, &[]])?;
        let spread = |parts: &mut Parts<'_, '_>, x: ValueId, at: usize, count: usize| {
            if count == 0 {
                return Ok(x);
            }
            let axes = parts.integers(&(at..at + count).map(|a| a as i64).collect::<Vec<_>>())?;
            parts.add(Squeeze { insert: true, axes: None }, &[x, axes])
        };
        let x = spread(parts, a.value, a.labels.len(), right.len())?;
        let y = spread(parts, b.value, batch.len(), left.len())?;
        return Ok(Operand { value: parts.add(Binary::Mul, &[x, y])?, labels });
    }
    let a = ordered(parts, &a, [&batch, &left, &inner])?;
    let b = ordered(parts, &b, [&batch, &inner, &right])?;
    let x = as_matrix(parts, &a, batch.len(), left.len())?;
    let y = as_matrix(parts, &b, batch.len(), inner.len())?;
    let mut value = parts.add(MatMul, &[x, y])?;
    if left.len() != 1 || right.len() != 1 {
        let all = Operand { value, labels: Vec::new() };
        let sizes = [
            all.sizes(parts, 0, batch.len())?,
            a.sizes(parts, batch.len(), left.len())?,
            b.sizes(parts, batch.len() + inner.len(), right.len())?,
        ];
        let shape = parts.add(Concat { axis: 0 }, &sizes)?;
        value = parts.add(Reshape { allow_zero: true }, &[value, shape])?;
    }
    Ok(Operand { value, labels })
}

impl Composite for Einsum {
    fn name(&self) -> &'static str {
        "Einsum"
    }

    fn expand(&self, parts: &mut Parts<'_, '_>) -> Result<Vec<ValueId>, OpError> {
        let mut operands = Vec::with_capacity(self.inputs.len());
        for (index, term) in self.inputs.iter().enumerate() {
            let value = parts.input(index)?;
            let letters = term.iter().flatten().count();
            let rest = parts.fact(value)?.rank().checked_sub(letters);
            let rest = rest.filter(|n| *n == 0 || term.contains(&None));
            let rest = rest.ok_or_else(|| invalid(format!("operand {index} has other dimensions")))?;
            operands.push((Operand { value, labels: labels(term, rest) }, rest));
        }
        let rest = operands.iter().map(|(_, rest)| *rest).max().unwrap_or(0);
        let output = labels(&self.output, rest);
        let mut operands = operands.into_iter().map(|(operand, _)| operand).collect::<Vec<_>>().into_iter();
        let first = operands.next().ok_or(OpError::MissingInput { index: 0 })?;
        let mut all = first.diagonal(parts)?;
        while let Some(next) = operands.next() {
            let next = next.diagonal(parts)?;
            let later = operands.as_slice();
            let keep = |l: Label| output.contains(&l) || later.iter().any(|o| o.at(l).is_some());
            all = product(parts, all, next, &keep)?;
        }
        let all = all.summed(parts, |l| output.contains(&l))?;
        let value = all.ordered(parts, &output)?;
        Ok(vec![parts.add(Identity, &[value])?])
    }
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    let equation = node.string("equation")?.ok_or_else(|| invalid("attribute \"equation\" is missing"))?;
    let einsum = Einsum::new(equation)?;
    if einsum.inputs.len() != node.input_count() {
        return Err(invalid(format!("equation {equation:?} is not of {} operands", node.input_count())));
    }
    Ok(composite(einsum))
}

fn cases() -> Vec<Case> {
    let case = |equation: &str, shapes: &[&[usize]]| {
        let op = Einsum::new(equation).unwrap_or(Einsum { inputs: Vec::new(), output: Vec::new() });
        let inputs = shapes.iter().zip(1..).map(|(shape, seed)| Some(sample::floats(shape, seed)));
        Case::composite(equation, op, inputs.collect())
    };
    vec![
        case("ij->ji", &[&[3, 5]]),
        case("ij->i", &[&[3, 5]]),
        case("ij->", &[&[3, 5]]),
        case("ii->i", &[&[4, 4]]),
        case("...ii->...i", &[&[2, 3, 4, 4]]),
        case("i,i", &[&[5], &[5]]),
        case("i,j->ij", &[&[3], &[5]]),
        case("bij,bjk->bik", &[&[2, 3, 4], &[2, 4, 5]]),
        case("bij, bjk", &[&[2, 3, 4], &[2, 4, 5]]),
        case("bhqd,bhkd->bhqk", &[&[2, 3, 4, 8], &[2, 3, 5, 8]]),
        case("bqhd,bkhd->bhqk", &[&[2, 4, 3, 8], &[2, 5, 3, 8]]),
        case("...ij,...jk->...ik", &[&[2, 1, 3, 4], &[5, 4, 2]]),
        case("abc,cd,de->abe", &[&[2, 3, 4], &[4, 5], &[5, 6]]),
        case("abcd,cdef->abef", &[&[2, 3, 4, 5], &[4, 5, 2, 3]]),
        case("bn,anm,bm->ba", &[&[2, 5], &[3, 5, 7], &[2, 7]]),
        case("ij,ij->ij", &[&[3, 5], &[3, 5]]),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[standard("Einsum", 12..=27)], decode, cases };

#[cfg(test)]
mod tests {
    use super::Einsum;
    use crate::op::{composite, sample};

    #[test]
    fn equations_are_read() {
        let output = |equation: &str| Einsum::new(equation).unwrap().output;
        assert_eq!(output("ba,cb"), [Some('a'), Some('c')]);
        assert_eq!(output("...ij, ...jk"), [None, Some('i'), Some('k')]);
        assert_eq!(output("ij ->"), []);
        for wrong in ["i.j", "......", "i1->i"] {
            assert!(Einsum::new(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_trace_and_a_product_by_hand() {
        let x = sample::of(crate::dtype::DType::F32, &[2, 2], &[1.0, 2.0, 3.0, 4.0]);
        let of = |equation: &str| composite(Einsum::new(equation).unwrap()).reference(&[Some(&x), Some(&x)]);
        let one = composite(Einsum::new("ii").unwrap()).reference(&[Some(&x)]).unwrap();
        assert_eq!(one[0].to_f32s(), [5.0]);
        assert_eq!(of("ij,jk").unwrap()[0].to_f32s(), [7.0, 10.0, 15.0, 22.0]);
        assert_eq!(of("ij,kj->ik").unwrap()[0].to_f32s(), [5.0, 11.0, 11.0, 25.0]);
    }
}
