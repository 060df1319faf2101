//! Resize, and Upsample, which it has taken the place of: other sizes of some axes, by what lies between elements.

#[path = "resize/axis.rs"]
mod axis;

use std::sync::Arc;

use symbolic::Expr;

use self::axis::{Axis, Coordinates, Method, Mode, Nearest};
use super::{
    binary::Binary, cast::Cast, concat::Concat, expand::Expand, gather::Gather, identity::Identity,
    quantize::saturated, resample::Resample, reshape::Reshape, shape::Shape, squeeze::Squeeze, unary::Unary,
};
use crate::{
    dtype::DType,
    error::{OpError, invalid},
    graph::ValueId,
    host::HostTensor,
    op::{
        Case, Composite, Infer, OnnxNode, Op, Operator, Parts, Tolerance, composite, sample, standard,
        with_constants,
    },
};

/// Inputs: the tensor; parts of axes (`roi`) or nothing; scales or nothing; sizes or nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Resize {
    name: &'static str,
    method: Method,
    axes: Option<Vec<i64>>,
    policy: Policy,
    fill: f32,
    /// Where the scales are: input 1 before opset 11.
    scales: usize,
}

/// What sizes are (`keep_aspect_ratio_policy`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Policy {
    /// Those of the result.
    Stretch,
    /// The largest of a result of one scale.
    NotLarger,
    /// The smallest of one.
    NotSmaller,
}

/// Adds `x` with each position of an axis repeated `count` times.
///
/// # Errors
/// When it has no such axis.
pub fn repeated(parts: &mut Parts<'_, '_>, x: ValueId, axis: usize, count: i64) -> Result<ValueId, OpError> {
    let rank = parts.fact(x)?.rank() as i64;
    let axis = axis as i64;
    let at = parts.integers(&[axis + 1])?;
    let spread = parts.add(Squeeze { insert: true, axes: None }, &[x, at])?;
    let mut sizes = |start, end| parts.add(Shape { start, end: Some(end), total: false }, &[x]);
    let (before, size, behind) = (sizes(0, axis)?, sizes(axis, axis + 1)?, sizes(axis + 1, rank)?);
    let count = parts.integers(&[count])?;
    let shape = parts.add(Concat { axis: 0 }, &[before, size, count, behind])?;
    let spread = parts.add(Expand, &[spread, shape])?;
    let all = parts.add(Binary::Mul, &[size, count])?;
    let shape = parts.add(Concat { axis: 0 }, &[before, all, behind])?;
    parts.add(Reshape { allow_zero: true }, &[spread, shape])
}

/// What is asked of one axis.
#[derive(Clone, Debug)]
enum Goal {
    Scale(f32),
    Size(Expr),
}

fn constant(size: &Expr, what: &str) -> Result<usize, OpError> {
    let unknown = || OpError::DependsOnData(format!("{what} a size, {size}, that is known only in a run"));
    let known = size.constant().ok_or_else(unknown)?;
    usize::try_from(known).map_err(|_| invalid(format!("{what} a size of {known}")))
}

impl Resize {
    /// The axes that scales or sizes are of, with these.
    fn goals(&self, parts: &Parts<'_, '_>) -> Result<Vec<(usize, Goal)>, OpError> {
        let rank = parts.fact(parts.input(0)?)?.rank();
        let axes: Vec<usize> = match &self.axes {
            Some(list) => list.iter().map(|a| Infer::axis(*a, rank)).collect::<Result<_, _>>()?,
            None => (0..rank).collect(),
        };
        if axes.iter().enumerate().any(|(i, axis)| axes[..i].contains(axis)) {
            return Err(invalid(format!("axes {axes:?} name one twice")));
        }
        // An empty list of scales is as good as none.
        let given = |at: usize| {
            let fact = parts.optional(at).map(|id| parts.fact(id)).transpose()?;
            Ok::<_, OpError>(fact.is_some_and(|fact| fact.len().constant() != Some(0)))
        };
        let goals: Vec<Goal> = if given(self.scales)? {
            let scales = parts.host(parts.input(self.scales)?);
            let scales = scales.ok_or(OpError::NotConstant { index: self.scales })?.to_f32s();
            scales.into_iter().map(Goal::Scale).collect()
        } else {
            let sizes = &parts.fact(parts.input(3)?)?.content;
            let sizes = sizes.as_ref().ok_or(OpError::NotConstant { index: 3 })?;
            sizes.iter().cloned().map(Goal::Size).collect()
        };
        if goals.len() != axes.len() {
            return Err(invalid(format!("{} scales or sizes for {} axes", goals.len(), axes.len())));
        }
        Ok(axes.into_iter().zip(goals).collect())
    }

    /// The one scale of all axes that keeps sizes at most or at least those given.
    fn common_scale(&self, shape: &[Expr], goals: &[(usize, Goal)]) -> Result<Option<f64>, OpError> {
        let mut scales = Vec::new();
        for (axis, goal) in goals {
            if let (Goal::Size(size), false) = (goal, self.policy == Policy::Stretch) {
                let (from, to) = (constant(&shape[*axis], "resizing")?, constant(size, "resizing to")?);
                scales.push(to as f64 / from as f64);
            }
        }
        let first = scales.iter().copied();
        Ok(if self.policy == Policy::NotLarger { first.reduce(f64::min) } else { first.reduce(f64::max) })
    }

    /// The parts of axes, in the order of `goals`.
    fn crops(&self, parts: &Parts<'_, '_>, count: usize) -> Result<Vec<[f64; 2]>, OpError> {
        if self.method.coordinates != Coordinates::TfCropAndResize {
            return Ok(vec![[0.0, 1.0]; count]);
        }
        let all = parts.host(parts.input(1)?).ok_or(OpError::NotConstant { index: 1 })?.to_f64s();
        if all.len() != 2 * count {
            return Err(invalid(format!("{} bounds for {count} axes", all.len())));
        }
        Ok((0..count).map(|at| [all[at], all[count + at]]).collect())
    }

    /// Whether a whole scale repeats elements, whatever the size.
    fn repeats(&self) -> bool {
        let Mode::Nearest(nearest) = self.method.mode else { return false };
        match self.method.coordinates {
            Coordinates::Asymmetric => nearest == Nearest::Floor,
            Coordinates::HalfPixel | Coordinates::HalfPixelSymmetric => {
                matches!(nearest, Nearest::PreferFloor | Nearest::PreferCeil)
            }
            _ => false,
        }
    }

    /// Adds `x`, of floats where that makes a difference, with one axis resized.
    fn resized(
        &self,
        parts: &mut Parts<'_, '_>,
        x: ValueId,
        (at, axis): (usize, Axis),
    ) -> Result<ValueId, OpError> {
        let table = self.method.table(axis)?;
        let outside = table.indices.contains(&-1);
        if let (Mode::Nearest(_), false) = (self.method.mode, outside) {
            let indices = parts.table(HostTensor::from_i64(vec![axis.to], &table.indices)?)?;
            return parts.add(Gather { axis: at as i64 }, &[x, indices]);
        }
        let shape = vec![axis.to, table.terms];
        let indices = HostTensor::from_i64(shape.clone(), &table.indices)?;
        let weights = HostTensor::from_f64s(DType::F32, shape, &table.weights)?;
        let (indices, weights) = (parts.table(indices)?, parts.table(weights)?);
        parts.add(Resample { axis: at, fill: self.fill }, &[x, indices, weights])
    }
}

impl Composite for Resize {
    fn name(&self) -> &'static str {
        self.name
    }

    fn expand(&self, parts: &mut Parts<'_, '_>) -> Result<Vec<ValueId>, OpError> {
        let mut x = parts.input(0)?;
        let (dtype, shape) = (parts.fact(x)?.dtype, parts.fact(x)?.shape.clone());
        let goals = self.goals(parts)?;
        let (common, crops) = (self.common_scale(&shape, &goals)?, self.crops(parts, goals.len())?);
        let between = !dtype.is_float() && !matches!(self.method.mode, Mode::Nearest(_));
        if between {
            x = parts.add(Cast { to: DType::F32 }, &[x])?;
        }
        for ((at, goal), part) in goals.into_iter().zip(crops) {
            let from = &shape[at];
            let same = match &goal {
                Goal::Scale(scale) => *scale == 1.0,
                Goal::Size(size) => size == from && common.is_none_or(|scale| scale == 1.0),
            };
            if same && part == [0.0, 1.0] {
                continue;
            }
            if let (Goal::Scale(scale), None, true) = (&goal, from.constant(), self.repeats())
                && (1.0..1e6).contains(scale)
                && scale.fract() == 0.0
            {
                x = repeated(parts, x, at, *scale as i64)?;
                continue;
            }
            let from = constant(from, "resizing")?;
            let (to, scale) = match (goal, common) {
                (Goal::Scale(scale), _) if !(scale > 0.0 && scale.is_finite()) => {
                    return Err(invalid(format!("a scale of {scale}")));
                }
                (Goal::Scale(scale), _) => ((from as f32 * scale).floor() as usize, scale.into()),
                (Goal::Size(_), Some(scale)) => ((scale * from as f64 + 0.5) as usize, scale),
                (Goal::Size(size), None) => {
                    let to = constant(&size, "resizing to")?;
                    (to, to as f64 / from as f64)
                }
            };
            x = self.resized(parts, x, (at, Axis { from, to, scale, part }))?;
        }
        if between {
            x = parts.add(Unary::Round, &[x])?;
            return Ok(vec![saturated(parts, x, dtype)?]);
        }
        Ok(vec![parts.add(Identity, &[x])?])
    }
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    let unknown = |name: &str, value: &str| invalid(format!("{name} = {value:?} is not known"));
    let old = node.op_type() == "Upsample" || node.version() < 11;
    let text = |name: &str, default: &'static str| Ok::<_, OpError>(node.string(name)?.unwrap_or(default));
    let coordinates = if old { "asymmetric" } else { "half_pixel" };
    let coordinates = match text("coordinate_transformation_mode", coordinates)? {
        "align_corners" => Coordinates::AlignCorners,
        "asymmetric" => Coordinates::Asymmetric,
        "half_pixel" => Coordinates::HalfPixel,
        "half_pixel_symmetric" => Coordinates::HalfPixelSymmetric,
        "pytorch_half_pixel" => Coordinates::PytorchHalfPixel,
        "tf_half_pixel_for_nn" => Coordinates::TfHalfPixelForNn,
        "tf_crop_and_resize" => Coordinates::TfCropAndResize,
        other => return Err(unknown("coordinate_transformation_mode", other)),
    };
    let nearest = match text("nearest_mode", if old { "floor" } else { "round_prefer_floor" })? {
        "round_prefer_floor" => Nearest::PreferFloor,
        "round_prefer_ceil" => Nearest::PreferCeil,
        "floor" => Nearest::Floor,
        "ceil" => Nearest::Ceil,
        other => return Err(unknown("nearest_mode", other)),
    };
    let mode = match text("mode", "nearest")? {
        "nearest" => Mode::Nearest(nearest),
        "linear" | "bilinear" => Mode::Linear,
        "cubic" => Mode::Cubic,
        other => return Err(unknown("mode", other)),
    };
    let policy = match text("keep_aspect_ratio_policy", "stretch")? {
        "stretch" => Policy::Stretch,
        "not_larger" => Policy::NotLarger,
        "not_smaller" => Policy::NotSmaller,
        other => return Err(unknown("keep_aspect_ratio_policy", other)),
    };
    let method = Method {
        mode,
        coordinates,
        cubic: node.float_or("cubic_coeff_a", -0.75)?.into(),
        antialias: node.int_or("antialias", 0)? != 0,
        exclude_outside: node.int_or("exclude_outside", 0)? != 0,
    };
    let op = Resize {
        name: if node.op_type() == "Upsample" { "Upsample" } else { "Resize" },
        method,
        axes: node.ints("axes")?.map(<[i64]>::to_vec),
        policy,
        fill: node.float_or("extrapolation_value", 0.0)?,
        scales: if old { 1 } else { 2 },
    };
    // Scales are an attribute in opset 7.
    let scales = if node.version() < 9 { node.floats("scales")? } else { None };
    let constants = scales.map(|list| Ok::<_, OpError>((1, HostTensor::from_f32(vec![list.len()], list)?)));
    Ok(with_constants(composite(op), constants.transpose()?.into_iter().collect()))
}

fn cases() -> Vec<Case> {
    let method = |mode, coordinates| Method {
        mode,
        coordinates,
        cubic: -0.75,
        antialias: false,
        exclude_outside: false,
    };
    let of =
        |method| Resize { name: "Resize", method, axes: None, policy: Policy::Stretch, fill: 0.0, scales: 2 };
    let scaled = |name: &str, op: Resize, shape: &[usize], scales: &[f64]| {
        let list = sample::of(DType::F32, &[scales.len()], scales);
        let inputs = vec![Some(sample::floats(shape, 1)), None, Some(list)];
        Case::composite(format!("{name} {shape:?} by {scales:?}"), op, inputs).constants(&[2])
    };
    let sized = |name: &str, op: Resize, x: HostTensor, sizes: &[i64]| {
        let inputs = vec![Some(x), None, None, Some(sample::list(sizes))];
        Case::composite(format!("{name} to {sizes:?}"), op, inputs).constants(&[3])
    };
    let nearest = |nearest, coordinates| of(method(Mode::Nearest(nearest), coordinates));
    let linear = |coordinates| method(Mode::Linear, coordinates);
    let cubic = |coordinates| method(Mode::Cubic, coordinates);
    let crop = |mode, fill| {
        let op = Resize { fill, ..of(method(mode, Coordinates::TfCropAndResize)) };
        let roi = sample::of(DType::F32, &[4], &[0.25, -0.25, 0.75, 1.5]);
        let inputs = vec![Some(sample::floats(&[5, 4], 1)), Some(roi), None, Some(sample::list(&[4, 6]))];
        Case::composite(format!("a part, {mode:?}"), op, inputs).constants(&[1, 3])
    };
    let (half, symmetric) = (Coordinates::HalfPixel, Coordinates::HalfPixelSymmetric);
    let upsample = Resize { name: "Upsample", scales: 1, ..nearest(Nearest::Floor, Coordinates::Asymmetric) };
    let old = vec![Some(sample::floats(&[3, 2], 1)), Some(sample::of(DType::F32, &[2], &[2.0, 1.5]))];
    let photo = || sample::integers_in(&[1, 2, 4, 3], 1, 0, 256).cast(DType::U8);
    let keep = |policy| Resize { policy, axes: Some(vec![-1, 0]), ..of(linear(half)) };
    vec![
        scaled("nearest", nearest(Nearest::PreferFloor, half), &[1, 2, 2, 3], &[1.0, 1.0, 2.0, 3.0])
            .tolerance(Tolerance::EXACT),
        scaled("nearest", nearest(Nearest::Ceil, Coordinates::TfHalfPixelForNn), &[7, 3], &[0.6, 2.0])
            .tolerance(Tolerance::EXACT),
        scaled("linear", of(linear(half)), &[1, 2, 4, 5], &[1.0, 1.0, 2.0, 0.6]),
        scaled("linear", of(linear(symmetric)), &[5, 4], &[2.3, 0.7]),
        scaled("linear", of(linear(Coordinates::AlignCorners)), &[3, 4, 2], &[2.0, 0.8, 1.0]),
        scaled("cubic", of(cubic(half)), &[2, 5, 4], &[1.0, 1.7, 0.6]),
        scaled(
            "cubic",
            of(Method { exclude_outside: true, cubic: -0.5, ..cubic(half) }),
            &[4, 4],
            &[2.0, 0.8],
        ),
        scaled("linear, antialias", of(Method { antialias: true, ..linear(half) }), &[9, 4], &[0.3, 0.6]),
        scaled("cubic, antialias", of(Method { antialias: true, ..cubic(half) }), &[9, 4], &[0.3, 1.6]),
        sized("linear", of(linear(Coordinates::PytorchHalfPixel)), sample::floats(&[4, 4], 1), &[3, 1]),
        sized("not larger", keep(Policy::NotLarger), sample::floats(&[4, 3, 6], 1), &[4, 6]),
        sized("not smaller", keep(Policy::NotSmaller), sample::floats(&[4, 3, 6], 1), &[4, 6]),
        sized("uint8", of(linear(half)), photo(), &[1, 2, 8, 2]).tolerance(Tolerance::EXACT),
        sized("uint8, nearest", nearest(Nearest::Floor, Coordinates::AlignCorners), photo(), &[1, 2, 7, 2])
            .tolerance(Tolerance::EXACT),
        sized("the same", of(cubic(half)), sample::floats(&[3], 1), &[3]).tolerance(Tolerance::EXACT),
        crop(Mode::Linear, 7.5),
        crop(Mode::Nearest(Nearest::PreferCeil), -1.0),
        Case::composite("upsample", upsample, old).constants(&[1]).tolerance(Tolerance::EXACT),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator =
    Operator { onnx: &[standard("Resize", 10..=27), standard("Upsample", 7..=9)], decode, cases };
