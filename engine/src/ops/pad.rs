//! Pad: elements put before and behind those of some axes: one value, or a continuation of the tensor.

use std::sync::Arc;

use shaders::KernelSpec;
use symbolic::Expr;

use super::gather_elements::padded_strides;
use crate::{
    dtype::DType,
    error::{OpError, invalid},
    graph::Fact,
    host::HostTensor,
    op::{
        Case, Destination, Dispatch, Grid, Infer, Lowering, OnnxNode, Op, Operator, Param, Slot, Tolerance,
        View, fill,
        nd::{given, optional, pick, strides},
        padded, sample, standard, stretched, with_constants,
    },
};

/// What the new elements are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Input 2, or 0.
    Constant,
    /// The nearest element.
    Edge,
    /// Mirrored at the outermost elements, which are not repeated.
    Reflect,
    /// The other end.
    Wrap,
}

/// Inputs behind the data: counts before, then counts behind; the value; the axes (all when left out).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pad {
    /// What the new elements are.
    pub mode: Mode,
}

impl Mode {
    /// The element that position `at` of an axis of `size` takes; `None` for the constant.
    fn source(self, at: i64, size: i64) -> Option<i64> {
        if (0..size).contains(&at) {
            return Some(at);
        }
        match self {
            _ if size < 1 => None,
            Self::Constant => None,
            Self::Edge => Some(at.clamp(0, size - 1)),
            Self::Reflect if size == 1 => Some(0),
            Self::Reflect => {
                let there = at.rem_euclid(2 * (size - 1));
                Some(there.min(2 * (size - 1) - there))
            }
            Self::Wrap => Some(at.rem_euclid(size)),
        }
    }
}

/// Counts before and behind each dimension.
fn counts<T: Clone>(rank: usize, pads: &[T], axes: Option<&[i64]>, zero: &T) -> Result<Vec<[T; 2]>, OpError> {
    let axes: Vec<usize> = match axes {
        Some(list) => list.iter().map(|a| Infer::axis(*a, rank)).collect::<Result<_, _>>()?,
        None => (0..rank).collect(),
    };
    if pads.len() != 2 * axes.len() {
        return Err(invalid(format!("{} counts for {} axes", pads.len(), axes.len())));
    }
    let mut all = vec![[zero.clone(), zero.clone()]; rank];
    for (at, axis) in axes.iter().enumerate() {
        all[*axis] = [pads[at].clone(), pads[at + axes.len()].clone()];
    }
    Ok(all)
}

impl Op for Pad {
    fn name(&self) -> &'static str {
        "Pad"
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        let input = cx.input(0)?;
        let axes = cx.optional_integers(3)?;
        let counts = counts(input.rank(), cx.content(1)?, axes.as_deref(), &Expr::ZERO)?;
        let shape =
            input.shape.iter().zip(counts).map(|(d, [before, behind])| &(d + &before) + &behind).collect();
        Ok(vec![Fact::new(input.dtype, shape)])
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        let input = given(inputs, 0)?;
        let axes = optional(inputs, 3).map(HostTensor::to_i64s);
        let from = input.shape();
        let counts = counts(from.len(), &given(inputs, 1)?.to_i64s(), axes.as_deref(), &0)?;
        let sizes = from
            .iter()
            .zip(&counts)
            .map(|(d, [a, b])| usize::try_from((*d as i64).saturating_add(*a).saturating_add(*b)));
        let shape: Vec<usize> = sizes.collect::<Result<_, _>>().map_err(|_| invalid("a size is negative"))?;
        let (to, steps) = (strides(&shape), strides(from));
        let source = |n: usize| {
            (0..shape.len()).try_fold(0, |sum, a| {
                let at = (n / to[a] % shape[a]) as i64 - counts[a][0];
                self.mode.source(at, from[a] as i64).map(|p| sum + p as usize * steps[a])
            })
        };
        let value = match optional(inputs, 2) {
            Some(value) => value.clone(),
            None => HostTensor::from_f64s(input.dtype(), vec![], &[0.0])?,
        };
        let both = super::concat::Concat { axis: 0 }.reference(&[
            Some(&input.clone().reshape(vec![input.len()])?),
            Some(&value.cast(input.dtype()).reshape(vec![1])?),
        ])?;
        let all: Vec<usize> = (0..shape.iter().product()).map(|n| source(n).unwrap_or(input.len())).collect();
        Ok(vec![pick(&both[0], shape, &all)?])
    }

    /// The constant everywhere, then the tensor in its place.
    fn lower(&self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        let input = cx.shaped(0)?;
        let axes = cx.has_input(3).then(|| cx.content(3)).transpose()?;
        let axes = axes.map(|list| list.iter().map(Expr::constant).collect::<Option<Vec<i64>>>());
        let axes = axes.map(|list| list.ok_or(OpError::NotConstant { index: 3 })).transpose()?;
        let counts = counts(input.dims.len(), cx.content(1)?, axes.as_deref(), &Expr::ZERO)?;
        let out = Destination::strided(cx, 0)?;
        if self.mode != Mode::Constant {
            self.continued(cx, input, &counts, &out.view)?;
            return out.finish(cx);
        }
        let value = if cx.has_input(2) { cx.shaped(2)? } else { fill::scalar(cx, 0.0, out.view.elem) };
        let value = View { dims: Vec::new(), ..value };
        cx.copy(&stretched(&value, &out.view.shape()), &out.view)?;
        let (mut from, mut to) = (input, out.view.clone());
        for (axis, [before, behind]) in counts.iter().enumerate() {
            // A negative count takes elements away.
            let cut = |e: &Expr| (-e).max(&Expr::ZERO);
            let size = &(&from.dims[axis].size - &cut(before)) - &cut(behind);
            from = from.slice(axis, &cut(before), &size, 1);
            to = to.slice(axis, &before.max(&Expr::ZERO), &size, 1);
        }
        cx.copy(&from, &to)?;
        out.finish(cx)
    }
}

impl Pad {
    /// New elements from the tensor itself.
    fn continued(
        &self,
        cx: &mut Lowering<'_>,
        input: View,
        counts: &[[Expr; 2]],
        out: &View,
    ) -> Result<(), OpError> {
        let mode = match self.mode {
            Mode::Edge => "edge",
            Mode::Reflect => "reflect",
            Mode::Constant | Mode::Wrap => {
                return Err(OpError::Unsupported(format!("Pad in mode {:?}", self.mode)));
            }
        };
        if out.dims.len() > 4 {
            return Err(OpError::Unsupported(format!(
                "Pad in mode {:?} of {} dimensions",
                self.mode,
                out.dims.len()
            )));
        }
        let before = counts.iter().map(|[before, _]| before.clone()).collect();
        let total = out.len();
        let params = vec![
            ("shape", Param::Ints(padded(out.shape(), 4, &Expr::ONE))),
            ("a_shape", Param::Ints(padded(input.shape(), 4, &Expr::ONE))),
            ("before", Param::Ints(padded(before, 4, &Expr::ZERO))),
            ("a_strides", padded_strides(&input)),
            ("out_strides", padded_strides(out)),
            ("total", Param::Int(total.clone())),
        ];
        let spec = KernelSpec::new("pad").with("ELEM", out.elem.wgsl()).with("MODE", mode);
        let slots = vec![("a", Slot::View(input)), ("out", Slot::View(out.clone()))];
        cx.dispatch(Dispatch { spec, slots, params, grid: Grid::Linear(total.ceil_div(64)) });
        Ok(())
    }
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    let mode = match node.string("mode")?.unwrap_or("constant") {
        "constant" => Mode::Constant,
        "edge" => Mode::Edge,
        "reflect" => Mode::Reflect,
        "wrap" => Mode::Wrap,
        other => return Err(invalid(format!("mode = {other:?} is not known"))),
    };
    // Before opset 11 the counts and the value are attributes.
    let mut constants = Vec::new();
    if node.version() < 11 {
        let pads = node.ints("pads")?.or(node.ints("paddings")?);
        let pads = pads.ok_or_else(|| invalid("attribute \"pads\" is missing"))?;
        constants.push((1, HostTensor::from_i64(vec![pads.len()], pads)?));
        constants.push((2, HostTensor::from_f32(vec![], &[node.float_or("value", 0.0)?])?));
    }
    Ok(with_constants(Arc::new(Pad { mode }), constants))
}

fn cases() -> Vec<Case> {
    let case = |shape: &[usize], pads: &[i64], value: Option<f64>, axes: Option<&[i64]>| {
        let inputs = vec![
            Some(sample::floats(shape, 1)),
            Some(sample::list(pads)),
            value.map(|v| sample::scalar(DType::F32, v)),
            axes.map(sample::list),
        ];
        let name = format!("{shape:?} by {pads:?}, value {value:?}, axes {axes:?}");
        Case::new(name, Pad { mode: Mode::Constant }, inputs).constants(&[1, 3]).tolerance(Tolerance::EXACT)
    };
    let continued = |mode| {
        let inputs = vec![Some(sample::floats(&[3, 4], 1)), Some(sample::list(&[1, 2, 2, 3]))];
        Case::new(format!("{mode:?}"), Pad { mode }, inputs).constants(&[1]).tolerance(Tolerance::EXACT)
    };
    vec![
        continued(Mode::Edge),
        continued(Mode::Reflect),
        case(&[3, 4], &[1, 0, 2, 3], None, None),
        case(&[3, 4], &[0, 1, 0, 2], Some(1.5), None),
        case(&[2, 3, 4], &[2, 1], Some(-1.0), Some(&[-1])),
        case(&[5], &[-1, 2], Some(7.0), None),
        case(&[2, 3], &[0, 0, 0, 0], None, None),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[standard("Pad", 1..=27)], decode, cases };

#[cfg(test)]
mod tests {
    use super::Mode;

    #[test]
    fn continuations_by_hand() {
        let row =
            |mode: Mode| (-3..6).map(|at| mode.source(at, 3)).map(|s| s.unwrap_or(9)).collect::<Vec<_>>();
        assert_eq!(row(Mode::Constant), [9, 9, 9, 0, 1, 2, 9, 9, 9]);
        assert_eq!(row(Mode::Edge), [0, 0, 0, 0, 1, 2, 2, 2, 2]);
        assert_eq!(row(Mode::Reflect), [1, 2, 1, 0, 1, 2, 1, 0, 1]);
        assert_eq!(row(Mode::Wrap), [0, 1, 2, 0, 1, 2, 0, 1, 2]);
    }
}
