//! GridSample: elements of an image, or of a line or a volume, at positions that are data.

use std::sync::Arc;

use shaders::KernelSpec;
use symbolic::Expr;

use crate::{
    error::{OpError, invalid},
    graph::Fact,
    host::HostTensor,
    op::{
        Case, Destination, Dispatch, Grid, Infer, Lowering, OnnxNode, Op, Operator, Param, Slot,
        nd::{floats, given},
        sample, standard,
    },
};

/// What lies between elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The nearest one; half way the even one.
    Nearest,
    /// Of two along each dimension, by their distances.
    Linear,
    /// Of four along each dimension, by a cubic polynomial.
    Cubic,
}

/// What lies beyond the outermost elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// Zeros.
    Zeros,
    /// The outermost element.
    Border,
    /// The image again, mirrored.
    Reflection,
}

/// Inputs: x `[batch, channels, ..sizes]`, positions `[batch, ..new sizes, dimensions]` between -1 and 1, of the last
/// dimension first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GridSample {
    /// What lies between elements.
    pub mode: Mode,
    /// What lies beyond them.
    pub padding: Padding,
    /// Whether -1 and 1 are the centres of the outermost elements; else their edges.
    pub corners: bool,
}

impl GridSample {
    /// [`Padding::Reflection`] of a place.
    fn reflected(self, at: f64, size: f64) -> f64 {
        let (low, span) = if self.corners { (0.0, size - 1.0) } else { (-0.5, size) };
        if span <= 0.0 {
            return 0.0;
        }
        let there = (at - low).abs().rem_euclid(2.0 * span);
        low + there.min(2.0 * span - there)
    }

    /// The place on an axis that a position between -1 and 1 is.
    fn place(self, position: f64, size: f64) -> f64 {
        let (at, low) = if self.corners {
            ((position + 1.0) / 2.0 * (size - 1.0), 0.0)
        } else {
            (((position + 1.0) * size - 1.0) / 2.0, -0.5)
        };
        let at = if self.mode == Mode::Nearest { at.round_ties_even() } else { at };
        match self.padding {
            Padding::Border if at < low || at > size - 1.0 - low => at.clamp(0.0, (size - 1.0).max(0.0)),
            Padding::Reflection if at < low || at > size - 1.0 - low => self.reflected(at, size),
            _ => at,
        }
    }

    /// Indices and shares of the elements along an axis; `None` is a zero.
    fn taps(self, position: f64, size: usize) -> Vec<(Option<usize>, f64)> {
        let at = self.place(position, size as f64);
        let (before, count) = match self.mode {
            Mode::Nearest => (0, 1),
            Mode::Linear => (0, 2),
            Mode::Cubic => (1, 4),
        };
        let last = (size as i64 - 1).max(0);
        let tap = |i: i64| {
            let d = (i as f64 - at).abs();
            let share = match self.mode {
                Mode::Nearest => 1.0,
                Mode::Linear => 1.0 - d,
                Mode::Cubic if d <= 1.0 => (1.25 * d - 2.25) * d * d + 1.0,
                Mode::Cubic => ((-0.75 * d + 3.75) * d - 6.0) * d + 3.0,
            };
            let there = match self.padding {
                Padding::Zeros => (0..=last).contains(&i).then_some(i),
                Padding::Border => Some(i),
                Padding::Reflection => Some(self.reflected(i as f64, size as f64) as i64),
            };
            (there.map(|i| i.clamp(0, last) as usize), share)
        };
        let base = at.floor().clamp(-1e15, 1e15) as i64 - before;
        (base..base + count).map(tap).collect()
    }

    /// Of the elements of one channel.
    fn sampled(self, channel: &[f64], sizes: &[usize], position: &[f64]) -> f64 {
        let mut terms = vec![(Some(0), 1.0)];
        for (size, number) in sizes.iter().zip(position.iter().rev()) {
            let taps = self.taps(*number, *size);
            let join = |(index, weight): &(Option<usize>, f64)| {
                let (index, weight) = (*index, *weight);
                let of = |(i, share): &(Option<usize>, f64)| {
                    (index.zip(*i).map(|(index, i)| index * size + i), weight * share)
                };
                taps.iter().map(of).collect::<Vec<_>>()
            };
            terms = terms.iter().flat_map(join).collect();
        }
        terms.iter().filter_map(|(index, weight)| Some(weight * channel[(*index)?])).sum()
    }
}

impl Op for GridSample {
    fn name(&self) -> &'static str {
        "GridSample"
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        let (x, grid) = (cx.input(0)?, cx.input(1)?);
        let dims = x.rank().saturating_sub(2);
        let empty = x.shape.iter().skip(2).any(|size| size.constant() == Some(0));
        if !(1..=3).contains(&dims) || grid.rank() != x.rank() || empty {
            return Err(invalid(format!("positions {grid} in {x}")));
        }
        cx.unify(&grid.shape[0], "positions", &x.shape[0], "batch")?;
        cx.unify(&grid.shape[dims + 1], "numbers of a position", &Expr::from(dims), "dimensions")?;
        let shape = [&x.shape[..2], &grid.shape[1..=dims]].concat();
        Ok(vec![Fact::new(x.dtype, shape)])
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        let (x, grid) = (given(inputs, 0)?, given(inputs, 1)?);
        let ([batch, channels, sizes @ ..], Some((dims, places))) = (x.shape(), grid.shape().split_last())
        else {
            return Err(invalid("positions in nothing"));
        };
        let [count, places @ ..] = places else { return Err(invalid("positions of nothing")) };
        if count != batch || *dims != sizes.len() || sizes.contains(&0) {
            return Err(invalid(format!("positions {:?} in {:?}", grid.shape(), x.shape())));
        }
        let (all, positions) = (x.to_f64s(), grid.to_f64s());
        let (inside, outside): (usize, usize) = (sizes.iter().product(), places.iter().product());
        let mut out = Vec::with_capacity(batch * channels * outside);
        for plane in 0..batch * channels {
            let channel = &all[plane * inside..][..inside];
            let own = &positions[plane / channels * outside * dims..][..outside * dims];
            out.extend(own.chunks(*dims).map(|position| self.sampled(channel, sizes, position)));
        }
        let shape = [&[*batch, *channels], places].concat();
        Ok(vec![floats(x.dtype(), shape, &out)?])
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        let shape = cx.fact(0)?.shape.clone();
        let (x, grid) = (cx.shaped(0)?, cx.shaped(1)?);
        let (x, grid) = (cx.contiguous(x)?, cx.contiguous(grid)?);
        let out = Destination::contiguous(cx, 0)?;
        let mut sizes = shape[2..].to_vec();
        let dims = sizes.len();
        sizes.resize(4, Expr::ONE);
        let (total, ones) = (out.view.len(), out.view.shape());
        let params = vec![
            ("sizes", Param::Ints(sizes)),
            ("total", Param::Int(total.clone())),
            ("channels", Param::Int(shape[1].clone())),
            ("places", Param::Int(ones[2..].iter().fold(Expr::ONE, |n, d| &n * d))),
        ];
        let mode = match self.mode {
            Mode::Nearest => "nearest",
            Mode::Linear => "linear",
            Mode::Cubic => "cubic",
        };
        let padding = match self.padding {
            Padding::Zeros => "zeros",
            Padding::Border => "border",
            Padding::Reflection => "reflection",
        };
        let spec = KernelSpec::new("grid_sample")
            .with("ELEM", x.elem.wgsl())
            .with("DIMS", dims.to_string())
            .with("MODE", mode)
            .with("PADDING", padding)
            .flag("CORNERS", self.corners);
        let slots = [("x", x), ("grid", grid), ("out", out.view.clone())].map(|(n, v)| (n, Slot::View(v)));
        cx.dispatch(Dispatch { spec, slots: slots.to_vec(), params, grid: Grid::Linear(total.ceil_div(64)) });
        out.finish(cx)
    }
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    let mode = match node.string("mode")?.unwrap_or("linear") {
        "nearest" => Mode::Nearest,
        "linear" | "bilinear" => Mode::Linear,
        "cubic" | "bicubic" => Mode::Cubic,
        other => return Err(invalid(format!("mode = {other:?} is not known"))),
    };
    let padding = match node.string("padding_mode")?.unwrap_or("zeros") {
        "zeros" => Padding::Zeros,
        "border" => Padding::Border,
        "reflection" => Padding::Reflection,
        other => return Err(invalid(format!("padding_mode = {other:?} is not known"))),
    };
    Ok(Arc::new(GridSample { mode, padding, corners: node.int_or("align_corners", 0)? != 0 }))
}

fn cases() -> Vec<Case> {
    let case = |mode, padding, corners, sizes: &[usize], places: &[usize]| {
        let (batch, dims) = (2, sizes.len());
        let x = sample::floats(&[&[batch, 3], sizes].concat(), 1);
        let grid = sample::floats_in(&[&[batch], places, &[dims]].concat(), 2, -2.0, 2.0);
        let name = format!("{mode:?}, {padding:?}, corners {corners}, {places:?} in {sizes:?}");
        Case::new(name, GridSample { mode, padding, corners }, vec![Some(x), Some(grid)])
    };
    let mut all = Vec::new();
    for mode in [Mode::Nearest, Mode::Linear, Mode::Cubic] {
        for padding in [Padding::Zeros, Padding::Border, Padding::Reflection] {
            all.extend([true, false].map(|corners| case(mode, padding, corners, &[3, 4], &[5, 2])));
            all.push(case(mode, padding, padding == Padding::Border, &[2, 3, 4], &[2, 1, 3]));
        }
    }
    all.push(case(Mode::Linear, Padding::Zeros, false, &[6], &[4]));
    all.push(case(Mode::Linear, Padding::Reflection, true, &[1, 5], &[2, 2]));
    all
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[standard("GridSample", 16..=27)], decode, cases };

#[cfg(test)]
mod tests {
    use super::{GridSample, Mode, Padding};

    #[test]
    fn what_lies_beyond_by_hand() {
        let row = [1.0, 2.0, 4.0];
        let at = |padding, corners, place: f64| {
            // A place on the axis as the position that it comes of.
            let position = if corners { place - 1.0 } else { (2.0 * place + 1.0) / 3.0 - 1.0 };
            GridSample { mode: Mode::Linear, padding, corners }.sampled(&row, &[3], &[position])
        };
        let same = |got: f64, want: f64| assert!((got - want).abs() < 1e-12, "{got} instead of {want}");
        for corners in [false, true] {
            same(at(Padding::Zeros, corners, 1.5), 3.0);
            same(at(Padding::Zeros, corners, -0.25), 0.75);
            same(at(Padding::Zeros, corners, 3.0), 0.0);
            same(at(Padding::Border, corners, -7.0), 1.0);
            same(at(Padding::Border, corners, 2.75), 4.0);
        }
        same(at(Padding::Reflection, true, 2.5), 3.0);
        same(at(Padding::Reflection, true, -1.5), 3.0);
        same(at(Padding::Reflection, false, 3.0), 4.0);
        same(at(Padding::Reflection, false, -1.5), 1.5);
    }
}
