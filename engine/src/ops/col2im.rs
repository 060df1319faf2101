//! Col2Im: blocks put back where they were cut from an image, what overlaps summed.

use std::sync::Arc;

use symbolic::Expr;

use super::pool::{Function, reduce};
use crate::{
    error::{OpError, invalid},
    graph::Fact,
    host::HostTensor,
    op::{
        Case, Destination, Infer, Lowering, OnnxNode, Op, Operator, View,
        nd::{floats, given},
        sample, standard,
        window::{Axis, Window, counts, seen},
    },
};

/// Inputs: blocks `[batch, channels * taps, positions]`, sizes of the image, taps along each axis. The window is the one that
/// cut the blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Col2Im {
    /// How the window moves over the image.
    pub window: Window,
}

/// Image and blocks, seen from either side.
struct Geometry {
    /// Positions of the window over the image.
    cut: Vec<Axis<Expr>>,
    /// Elements of the image as positions of a window over the blocks, which has its taps in reverse.
    back: Vec<Axis<Expr>>,
    channels: Expr,
}

impl Col2Im {
    fn geometry(&self, blocks: &[Expr], image: &[Expr], taps: &[Expr]) -> Result<Geometry, OpError> {
        let [_, rows, _] = blocks else {
            return Err(invalid(format!("blocks of {} dimensions", blocks.len())));
        };
        let taps: Option<Vec<i64>> = taps.iter().map(Expr::constant).collect();
        let taps = taps.ok_or(OpError::NotConstant { index: 2 })?;
        let cut = self.window.axes(image, &taps)?;
        let all = Expr::from(taps.iter().product::<i64>());
        let channels =
            rows.exact_div(&all).ok_or_else(|| invalid(format!("{rows} rows of {taps:?} taps")))?;
        let back = cut
            .iter()
            .map(|axis| Axis {
                size: axis.count.clone(),
                count: axis.size.clone(),
                before: Expr::from((axis.taps - 1) * axis.dilation) - &axis.before,
                behind: Expr::ZERO,
                taps: axis.taps,
                stride: 1,
                dilation: axis.dilation,
                spread: axis.stride,
            })
            .collect();
        Ok(Geometry { cut, back, channels })
    }
}

impl Op for Col2Im {
    fn name(&self) -> &'static str {
        "Col2Im"
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        let (blocks, image) = (cx.input(0)?, cx.content(1)?);
        let Geometry { cut, channels, .. } = self.geometry(&blocks.shape, image, cx.content(2)?)?;
        let positions = counts(&cut).iter().fold(Expr::ONE, |n, d| &n * d);
        cx.unify(&blocks.shape[2], "blocks", &positions, "positions of the window")?;
        Ok(vec![Fact::new(blocks.dtype, [&[blocks.shape[0].clone(), channels], image].concat())])
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        let blocks = given(inputs, 0)?;
        let list = |index| {
            Ok::<_, OpError>(given(inputs, index)?.to_i64s().into_iter().map(Expr::from).collect::<Vec<_>>())
        };
        let shape: Vec<Expr> = blocks.shape().iter().map(|d| Expr::from(*d)).collect();
        let Geometry { cut, channels, .. } = self.geometry(&shape, &list(1)?, &list(2)?)?;
        let cut = cut.iter().map(Axis::fixed).collect::<Result<Vec<_>, _>>()?;
        let channels = channels.constant().unwrap_or(0) as usize;
        let sizes: Vec<usize> = cut.iter().map(|axis| axis.size as usize).collect();
        let shape = [&[blocks.shape()[0], channels], sizes.as_slice()].concat();
        if shape.contains(&0) {
            return Ok(vec![floats(blocks.dtype(), shape, &[])?]);
        }
        let positions = counts(&cut).iter().product::<i64>() as usize;
        if positions != blocks.shape()[2] {
            return Err(invalid(format!("{} blocks for {positions} positions", blocks.shape()[2])));
        }
        let (area, taps) =
            (sizes.iter().product::<usize>(), cut.iter().map(|a| a.taps as usize).product::<usize>());
        let data = blocks.to_f64s();
        let rows = blocks.shape()[0] * channels;
        let mut all = vec![0.0; rows * area];
        for position in 0..positions {
            for (tap, at) in seen(&cut, position) {
                (0..rows)
                    .for_each(|row| all[row * area + at] += data[(row * taps + tap) * positions + position]);
            }
        }
        Ok(vec![floats(blocks.dtype(), shape, &all)?])
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        let shape = &cx.fact(0)?.shape;
        let Geometry { cut, back, channels } = self.geometry(shape, cx.content(1)?, cx.content(2)?)?;
        let out = Destination::strided(cx, 0)?;
        let taps: Vec<Expr> = cut.iter().map(|axis| Expr::from(axis.taps)).collect();
        let whole = [&[shape[0].clone(), channels], taps.as_slice(), &counts(&cut)].concat();
        let blocks = cx.shaped(0)?;
        let blocks = cx.reshaped(blocks, &whole)?;
        let reversed = |view: View, axis: usize| {
            let size = view.dims[axis].size.clone();
            view.slice(axis, &(&size - 1), &size, -1)
        };
        let blocks = (2..2 + cut.len()).fold(blocks, reversed);
        let mut taps = blocks.clone();
        taps.dims = taps.dims[2..2 + cut.len()].to_vec();
        let mut x = blocks;
        x.dims.drain(2..2 + cut.len());
        reduce(cx, Function::Sum, [&x, &taps, &out.view], None, &back)?;
        out.finish(cx)
    }
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    Ok(Arc::new(Col2Im { window: Window::decode(node)? }))
}

fn cases() -> Vec<Case> {
    let case = |image: &[i64], taps: &[i64], strides: &[i64], dilations: &[i64], pads: &[[i64; 2]]| {
        let window = Window::new(strides, dilations, pads);
        let sizes: Vec<Expr> = image.iter().copied().map(Expr::from).collect();
        let axes = window.axes(&sizes, taps).unwrap_or_default();
        let positions = counts(&axes).iter().filter_map(Expr::constant).product::<i64>() as usize;
        let rows = 2 * taps.iter().product::<i64>() as usize;
        let name = format!("{image:?} of {taps:?}, {window:?}");
        let inputs =
            [sample::floats(&[2, rows, positions], 1), sample::list(image), sample::list(taps)].map(Some);
        Case::new(name, Col2Im { window }, inputs.to_vec()).constants(&[1, 2])
    };
    vec![
        case(&[5, 5], &[1, 5], &[], &[], &[]),
        case(&[6, 7], &[2, 3], &[], &[], &[[1, 0], [1, 2]]),
        case(&[8, 7], &[3, 2], &[2, 3], &[], &[[1, 1], [0, 1]]),
        case(&[9], &[2], &[3], &[], &[]),
        case(&[9], &[3], &[2], &[2], &[[1, 1]]),
        case(&[3, 4, 5], &[2, 2, 2], &[], &[], &[]),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[standard("Col2Im", 18..=27)], decode, cases };
