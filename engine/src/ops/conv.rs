//! Conv: filters that slide over one to three axes. Transposed and integer convolutions are made of it.

use std::sync::Arc;

use shaders::KernelSpec;
use symbolic::Expr;

use crate::{
    error::{OpError, invalid},
    graph::Fact,
    host::HostTensor,
    op::{
        Case, Destination, Dispatch, Grid, Infer, Lowering, OnnxNode, Op, Operator, Param, Slot, View, fill,
        nd::{fixed, floats, given, integers, optional},
        sample, standard, stretched,
        window::{Axis, Padding, Part, Solid, Window, counts, seen},
    },
};

/// Inputs: x `[batch, channels, ..]`, filters `[out, channels / groups, taps ..]`, biases `[out]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conv {
    /// How the filters move.
    pub window: Window,
    /// Groups of channels that do not see each other.
    pub groups: i64,
}

/// From this many output channels a group on, a workgroup computes tiles of 32 of them.
const MANY: usize = 16;

const BIAS: usize = 2;

/// Numbers of a group: output channels, input channels, taps.
struct Sizes {
    rows: usize,
    depth: usize,
    taps: Vec<i64>,
}

impl Conv {
    fn sizes(&self, filters: &[usize]) -> Result<Sizes, OpError> {
        let groups = usize::try_from(self.groups).unwrap_or(0);
        let [out, depth, taps @ ..] = filters else {
            return Err(invalid(format!("filters of shape {filters:?}")));
        };
        if groups == 0 || out % groups != 0 {
            return Err(invalid(format!("{out} output channels in {} groups", self.groups)));
        }
        let taps = taps.iter().map(|n| i64::try_from(*n).unwrap_or(i64::MAX)).collect();
        Ok(Sizes { rows: out / groups, depth: *depth, taps })
    }

    fn axes(&self, x: &[Expr], filters: &[usize]) -> Result<Vec<Axis<Expr>>, OpError> {
        let Sizes { depth, taps, .. } = self.sizes(filters)?;
        let [_, channels, sizes @ ..] = x else {
            return Err(invalid(format!("an input of {} dimensions", x.len())));
        };
        let wanted = Expr::from(depth) * self.groups;
        if channels.constant().is_some() && *channels != wanted {
            return Err(invalid(format!("{channels} channels in {} groups of {depth}", self.groups)));
        }
        self.window.axes(sizes, &taps)
    }
}

/// The shape of filters, which decide the result's.
fn known(filters: &[Expr]) -> Result<Vec<usize>, OpError> {
    fixed(filters).ok_or_else(|| OpError::Unsupported("filters whose sizes are not known".into()))
}

impl Op for Conv {
    fn name(&self) -> &'static str {
        "Conv"
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        let (x, filters) = (cx.input(0)?, cx.input(1)?);
        let shape = known(&filters.shape)?;
        let axes = self.axes(&x.shape, &shape)?;
        cx.unify(&x.shape[1], "channels", &(Expr::from(shape[1]) * self.groups), "those of the filters")?;
        cx.expect(BIAS, "bias", &filters.shape[..1])?;
        let out = [&x.shape[..1], &filters.shape[..1], &counts(&axes)].concat();
        Ok(vec![Fact::new(x.dtype, out)])
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        let (x, filters) = (given(inputs, 0)?, given(inputs, 1)?);
        let sizes: Vec<Expr> = x.shape().iter().map(|d| Expr::from(*d)).collect();
        let axes = self.axes(&sizes, filters.shape())?;
        let axes = axes.iter().map(Axis::fixed).collect::<Result<Vec<_>, _>>()?;
        let Sizes { rows, depth, .. } = self.sizes(filters.shape())?;
        let out = filters.shape()[0];
        let counts: Vec<usize> = counts(&axes).iter().map(|n| *n as usize).collect();
        let shape = [&[x.shape()[0], out], counts.as_slice()].concat();
        if shape.contains(&0) {
            return Ok(vec![floats(x.dtype(), shape, &[])?]);
        }
        let [area, taps] =
            [&x.shape()[2..], &filters.shape()[2..]].map(|sizes| sizes.iter().product::<usize>());
        let (data, weights) = (x.to_f64s(), filters.to_f64s());
        let biases = optional(inputs, BIAS).map_or_else(|| vec![0.0; out], HostTensor::to_f64s);
        let positions: usize = counts.iter().product();
        let mut all = vec![0.0; shape.iter().product()];
        for position in 0..positions {
            let met = seen(&axes, position);
            for (channel, cell) in all.iter_mut().skip(position).step_by(positions).enumerate() {
                let (n, m) = (channel / out, channel % out);
                let sum = |c: usize| {
                    let from = (n * x.shape()[1] + m / rows * depth + c) * area;
                    let filter = (m * depth + c) * taps;
                    met.iter().map(|(tap, at)| weights[filter + tap] * data[from + at]).sum::<f64>()
                };
                *cell = biases[m] + (0..depth).map(sum).sum::<f64>();
            }
        }
        if x.dtype().is_float() {
            return Ok(vec![floats(x.dtype(), shape, &all)?]);
        }
        Ok(vec![integers(x.dtype(), shape, &all.iter().map(|v| *v as i64).collect::<Vec<_>>())?])
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        let shape = known(&cx.fact(1)?.shape)?;
        let axes = self.axes(&cx.fact(0)?.shape, &shape)?;
        let Sizes { rows, depth, .. } = self.sizes(&shape)?;
        let (x, filters) = (cx.shaped(0)?, cx.shaped(1)?);
        let mut biases = None;
        if cx.has_input(BIAS) {
            let given = cx.shaped(BIAS)?;
            biases = Some(cx.contiguous(given)?);
        }
        let out = Destination::strided(cx, 0)?;
        for part in Part::all(&axes)? {
            let (filters, to) = (part.taps(&filters, 2), part.positions(&out.view, 2));
            if part.is_blank() {
                let biases = biases.clone().unwrap_or_else(|| fill::scalar(cx, 0.0, to.elem));
                let column = [&to.shape()[1..2], &vec![Expr::ONE; axes.len()]].concat();
                let column = if biases.dims.is_empty() { biases } else { cx.reshaped(biases, &column)? };
                cx.copy(&stretched(&column, &to.shape()), &to)?;
                continue;
            }
            let product =
                Product { x: &x, filters: &filters, biases: biases.as_ref(), out: &to, rows, depth };
            let call = product.call(&part.solid()?, self.groups);
            cx.dispatch(call);
        }
        out.finish(cx)
    }
}

/// One kernel call.
struct Product<'a> {
    x: &'a View,
    filters: &'a View,
    biases: Option<&'a View>,
    out: &'a View,
    rows: usize,
    depth: usize,
}

impl Product<'_> {
    fn call(&self, solid: &Solid, groups: i64) -> Dispatch {
        let strides = |view: &View, first: usize| {
            let mut list = vec![view.dims[first].stride.clone()];
            list.extend(solid.strides(view, 2));
            Param::Ints(list)
        };
        let outer = |view: &View| Param::Int(view.dims[0].stride.clone());
        let mut params = solid.params();
        params.extend([
            ("x_strides", strides(self.x, 1)),
            ("filters_strides", strides(self.filters, 1)),
            ("out_strides", strides(self.out, 1)),
            ("x_batch", outer(self.x)),
            ("filters_row", outer(self.filters)),
            ("out_batch", outer(self.out)),
            ("rows", Param::Int(Expr::from(self.rows))),
            ("depth", Param::Int(Expr::from(self.depth))),
        ]);
        let mut slots = vec![("x", self.x), ("filters", self.filters), ("out", self.out)];
        slots.extend(self.biases.map(|biases| ("biases", biases)));
        let slots = slots.into_iter().map(|(name, view)| (name, Slot::View(view.clone()))).collect();
        let ([runs, _], batch) = (solid.runs(), &self.out.dims[0].size);
        let (spec, grid) = if self.rows >= MANY {
            let tiles = &(&runs.ceil_div(8) * batch) * (groups * self.rows.div_ceil(32) as i64);
            params.extend([("groups", Param::Int(groups.into())), ("tiles", Param::Int(tiles.clone()))]);
            let taps = ["TAPS_Z", "TAPS_Y", "TAPS_X"].into_iter().zip(solid.taps());
            let spec = taps.fold(KernelSpec::new("conv"), |spec, (name, taps)| {
                spec.set(name, taps.constant().and_then(|n| u32::try_from(n).ok()).unwrap_or(1))
            });
            (spec, Grid::Linear(tiles))
        } else {
            let channels = self.out.dims[1].size.clone();
            let total = &(&runs * batch) * &channels;
            params.extend([
                ("taps", Param::Ints(solid.taps())),
                ("taps_strides", Param::Ints(vec![Expr::ZERO; 3])),
                ("channels", Param::Int(channels)),
                ("total", Param::Int(total.clone())),
            ]);
            (KernelSpec::new("window").with("OP", "dot"), Grid::Linear(total.ceil_div(64)))
        };
        let spec = spec.with("ELEM", self.out.elem.wgsl()).flag("BIAS", self.biases.is_some());
        Dispatch { spec, slots, params, grid }
    }
}

/// `kernel_shape` repeats the filters' shape.
fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    Ok(Arc::new(Conv { window: Window::decode(node)?, groups: node.int_or("group", 1)? }))
}

fn case(name: &str, window: Window, groups: i64, x: &[usize], filters: &[usize], bias: bool) -> Case {
    let bias = bias.then(|| sample::floats(&filters[..1], 3));
    let inputs = vec![Some(sample::floats(x, 1)), Some(sample::floats(filters, 2)), bias];
    Case::new(format!("{name}, {x:?} by {filters:?}"), Conv { window, groups }, inputs)
}

fn cases() -> Vec<Case> {
    let plain = Window::default;
    let same = |upper| Window { padding: Padding::Same { upper }, strides: vec![2, 3], ..plain() };
    let spread = |spread: &[i64], window: Window| Window { spread: spread.to_vec(), ..window };
    let mut cases = vec![
        case("one axis", Window::new(&[2], &[], &[[1, 2]]), 1, &[2, 3, 11], &[20, 3, 3], true),
        case("one tap", plain(), 1, &[2, 20, 5, 7], &[33, 20, 1, 1], true),
        case("one position", plain(), 1, &[1, 5, 3, 3], &[18, 5, 3, 3], false),
        case("cropped", Window::new(&[], &[], &[[-1, 2], [0, -2]]), 1, &[1, 2, 6, 7], &[16, 2, 2, 3], false),
        case(
            "three axes",
            Window::new(&[2, 1, 1], &[1, 2, 1], &[]),
            1,
            &[1, 3, 5, 6, 7],
            &[17, 3, 2, 2, 3],
            true,
        ),
        case("as large as the steps", same(true), 1, &[1, 2, 5, 8], &[16, 2, 3, 4], false),
        case(
            "as large as the steps, the odd one before",
            same(false),
            1,
            &[1, 2, 6, 7],
            &[4, 2, 2, 4],
            false,
        ),
        case("a channel a group", Window::new(&[], &[], &[[2, 0]]), 6, &[2, 6, 9], &[6, 1, 3], true),
        case(
            "groups of many",
            Window::new(&[2, 2], &[], &[[1, 1]; 2]),
            2,
            &[2, 6, 9, 6],
            &[34, 3, 3, 3],
            true,
        ),
        case(
            "spread",
            spread(&[2, 3], Window::new(&[], &[], &[[2, 2]; 2])),
            1,
            &[1, 3, 3, 4],
            &[16, 3, 3, 3],
            true,
        ),
        case(
            "spread, few channels",
            spread(&[3], Window::new(&[2], &[2], &[[1, 3]])),
            2,
            &[2, 4, 7],
            &[6, 2, 4],
            true,
        ),
        case("spread past the taps", spread(&[4], Window::default()), 1, &[1, 2, 3], &[3, 2, 2], true),
        case("no batch", plain(), 1, &[0, 2, 5], &[3, 2, 3], false),
    ];
    let lines = Window::new(&[1, 2], &[], &[[0, 0], [1, 1]]);
    cases.push(case("a flat image", lines, 1, &[1, 3, 1, 9], &[16, 3, 1, 3], true));
    let integers = |shape: &[usize], seed| {
        Some(sample::integers_in(shape, seed, -99, 99).cast(crate::dtype::DType::I32))
    };
    for (groups, filters) in [(1, &[16, 4, 3][..]), (2, &[4, 2, 3])] {
        let op = Conv { window: Window::new(&[], &[], &[[1, 1]]), groups };
        let inputs = vec![integers(&[2, 4, 6], 1), integers(filters, 2)];
        let case = Case::new(format!("int32, {filters:?}"), op, inputs);
        cases.push(case.tolerance(crate::op::Tolerance::EXACT));
    }
    cases.extend((0..24).map(drawn));
    cases
}

/// Strides, dilations, padding, groups and spread as chance has it.
fn drawn(seed: u64) -> Case {
    let draws = sample::integers_in(&[24], 100 + seed, 0, 1 << 20).to_i64s();
    let mut draws = draws.into_iter();
    let mut draw = |low: i64, high: i64| low + draws.next().unwrap_or(0) % (high - low);
    let rank = draw(1, 4) as usize;
    let groups = draw(1, 4);
    let depth = draw(1, 4);
    let rows = if draw(0, 2) == 0 { draw(1, 4) } else { draw(16, 20) };
    let mut window = Window::default();
    let (mut pads, mut x, mut filters) =
        (Vec::new(), vec![draw(1, 3), groups * depth], vec![groups * rows, depth]);
    for _ in 0..rank {
        window.strides.push(draw(1, 4));
        window.dilations.push(draw(1, 3));
        window.spread.push([1, 1, 2, 3][draw(0, 4) as usize]);
        pads.push([draw(-1, 3), draw(-1, 3)]);
        x.push(draw(6, 9));
        filters.push(draw(1, 4));
    }
    window.padding = Padding::Explicit(pads);
    let sizes = |list: &[i64]| list.iter().map(|n| *n as usize).collect::<Vec<_>>();
    case(&format!("drawn {seed}"), window, groups, &sizes(&x), &sizes(&filters), seed.is_multiple_of(2))
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[standard("Conv", 1..=27)], decode, cases };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_by_hand() {
        let tensor = |shape: &[usize], values: &[f32]| HostTensor::from_f32(shape.to_vec(), values).unwrap();
        let (x, filters) = (tensor(&[1, 1, 4], &[1.0, 2.0, 3.0, 4.0]), tensor(&[1, 1, 2], &[10.0, 1.0]));
        let of = |window: Window| {
            let op = Conv { window, groups: 1 };
            op.reference(&[Some(&x), Some(&filters), None]).unwrap()[0].to_f32s()
        };
        assert_eq!(of(Window::default()), [12.0, 23.0, 34.0]);
        assert_eq!(of(Window::new(&[2], &[], &[[1, 0]])), [1.0, 23.0]);
        assert_eq!(of(Window::new(&[], &[2], &[[0, 1]])), [13.0, 24.0, 30.0]);
        let spread = Window { spread: vec![2], ..Window::default() };
        assert_eq!(of(spread), [10.0, 2.0, 20.0, 3.0, 30.0, 4.0]);
    }

    /// Zeros put between the elements by hand, then the same filters.
    #[test]
    fn a_spread_input_is_one_with_zeros_between() {
        for seed in 0..24 {
            let case = drawn(seed);
            let op = (case.op.as_ref() as &dyn std::any::Any).downcast_ref::<Conv>().unwrap().clone();
            let inputs: Vec<_> = case.inputs.iter().map(Option::as_ref).collect();
            let x = inputs[0].unwrap();
            let mut shape = x.shape().to_vec();
            let mut values = x.to_f64s();
            for (axis, spread) in op.window.spread.iter().enumerate() {
                let [outer, size, inner] = crate::op::nd::around(&shape, axis + 2);
                let wide = (size - 1) * *spread as usize + 1;
                let mut all = vec![0.0; outer * wide * inner];
                for (at, value) in values.iter().enumerate() {
                    let (o, rest) = (at / (size * inner), at % (size * inner));
                    all[(o * wide + rest / inner * *spread as usize) * inner + rest % inner] = *value;
                }
                (values, shape[axis + 2]) = (all, wide);
            }
            let wide = floats(x.dtype(), shape, &values).unwrap();
            let plain =
                Conv { window: Window { spread: Vec::new(), ..op.window.clone() }, groups: op.groups };
            let want = plain.reference(&[Some(&wide), inputs[1], inputs[2]]).unwrap();
            let got = op.reference(&inputs).unwrap();
            assert_eq!(got[0].shape(), want[0].shape(), "{}", case.name);
            assert_eq!(got[0].to_f64s(), want[0].to_f64s(), "{}", case.name);
        }
    }

    #[test]
    fn sizes_beside_an_empty_one_are_not_walked() {
        let empty =
            |shape: &[usize]| HostTensor::from_f64s(crate::dtype::DType::F32, shape.to_vec(), &[]).unwrap();
        let filters = HostTensor::from_f32(vec![1, 1, 1, 1], &[1.0]).unwrap();
        let (x, none) = (empty(&[0, 1, 1 << 40, 1 << 40]), empty(&[0, 1, 1, 1]));
        let op = Conv { window: Window::default(), groups: 1 };
        let out = op.reference(&[Some(&x), Some(&filters)]).unwrap();
        assert_eq!(out[0].shape(), [0, 1, 1 << 40, 1 << 40]);
        let out = op.reference(&[Some(&filters), Some(&none)]).unwrap();
        assert_eq!(out[0].shape(), [1, 0, 1, 1]);
    }

    #[test]
    fn hostile_attributes_are_refused() {
        let shape = |list: &[usize]| list.iter().map(|n| Expr::from(*n)).collect::<Vec<_>>();
        let refused = |window: Window, groups, x: &[usize], filters: &[usize]| {
            Conv { window, groups }.axes(&shape(x), filters).is_err()
        };
        assert!(!refused(Window::default(), 1, &[1, 2, 5], &[3, 2, 3]));
        assert!(refused(Window::new(&[0], &[], &[]), 1, &[1, 2, 5], &[3, 2, 3]));
        assert!(refused(Window::new(&[], &[i64::MAX], &[]), 1, &[1, 2, 5], &[3, 2, 3]));
        assert!(refused(Window::new(&[], &[], &[[i64::MIN, 0]]), 1, &[1, 2, 5], &[3, 2, 3]));
        assert!(refused(Window::new(&[], &[], &[[0, 0]; 2]), 1, &[1, 2, 5], &[3, 2, 3]));
        assert!(refused(Window::default(), 0, &[1, 2, 5], &[3, 2, 3]));
        assert!(refused(Window::default(), 2, &[1, 4, 5], &[3, 2, 3]));
        assert!(refused(Window::default(), 1, &[1, 3, 5], &[3, 2, 3]));
        assert!(refused(Window::default(), 1, &[1, 2, 5], &[3, 2, 9]));
        assert!(refused(Window::default(), 1, &[1, 2, 5], &[3, 2, 0]));
    }
}
