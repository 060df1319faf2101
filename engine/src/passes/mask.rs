//! Masks: whatever subgraph computes one, it comes down to causal, padding and window.

use symbolic::{Expr, Substitution};

use super::{
    element::{coordinates, element},
    formula::{Element, truth},
    pattern::Cx,
};
use crate::graph::ValueId;

/// Which keys a query may see; the whole of it when everything is `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mask {
    /// Key `j` is visible to query `i` only if `j <= i + past`.
    pub causal: Option<Expr>,
    /// Key `j` is visible to query `i` only if `j > i + past - window`.
    pub window: Option<Expr>,
    /// `[batch, keys]`, 0 for keys that nobody sees.
    pub padding: Option<ValueId>,
    /// How many keys are in use, where a cache has room for more: those behind are seen by nobody.
    pub keys: Option<Expr>,
}

/// Scores from here down are as good as minus infinity.
const MASKED: f64 = -1e4;

/// Reads the mask of scores `[batch, heads, queries, keys]` that broadcasts from `value`; `additive` masks are
/// added to the scores, others are true where a key is visible.
pub(super) fn read(cx: &Cx<'_>, value: ValueId, scores: &[Expr], additive: bool) -> Result<Mask, String> {
    let name = &cx.graph.value(value).name;
    let fact = cx.graph.fact(value).ok_or("the mask has no type")?;
    if fact.rank() > scores.len() {
        return Err(format!("the mask {name:?} has more dimensions than the scores"));
    }
    let own = &scores[scores.len() - fact.rank()..];
    let at: Vec<Expr> = coordinates(scores)[scores.len() - fact.rank()..]
        .iter()
        .zip(&fact.shape)
        .map(|(c, size)| if size.constant() == Some(1) { Expr::from(0) } else { c.clone() })
        .collect();
    for (size, wanted) in fact.shape.iter().zip(own) {
        if size.constant() != Some(1) && size != wanted {
            return Err(format!("the mask {name:?} has size {size} where the scores have {wanted}"));
        }
    }
    let formula = element(cx, value, &at);
    let seen = if additive {
        visible(&formula)
            .ok_or_else(|| format!("the mask {name:?} adds something else than 0 or minus infinity"))?
    } else {
        truth(formula).ok_or_else(|| format!("the mask {name:?} is no truth value"))?
    };
    let mut mask = Mask::default();
    collect(cx, &seen, scores, &mut mask).map_err(|text| format!("the mask {name:?} {text}"))?;
    if let Some(behind) = mask.window.take() {
        // The one query of a decode step may stand at the last key: then causality hides nothing, and was not found.
        let keys = mask.keys.as_ref().unwrap_or(&scores[scores.len() - 1]);
        let alone = (scores[scores.len() - 2] == Expr::ONE).then(|| keys - &Expr::ONE);
        let past = mask.causal.take().or(alone);
        let past = past.ok_or_else(|| format!("the mask {name:?} has a window but is not causal"))?;
        mask.window = Some(&(&behind + &past) + &Expr::ONE);
        mask.causal = Some(past);
    }
    Ok(mask)
}

/// The truth value "is added 0" of an additive mask whose other value is minus infinity.
fn visible(e: &Element) -> Option<Element> {
    match e {
        Element::Float(0.0) => Some(Element::Bool(true)),
        Element::Float(v) if *v <= MASKED => Some(Element::Bool(false)),
        Element::Int(v) if v.constant() == Some(0) => Some(Element::Bool(true)),
        Element::Sum(a, b) => Some(Element::And(Box::new(visible(a)?), Box::new(visible(b)?))),
        Element::Choose(condition, then, otherwise) => match (visible(then)?, visible(otherwise)?) {
            (Element::Bool(true), Element::Bool(false)) => Some((**condition).clone()),
            (Element::Bool(false), Element::Bool(true)) => Some(Element::Not(condition.clone())),
            (Element::Bool(true), Element::Bool(true)) => Some(Element::Bool(true)),
            (rest, Element::Bool(false)) => Some(Element::And(condition.clone(), Box::new(rest))),
            (Element::Bool(false), rest) => {
                Some(Element::And(Box::new(Element::Not(condition.clone())), Box::new(rest)))
            }
            _ => None,
        },
        _ => None,
    }
}

fn collect(cx: &Cx<'_>, e: &Element, scores: &[Expr], mask: &mut Mask) -> Result<(), String> {
    match e {
        Element::Bool(true) => Ok(()),
        Element::And(a, b) => {
            collect(cx, a, scores, mask)?;
            collect(cx, b, scores, mask)
        }
        Element::Not(inner) => match &**inner {
            Element::Or(a, b) => {
                collect(cx, &Element::Not(a.clone()), scores, mask)?;
                collect(cx, &Element::Not(b.clone()), scores, mask)
            }
            Element::Not(again) => collect(cx, again, scores, mask),
            Element::NonNegative(v) => collect(cx, &Element::NonNegative(&Expr::from(-1) - v), scores, mask),
            _ => Err("hides keys where a loaded value is set, which is not a padding mask".into()),
        },
        Element::NonNegative(v) => bound(v, scores, mask),
        Element::Set(value, at) => padding(cx, *value, at, scores, mask),
        _ => Err("is neither causal, nor padding, nor a window".into()),
    }
}

/// `v >= 0` as a bound on the key: from above it is causal, from below a window.
fn bound(v: &Expr, scores: &[Expr], mask: &mut Mask) -> Result<(), String> {
    let at = coordinates(scores);
    let (query, key) = (&at[scores.len() - 2], &at[scores.len() - 1]);
    let (key_factor, rest) = split(v, key).ok_or("is not linear in the key's position")?;
    let (query_factor, rest) = if query.as_symbol().is_some() {
        split(&rest, query).ok_or("is not linear in the query's position")?
    } else {
        (-key_factor, rest)
    };
    if at.iter().filter_map(Expr::as_symbol).any(|s| rest.contains(s)) {
        return Err("limits keys differently for each batch or head".into());
    }
    let last = &scores[scores.len() - 1] - &Expr::from(1);
    match (key_factor, query_factor) {
        (-1, 1) if query.as_symbol().is_none() && last.provably_le(&rest) => Ok(()),
        (-1, 1) => meet(&mut mask.causal, rest, "two causal limits"),
        (-1, 0) if last.provably_le(&rest) => Ok(()),
        (-1, 0) => meet(&mut mask.keys, &rest + &Expr::from(1), "two numbers of keys in use"),
        (1, -1) => {
            // Counted from the query for now; `read` counts it from the last key that causality leaves.
            meet(&mut mask.window, rest, "two windows")
        }
        (0, 0) if Expr::from(0).provably_le(&rest) => Ok(()),
        _ => Err("limits keys by something else than their distance from the query".into()),
    }
}

fn meet(slot: &mut Option<Expr>, found: Expr, text: &str) -> Result<(), String> {
    match slot {
        Some(old) if *old != found => Err(format!("has {text}")),
        _ => {
            *slot = Some(found);
            Ok(())
        }
    }
}

/// `v = factor * symbol + rest` for a constant factor.
fn split(v: &Expr, symbol: &Expr) -> Option<(i64, Expr)> {
    let symbol = symbol.as_symbol()?;
    let at = |n: i64| {
        let mut put = Substitution::new();
        put.set(symbol, n);
        v.substitute(&put)
    };
    let rest = at(0);
    let factor = (&at(1) - &rest).constant()?;
    let whole = &rest + &(&Expr::from(symbol) * &Expr::from(factor));
    (whole == *v).then_some((factor, rest))
}

fn padding(cx: &Cx<'_>, value: ValueId, at: &[Expr], scores: &[Expr], mask: &mut Mask) -> Result<(), String> {
    let wanted = coordinates(scores);
    let (batch, key) = (&wanted[0], &wanted[scores.len() - 1]);
    let name = &cx.graph.value(value).name;
    let fits = matches!(at, [b, k] if b == batch && k == key)
        && cx.graph.fact(value).is_some_and(|f| !f.dtype.is_float());
    if !fits {
        return Err(format!("reads {name:?} at {at:?}, which is not [batch, key] of integers"));
    }
    match mask.padding {
        Some(old) if old != value => Err("has two padding masks".into()),
        _ => {
            mask.padding = Some(value);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use symbolic::Expr;

    use super::{Mask, read};
    use crate::{
        dtype::DType,
        graph::{Fact, Graph, ValueId},
        host::HostTensor,
        op::Op,
        ops::{binary::Binary, cast::Cast, reshape::Reshape, select::Where, unary::Unary},
        passes::pattern::Cx,
    };

    const SCORES: [i64; 4] = [2, 3, 4, 5];
    const HIDDEN: f64 = -3e38;

    /// A graph with an int64 input `[2, 5]`.
    struct Built {
        graph: Graph,
        given: ValueId,
    }

    impl Built {
        fn new(flag: bool) -> Self {
            let mut graph = Graph::default();
            let shape = [SCORES[0], SCORES[3]].map(Expr::from).to_vec();
            let given = graph.add_value("given", Some(Fact::new(DType::I64, shape)));
            graph.inputs.push(given);
            graph.flags.extend(flag.then_some(given));
            Self { graph, given }
        }

        fn add(&mut self, op: impl Op, inputs: &[ValueId]) -> ValueId {
            let name = format!("value {}", self.graph.values.len());
            let inputs = inputs.iter().copied().map(Some).collect();
            self.graph.add_node(&name, Arc::new(op), inputs, None)
        }

        fn number(&mut self, dtype: DType, v: f64) -> ValueId {
            let number = HostTensor::from_f64s(dtype, vec![], &[v]).unwrap();
            self.graph.add_constant(&format!("constant {}", self.graph.values.len()), number)
        }

        fn cast(&mut self, to: DType, value: ValueId) -> ValueId {
            self.add(Cast { to }, &[value])
        }

        fn shaped(&mut self, value: ValueId, shape: &[i64]) -> ValueId {
            let shape = HostTensor::from_i64(vec![shape.len()], shape).unwrap();
            let shape = self.graph.add_constant(&format!("shape {}", self.graph.values.len()), shape);
            self.add(Reshape { allow_zero: false }, &[value, shape])
        }

        /// `(1 - value) * HIDDEN` in floats.
        fn inverted(&mut self, value: ValueId) -> ValueId {
            let (one, hidden) = (self.number(DType::F32, 1.0), self.number(DType::F32, HIDDEN));
            let float = self.cast(DType::F32, value);
            let left = self.add(Binary::Sub, &[one, float]);
            self.add(Binary::Mul, &[left, hidden])
        }

        /// Reads `value [2, 5]` as a mask over keys.
        fn read(mut self, value: ValueId, additive: bool) -> Result<Option<ValueId>, String> {
            let mask = self.shaped(value, &[2, 1, 1, 5]);
            self.read_whole(mask, additive)
        }

        fn read_whole(mut self, mask: ValueId, additive: bool) -> Result<Option<ValueId>, String> {
            self.graph.outputs.push(mask);
            crate::infer::infer(&mut self.graph).unwrap();
            let found = read(&Cx::new(&self.graph), mask, &SCORES.map(Expr::from), additive)?;
            assert_eq!(Mask { padding: None, ..found.clone() }, Mask::default());
            Ok(found.padding)
        }
    }

    #[test]
    fn what_is_added_for_one_less_a_flag_is_padding() {
        let mut built = Built::new(true);
        let (given, added) = (built.given, built.inverted(built.given));
        assert_eq!(built.read(added, true), Ok(Some(given)));
        let mut built = Built::new(false);
        let added = built.inverted(built.given);
        assert!(
            built.read(added, true).unwrap_err().ends_with("adds something else than 0 or minus infinity")
        );
    }

    #[test]
    fn one_less_a_truth_value_is_padding_whatever_it_is_of() {
        let mut built = Built::new(false);
        let seen = built.cast(DType::Bool, built.given);
        let (given, added) = (built.given, built.inverted(seen));
        assert_eq!(built.read(added, true), Ok(Some(given)));
    }

    #[test]
    fn a_mask_that_hides_its_own_zeros_is_padding() {
        let mut built = Built::new(true);
        let (one, hidden) = (built.number(DType::F32, 1.0), built.number(DType::F32, HIDDEN));
        let float = built.cast(DType::F32, built.given);
        let left = built.add(Binary::Sub, &[one, float]);
        let hides = built.cast(DType::Bool, left);
        let added = built.add(Where, &[hides, hidden, left]);
        let given = built.given;
        assert_eq!(built.read(added, true), Ok(Some(given)));
    }

    #[test]
    fn only_a_flag_that_is_one_is_a_flag_that_is_set() {
        for (flag, number, of_given) in
            [(true, 1.0, true), (false, 1.0, false), (true, 2.0, false), (false, 2.0, false)]
        {
            let mut built = Built::new(flag);
            let (given, number) = (built.given, built.number(DType::I64, number));
            let equal = built.add(Binary::Equal, &[built.given, number]);
            let padding = built.read(equal, false);
            if flag && !of_given {
                assert!(padding.is_err(), "nothing is seen: {padding:?}");
            } else {
                assert_eq!(padding, Ok(Some(if of_given { given } else { equal })));
            }
        }
    }

    #[test]
    fn what_is_not_zero_is_set_whatever_else_it_may_be() {
        let mut built = Built::new(false);
        let (given, zero) = (built.given, built.number(DType::I64, 0.0));
        let hidden = built.add(Binary::Equal, &[built.given, zero]);
        let seen = built.add(Unary::Not, &[hidden]);
        assert_eq!(built.read(seen, false), Ok(Some(given)));
        let mut built = Built::new(false);
        let seen = built.cast(DType::Bool, built.given);
        assert_eq!(built.read(seen, false), Ok(Some(given)));
    }

    #[test]
    fn numbers_that_a_narrower_type_changes_are_not_looked_through() {
        let mut built = Built::new(false);
        let byte = built.cast(DType::U8, built.given);
        let seen = built.cast(DType::Bool, byte);
        assert_eq!(built.read(seen, false), Ok(Some(byte)));
    }

    #[test]
    fn segments_that_must_be_equal_are_no_padding() {
        let mut built = Built::new(false);
        let rows = built.shaped(built.given, &[2, 1, 5, 1]);
        let columns = built.shaped(built.given, &[2, 1, 1, 5]);
        let same = built.add(Binary::Equal, &[rows, columns]);
        let scores = [2, 3, 5, 5].map(Expr::from);
        built.graph.outputs.push(same);
        crate::infer::infer(&mut built.graph).unwrap();
        let error = read(&Cx::new(&built.graph), same, &scores, false).unwrap_err();
        assert!(error.contains("which is not [batch, key]"), "{error}");
    }
}
