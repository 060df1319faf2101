//! MaxPool and AveragePool: windows reduced to one number. LpPool and Col2Im sum so too.

use std::sync::Arc;

use shaders::KernelSpec;
use symbolic::Expr;

use crate::{
    dtype::DType,
    error::{OpError, invalid},
    graph::Fact,
    host::HostTensor,
    op::{
        Case, Destination, Dim, Dispatch, Elem, Grid, Infer, Lowering, OnnxNode, Op, Operator, Param, Slot,
        Tolerance, View, fill,
        nd::{floats, given, integers, strides},
        sample, standard, stretched,
        window::{Axis, Padding, Part, Solid, Window, counts, position, seen},
    },
};

/// What becomes of the elements that a window sees; padding is no element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// The greatest.
    Max,
    /// The greatest, and which element of the input the first of them is: its flat position, counted within batch and
    /// channel along the first axis first where `columns`.
    ArgMax {
        /// Whether the first axis runs fastest.
        columns: bool,
    },
    /// Their sum.
    Sum,
    /// Their sum over their number.
    Mean {
        /// Whether padding counts.
        padding: bool,
    },
}

/// Of an input `[batch, channels, ..]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// How the window moves.
    pub window: Window,
    /// Number of taps along each axis.
    pub taps: Vec<i64>,
    /// What is computed.
    pub function: Function,
}

impl Function {
    fn variant(self) -> &'static str {
        match self {
            Self::Max => "max",
            Self::ArgMax { .. } => "argmax",
            Self::Sum => "sum",
            Self::Mean { .. } => "mean",
        }
    }

    /// Bounds of the taps that a mean counts.
    fn bounds<T: Clone>(self, sizes: Vec<T>, padded: [Vec<T>; 2], zero: &T) -> [Vec<T>; 2] {
        match self {
            Self::Mean { padding: true } => padded,
            _ => [vec![zero.clone(); sizes.len()], sizes],
        }
    }

    /// Steps from one element's number to the next along each axis.
    fn places(self, sizes: &[Expr]) -> Vec<Expr> {
        let product = |list: &[Expr]| list.iter().fold(Expr::ONE, |n, d| &n * d);
        let columns = matches!(self, Self::ArgMax { columns: true });
        (0..sizes.len())
            .map(|at| if columns { product(&sizes[..at]) } else { product(&sizes[at + 1..]) })
            .collect()
    }
}

impl Pool {
    fn axes(&self, x: &[Expr]) -> Result<Vec<Axis<Expr>>, OpError> {
        let [_, _, sizes @ ..] = x else {
            return Err(invalid(format!("an input of {} dimensions", x.len())));
        };
        let axes = self.window.axes(sizes, &self.taps)?;
        for axis in &axes {
            let extent = (axis.taps - 1) * axis.dilation;
            if [&axis.before, &axis.behind].into_iter().any(|pad| pad.constant().is_some_and(|n| n > extent))
            {
                return Err(invalid(format!("padding as wide as the window, {} taps", axis.taps)));
            }
        }
        Ok(axes)
    }

    /// The number of the element that the greatest is, and it.
    fn greatest(list: impl Iterator<Item = (usize, f64)>) -> Option<(usize, f64)> {
        list.reduce(|best, next| if next.1 > best.1 || next.1.is_nan() { next } else { best })
    }
}

impl Op for Pool {
    fn name(&self) -> &'static str {
        match self.function {
            Function::Max | Function::ArgMax { .. } => "MaxPool",
            Function::Sum => "SumPool",
            Function::Mean { .. } => "AveragePool",
        }
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        let x = cx.input(0)?;
        let axes = self.axes(&x.shape)?;
        let shape = [&x.shape[..2], &counts(&axes)].concat();
        if !x.dtype.is_float() && self.function.variant() != "max" && self.function.variant() != "argmax" {
            return Err(invalid(format!("{} of {x}", self.name())));
        }
        let mut facts = vec![Fact::new(x.dtype, shape.clone())];
        if let Function::ArgMax { .. } = self.function {
            facts.push(Fact::new(DType::I64, shape));
        }
        Ok(facts)
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        let x = given(inputs, 0)?;
        let sizes: Vec<Expr> = x.shape().iter().map(|d| Expr::from(*d)).collect();
        let axes = self.axes(&sizes)?;
        let axes = axes.iter().map(Axis::fixed).collect::<Result<Vec<_>, _>>()?;
        let counts: Vec<usize> = counts(&axes).iter().map(|n| *n as usize).collect();
        let shape = [&x.shape()[..2], counts.as_slice()].concat();
        if shape.contains(&0) {
            return self.none(x.dtype(), shape);
        }
        let area: usize = x.shape()[2..].iter().product();
        let positions: usize = counts.iter().product();
        let (row_major, steps) = (strides(&x.shape()[2..]), self.function.places(&sizes[2..]));
        let number = |at: usize| {
            let of = |(axis, stride): (usize, &usize)| {
                at / stride % x.shape()[axis + 2] * steps[axis].constant().unwrap_or(0) as usize
            };
            row_major.iter().enumerate().map(of).sum::<usize>()
        };
        let (data, mut values, mut places) = (x.to_f64s(), Vec::new(), Vec::new());
        for cell in 0..shape.iter().product() {
            let (start, position) = (cell / positions * area, cell % positions);
            let met = seen(&axes, position).into_iter().map(|(_, at)| (at, data[start + at]));
            values.push(match self.function {
                Function::Max | Function::ArgMax { .. } => {
                    let (at, value) = Self::greatest(met).unwrap_or((0, f64::NEG_INFINITY));
                    places.push((start + number(at)) as i64);
                    value
                }
                Function::Sum => met.map(|(_, value)| value).sum(),
                Function::Mean { .. } => {
                    met.map(|(_, value)| value).sum::<f64>() / self.taken(&axes, position)
                }
            });
        }
        let first = if x.dtype().is_float() {
            floats(x.dtype(), shape.clone(), &values)?
        } else {
            integers(x.dtype(), shape.clone(), &values.iter().map(|v| *v as i64).collect::<Vec<_>>())?
        };
        Ok(match self.function {
            Function::ArgMax { .. } => vec![first, HostTensor::from_i64(shape, &places)?],
            _ => vec![first],
        })
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        let axes = self.axes(&cx.fact(0)?.shape)?;
        let x = cx.shaped(0)?;
        let out = Destination::strided(cx, 0)?;
        let taps = axes.iter().map(|_| Dim { size: Expr::ONE, stride: Expr::ZERO }).collect();
        let taps = View { dims: taps, ..x.clone() };
        let mut indices = None;
        if let Function::ArgMax { .. } = self.function {
            indices = Some(Destination::contiguous(cx, 1)?);
        }
        reduce(cx, self.function, [&x, &taps, &out.view], indices.as_ref().map(|to| &to.view), &axes)?;
        if let Some(indices) = indices {
            indices.finish(cx)?;
        }
        out.finish(cx)
    }
}

impl Pool {
    /// Outputs without elements.
    fn none(&self, dtype: DType, shape: Vec<usize>) -> Result<Vec<HostTensor>, OpError> {
        let places = matches!(self.function, Function::ArgMax { .. }).then_some(DType::I64);
        [Some(dtype), places].into_iter().flatten().map(|dtype| floats(dtype, shape.clone(), &[])).collect()
    }

    /// How many taps of a position a mean is over.
    fn taken(&self, axes: &[Axis<i64>], at: usize) -> f64 {
        let sizes = axes.iter().map(|axis| axis.size).collect();
        let padded = [|axis: &Axis<i64>| -axis.before, |axis: &Axis<i64>| axis.size + axis.behind];
        let padded = padded.map(|of| axes.iter().map(of).collect());
        let [low, high] = self.function.bounds(sizes, padded, &0);
        let lines = axes.iter().zip(position(axes, at)).zip(low.into_iter().zip(high));
        lines.map(|((axis, at), (low, high))| axis.covered(at, low, high) as f64).product()
    }
}

/// Reduces windows over `x [batch, channels, ..]` to `out`. `taps`, of one dimension for each axis, says how far from a tap's
/// elements those of the next are: strides of 0 where all see the same.
///
/// # Errors
/// When the window moves along more axes than the kernel has.
pub fn reduce(
    cx: &mut Lowering<'_>,
    function: Function,
    [x, taps, out]: [&View; 3],
    indices: Option<&View>,
    axes: &[Axis<Expr>],
) -> Result<(), OpError> {
    for part in Part::all(axes)? {
        let to = part.positions(out, 2);
        if part.is_blank() {
            let zero = fill::scalar(cx, 0.0, to.elem);
            cx.copy(&stretched(&zero, &to.shape()), &to)?;
            continue;
        }
        let taps = part.taps(taps, 0);
        let x = View { offset: taps.offset.clone(), ..x.clone() };
        let call = call(function, [&x, &taps, &to], indices, &part.solid()?);
        cx.dispatch(call);
    }
    Ok(())
}

fn call(function: Function, [x, taps, out]: [&View; 3], indices: Option<&View>, solid: &Solid) -> Dispatch {
    let list = |first: Expr, rest: Vec<Expr>| Param::Ints([vec![first], rest].concat());
    let strides = |view: &View| list(view.dims[1].stride.clone(), solid.strides(view, 2));
    let channels = out.dims[1].size.clone();
    let total = &(&solid.runs()[0] * &out.dims[0].size) * &channels;
    let mut params = solid.params();
    params.extend([
        ("taps", Param::Ints(solid.taps())),
        ("taps_strides", Param::Ints(solid.strides(taps, 0))),
        ("x_strides", strides(x)),
        ("out_strides", strides(out)),
        ("x_batch", Param::Int(x.dims[0].stride.clone())),
        ("out_batch", Param::Int(out.dims[0].stride.clone())),
        ("total", Param::Int(total.clone())),
    ]);
    let pick = matches!(function, Function::Max | Function::ArgMax { .. });
    if pick && matches!(x.elem, Elem::F32 | Elem::F16) {
        params.push(("least", Param::Float(f32::NEG_INFINITY)));
    }
    let mut slots = vec![("x", Slot::View(x.clone())), ("out", Slot::View(out.clone()))];
    if let Some(indices) = indices {
        let area = solid.sizes().iter().fold(Expr::ONE, |n, d| &n * d);
        params.push(("places_batch", Param::Int(&channels * &area)));
        params.push(("places", list(area, function.places(&solid.sizes()))));
        slots.push(("indices", Slot::View(indices.clone())));
    }
    if let Function::Mean { .. } = function {
        let [low, high] = function.bounds(solid.sizes(), solid.padded(), &Expr::ZERO);
        params.extend([("low", Param::Ints(low)), ("high", Param::Ints(high))]);
    }
    params.push(("channels", Param::Int(channels)));
    let spec = KernelSpec::new("window").with("OP", function.variant()).with("ELEM", x.elem.wgsl());
    Dispatch { spec, slots, params, grid: Grid::Linear(total.ceil_div(64)) }
}

/// Reads `kernel_shape`.
///
/// # Errors
/// When it is left out.
pub fn taps(node: &OnnxNode<'_>) -> Result<Vec<i64>, OpError> {
    let taps = node.ints("kernel_shape")?.map(<[i64]>::to_vec);
    taps.ok_or_else(|| invalid("attribute \"kernel_shape\" is missing"))
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    let function = if node.op_type() == "AveragePool" {
        Function::Mean { padding: node.int_or("count_include_pad", 0)? != 0 }
    } else if node.has_output(1) {
        Function::ArgMax { columns: node.int_or("storage_order", 0)? != 0 }
    } else {
        Function::Max
    };
    Ok(Arc::new(Pool { window: Window::decode(node)?, taps: taps(node)?, function }))
}

fn case(function: Function, window: Window, taps: &[i64], shape: &[usize]) -> Case {
    let name = format!("{function:?}, {taps:?} over {shape:?}, {window:?}");
    let op = Pool { window, taps: taps.to_vec(), function };
    Case::new(name, op, vec![Some(sample::floats(shape, 1))])
}

fn cases() -> Vec<Case> {
    let plain = Window::default();
    let same = |upper| Window { strides: vec![2, 2], padding: Padding::Same { upper }, ..plain.clone() };
    let pads = |pads: &[[i64; 2]]| Padding::Explicit(pads.to_vec());
    let ceil = Window { strides: vec![3, 2], padding: pads(&[[1, 0], [1, 1]]), ceil: true, ..plain.clone() };
    let dilated = Window { strides: vec![2], dilations: vec![3], padding: pads(&[[4, 2]]), ..plain.clone() };
    let functions = [
        Function::Max,
        Function::ArgMax { columns: false },
        Function::ArgMax { columns: true },
        Function::Sum,
        Function::Mean { padding: false },
        Function::Mean { padding: true },
    ];
    let mut cases = Vec::new();
    for function in functions {
        cases.extend([
            case(function, plain.clone(), &[3], &[2, 3, 9]),
            case(function, dilated.clone(), &[3], &[1, 2, 11]),
            case(function, ceil.clone(), &[2, 3], &[2, 2, 6, 8]),
            case(function, same(true), &[3, 2], &[1, 3, 5, 7]),
            case(function, same(false), &[2, 3], &[1, 1, 6, 5]),
            case(function, plain.clone(), &[2, 1, 3], &[1, 2, 4, 3, 6]),
        ]);
    }
    let bytes = sample::integers_in(&[1, 2, 5, 6], 1, 0, 255).cast(DType::U8);
    let signed = sample::integers_in(&[1, 2, 5, 6], 1, -128, -1).cast(DType::I8);
    for (input, function) in [(bytes, functions[0]), (signed, functions[1])] {
        let name = format!("{} {function:?}", input.dtype());
        let window = Window { padding: pads(&[[1, 0], [0, 1]]), ..plain.clone() };
        let case = Case::new(name, Pool { window, taps: vec![2, 2], function }, vec![Some(input)]);
        cases.push(case.tolerance(Tolerance::EXACT));
    }
    let low = sample::of(DType::F32, &[1, 1, 3], &[f64::NEG_INFINITY, f64::NEG_INFINITY, 1.0]);
    cases.push(Case::new(
        "infinities",
        Pool { window: plain, taps: vec![2], function: functions[1] },
        vec![Some(low)],
    ));
    cases
}

/// The row of the operator table.
pub static OPERATOR: Operator =
    Operator { onnx: &[standard("AveragePool", 1..=27), standard("MaxPool", 1..=27)], decode, cases };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_by_hand() {
        let window = |strides: &[i64], pads, ceil| Window { ceil, ..Window::new(strides, &[], &[pads]) };
        let x = HostTensor::from_f32(vec![1, 1, 5], &[1.0, 3.0, 2.0, 0.0, 4.0]).unwrap();
        let of = |window: Window, function| {
            let out = Pool { window, taps: vec![2], function }.reference(&[Some(&x)]).unwrap();
            out.iter().map(HostTensor::to_f64s).collect::<Vec<_>>()
        };
        assert_eq!(of(window(&[], [0, 0], false), Function::Max), [[3.0, 3.0, 2.0, 4.0]]);
        assert_eq!(of(window(&[2], [0, 0], false), Function::Sum), [[4.0, 2.0]]);
        assert_eq!(of(window(&[2], [0, 0], true), Function::Sum), [[4.0, 2.0, 4.0]]);
        let (with, without) = (Function::Mean { padding: true }, Function::Mean { padding: false });
        assert_eq!(of(window(&[2], [1, 0], false), with), [[0.5, 2.5, 2.0]]);
        assert_eq!(of(window(&[2], [1, 0], false), without), [[1.0, 2.5, 2.0]]);
        assert_eq!(of(window(&[2], [0, 0], true), with), [[2.0, 1.0, 4.0]], "what lies past the padding");
        let places = of(window(&[3], [1, 1], false), Function::ArgMax { columns: false });
        assert_eq!(places, [[1.0, 2.0], [0.0, 2.0]]);
    }
}
