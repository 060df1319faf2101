//! DeformConv: a convolution whose taps each lie where an input says, between elements too.

use std::sync::Arc;

use shaders::KernelSpec;
use symbolic::Expr;

use super::{conv::Conv, reshape::Reshape};
use crate::{
    error::{OpError, invalid},
    graph::{Fact, ValueId},
    host::HostTensor,
    op::{
        Case, Composite, Destination, Dispatch, Grid, Infer, Lowering, OnnxNode, Op, Operator, Param, Parts,
        Slot, composite,
        nd::{fixed, floats, given, optional},
        sample, standard,
        window::{Axis, Window, counts, position},
    },
};

/// Inputs: x `[batch, channels, height, width]`, filters `[out, channels / groups, taps ..]`, offsets of the taps
/// `[batch, offset groups * taps * 2, positions ..]`, biases `[out]`, factors of the taps like offsets without the 2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeformConv {
    /// How the filters move.
    pub window: Window,
    /// Groups of channels that do not see each other.
    pub groups: i64,
    /// Groups of channels whose taps lie apart.
    pub offset_groups: i64,
}

/// What the taps of a [`DeformConv`] see, `[batch, channels * taps, positions ..]`. Inputs: x, offsets, factors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeformColumns {
    /// How the filters move.
    pub window: Window,
    /// Number of taps along each axis.
    pub taps: Vec<i64>,
    /// Groups of channels whose taps lie apart.
    pub groups: i64,
}

const MASK: usize = 2;

impl DeformColumns {
    fn axes(&self, x: &[Expr]) -> Result<Vec<Axis<Expr>>, OpError> {
        match x {
            [_, channels, sizes @ ..] if sizes.len() == 2 => {
                let fits = channels
                    .constant()
                    .is_some_and(|n| (1..=n).contains(&self.groups) && n % self.groups == 0);
                let wrong = || invalid(format!("{channels} channels in {} groups of offsets", self.groups));
                if fits { self.window.axes(sizes, &self.taps) } else { Err(wrong()) }
            }
            _ => Err(OpError::Unsupported(format!("DeformConv of {} dimensions", x.len()))),
        }
    }

    fn all_taps(&self) -> i64 {
        self.taps.iter().product()
    }
}

impl Op for DeformColumns {
    fn name(&self) -> &'static str {
        "DeformColumns"
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        let x = cx.input(0)?;
        let counts = counts(&self.axes(&x.shape)?);
        let taps = Expr::from(self.all_taps());
        let lists =
            |each: i64| [&[x.shape[0].clone(), &taps * (self.groups * each)], counts.as_slice()].concat();
        cx.expect(1, "offset", &lists(2))?;
        cx.expect(MASK, "mask", &lists(1))?;
        let out = [&[x.shape[0].clone(), &x.shape[1] * &taps], counts.as_slice()].concat();
        Ok(vec![Fact::new(x.dtype, out)])
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        let (x, offsets) = (given(inputs, 0)?, given(inputs, 1)?);
        let shape: Vec<Expr> = x.shape().iter().map(|d| Expr::from(*d)).collect();
        let axes = self.axes(&shape)?;
        let axes = axes.iter().map(Axis::fixed).collect::<Result<Vec<_>, _>>()?;
        let (taps, groups) = (self.all_taps() as usize, self.groups as usize);
        let counts: Vec<usize> = counts(&axes).iter().map(|n| *n as usize).collect();
        let [batch, channels, height, width] = [0, 1, 2, 3].map(|at| x.shape()[at]);
        let shape = [&[batch, channels * taps], counts.as_slice()].concat();
        if shape.contains(&0) {
            return Ok(vec![floats(x.dtype(), shape, &[])?]);
        }
        let area = counts[0] * counts[1];
        let masks = optional(inputs, MASK).map(HostTensor::to_f64s);
        let (data, offsets) = (x.to_f64s(), offsets.to_f64s());
        let lines = batch * groups * taps * area;
        if offsets.len() != 2 * lines || masks.as_ref().is_some_and(|m| m.len() != lines) {
            return Err(invalid("offsets or factors do not fit the positions"));
        }
        let cell = |index: usize| {
            let (at, row) = (index % area, index / area);
            let (k, c, n) = (row % taps, row / taps % channels, row / taps / channels);
            let line = (n * groups + c / (channels / groups)) * taps + k;
            let tap = [k as i64 / self.taps[1], k as i64 % self.taps[1]];
            let here = position(&axes, at);
            let place = |a: usize| {
                let start = here[a] * axes[a].stride + tap[a] * axes[a].dilation - axes[a].before;
                start as f64 + offsets[(line * 2 + a) * area + at]
            };
            let (y, x) = (place(0), place(1));
            let mut sum = 0.0;
            for (row, column) in [(0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0)] {
                let (row, column) = (y.floor() + row, x.floor() + column);
                let inside = row >= 0.0 && column >= 0.0 && row < height as f64 && column < width as f64;
                let weight = (1.0 - (y - row).abs()) * (1.0 - (x - column).abs());
                if inside {
                    let start = (n * channels + c) * height;
                    sum += weight * data[(start + row as usize) * width + column as usize];
                }
            }
            sum * masks.as_ref().map_or(1.0, |m| m[line * area + at])
        };
        let all: Vec<f64> = (0..batch * channels * taps * area).map(cell).collect();
        Ok(vec![floats(x.dtype(), shape, &all)?])
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        let axes = self.axes(&cx.fact(0)?.shape)?;
        let flat = |cx: &mut Lowering<'_>, index| {
            let view = cx.shaped(index)?;
            cx.contiguous(view)
        };
        let x = cx.shaped(0)?;
        let out = Destination::contiguous(cx, 0)?;
        let mut slots = vec![("x", x.clone()), ("offsets", flat(cx, 1)?), ("out", out.view.clone())];
        if cx.has_input(MASK) {
            slots.push(("masks", flat(cx, MASK)?));
        }
        let list = |of: &dyn Fn(&Axis<Expr>) -> Expr| Param::Ints(axes.iter().map(of).collect());
        let (channels, total) = (x.dims[1].size.clone(), out.view.len());
        let params = vec![
            ("x_strides", Param::Ints(x.dims.iter().map(|d| d.stride.clone()).collect())),
            ("x_shape", list(&|axis| axis.size.clone())),
            ("out_shape", list(&|axis| axis.count.clone())),
            ("stride", list(&|axis| Expr::from(axis.stride))),
            ("dilation", list(&|axis| Expr::from(axis.dilation))),
            ("before", list(&|axis| axis.before.clone())),
            ("taps", list(&|axis| Expr::from(axis.taps))),
            ("depth", Param::Int(channels.floor_div(self.groups))),
            ("channels", Param::Int(channels)),
            ("total", Param::Int(total.clone())),
        ];
        let spec = KernelSpec::new("deform_columns")
            .with("ELEM", out.view.elem.wgsl())
            .flag("MASK", cx.has_input(MASK));
        let slots = slots.into_iter().map(|(name, view)| (name, Slot::View(view))).collect();
        cx.dispatch(Dispatch { spec, slots, params, grid: Grid::Linear(total.ceil_div(64)) });
        out.finish(cx)
    }
}

impl Composite for DeformConv {
    fn name(&self) -> &'static str {
        "DeformConv"
    }

    /// What the taps see, then filters of one tap over that.
    fn expand(&self, parts: &mut Parts<'_, '_>) -> Result<Vec<ValueId>, OpError> {
        let (x, filters, offsets) = (parts.input(0)?, parts.input(1)?, parts.input(2)?);
        let unknown = || OpError::Unsupported("filters whose sizes are not known".into());
        let shape = fixed(&parts.fact(filters)?.shape).ok_or_else(unknown)?;
        let shape: Vec<i64> = shape.into_iter().map(|n| n as i64).collect();
        let [out, depth, taps @ ..] = shape.as_slice() else {
            return Err(invalid(format!("filters of shape {shape:?}")));
        };
        let (window, groups) = (self.window.clone(), self.offset_groups);
        let columns = DeformColumns { window, taps: taps.to_vec(), groups };
        let inputs = [Some(x), Some(offsets), parts.optional(4)];
        let columns = parts.add_all(columns, &inputs, 1)?[0];
        let whole = taps.iter().try_fold(*depth, |n, t| n.checked_mul(*t));
        let whole = whole.ok_or_else(|| invalid("the filters are too large"))?;
        let shape = parts.integers(&[*out, whole, 1, 1])?;
        let filters = parts.add(Reshape { allow_zero: true }, &[filters, shape])?;
        let inputs = [Some(columns), Some(filters), parts.optional(3)];
        parts.add_all(Conv { window: Window::default(), groups: self.groups }, &inputs, 1)
    }
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    Ok(composite(DeformConv {
        window: Window::decode(node)?,
        groups: node.int_or("group", 1)?,
        offset_groups: node.int_or("offset_group", 1)?,
    }))
}

fn cases() -> Vec<Case> {
    let case = |groups: i64, offset_groups: i64, window: Window, mask: bool| {
        let (taps, sizes) = ([2, 3], [Expr::from(5), Expr::from(6)]);
        let axes = window.axes(&sizes, &taps).unwrap_or_default();
        let places: Vec<usize> = axes.iter().filter_map(|a| a.count.constant()).map(|n| n as usize).collect();
        let lists = |each: usize| [&[2, offset_groups as usize * each * 6], places.as_slice()].concat();
        let inputs = vec![
            Some(sample::floats(&[2, 4, 5, 6], 1)),
            Some(sample::floats(&[6, 4 / groups as usize, 2, 3], 2)),
            Some(sample::floats_in(&lists(2), 3, -3.0, 3.0)),
            mask.then(|| sample::floats(&[6], 4)),
            mask.then(|| sample::floats_in(&lists(1), 5, 0.0, 1.0)),
        ];
        let name = format!("groups {groups}, of offsets {offset_groups}, {window:?}, mask {mask}");
        Case::composite(name, DeformConv { window, groups, offset_groups }, inputs)
    };
    vec![
        case(1, 1, Window::default(), false),
        case(2, 1, Window::new(&[2, 1], &[1, 2], &[[1, 1], [2, 0]]), true),
        case(1, 2, Window::new(&[1, 2], &[], &[[0, 0], [1, 1]]), true),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[standard("DeformConv", 19..=27)], decode, cases };
