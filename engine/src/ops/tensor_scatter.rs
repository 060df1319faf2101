//! TensorScatter of ONNX 24: a cache with new positions written into it. In memory of its own nothing else is moved.

use std::sync::Arc;

use shaders::KernelSpec;
use symbolic::Expr;

use super::{gather_elements::padded_strides, scatter_nd::scattered};
use crate::{
    error::{OpError, invalid},
    graph::Fact,
    host::HostTensor,
    op::{
        Case, Destination, Dispatch, Elem, Grid, Infer, Lowering, OnnxNode, Op, Operator, Param, Slot,
        Tolerance, View, converted,
        nd::{around, given, optional},
        padded, sample, standard,
    },
};

/// Inputs: cache `[batch, .., positions, ..]`; update, equal but for the axis; on demand the position of the first new
/// one for each batch, `[batch]`, 0 when left out.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorScatter {
    /// The axis of positions.
    pub axis: i64,
    /// Whether positions behind the last begin again at the first.
    pub circular: bool,
    /// The position of the first new one, where a pass found it.
    pub start: Option<Expr>,
}

impl TensorScatter {
    fn axis(&self, rank: usize) -> Result<usize, OpError> {
        let axis = Infer::axis(self.axis, rank)?;
        if axis == 0 { Err(invalid("the axis is that of the batch")) } else { Ok(axis) }
    }

    /// The one start that holds for every batch, if the new positions are known to lie in one piece from there.
    fn known_start(&self, starts: Option<&Fact>) -> Option<Expr> {
        if self.circular {
            return None;
        }
        let Some(starts) = starts else { return Some(self.start.clone().unwrap_or_default()) };
        let (first, rest) = starts.content.as_deref()?.split_first()?;
        rest.iter().all(|s| s == first).then(|| first.clone())
    }
}

impl Op for TensorScatter {
    fn name(&self) -> &'static str {
        "TensorScatter"
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        let (cache, update) = (cx.input(0)?, cx.input(1)?);
        let axis = self.axis(cache.rank())?;
        if update.rank() != cache.rank() {
            return Err(invalid(format!("the cache is {cache}, the update {update}")));
        }
        for (at, (a, b)) in cache.shape.iter().zip(&update.shape).enumerate() {
            if at != axis {
                cx.unify(a, "cache", b, "update")?;
            }
        }
        if let Some(start) = self.known_start(cx.optional(2)) {
            let (end, size) = (&start + &update.shape[axis], &cache.shape[axis]);
            if start.constant().is_some_and(|n| n < 0)
                || end.constant().zip(size.constant()).is_some_and(|(e, s)| e > s)
            {
                return Err(invalid(format!("positions {start} to {end} are not all of the cache's {size}")));
            }
        }
        Ok(vec![Fact::new(cache.dtype, cache.shape.clone())])
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        let (cache, update) = (given(inputs, 0)?, given(inputs, 1)?);
        let axis = self.axis(cache.shape().len())?;
        let [outer, new, inner] = around(update.shape(), axis);
        let size = cache.shape()[axis];
        let each = outer / cache.shape()[0].max(1);
        let starts = optional(inputs, 2).map(HostTensor::to_i64s);
        let mut positions = Vec::with_capacity(update.len());
        for row in 0..outer {
            let start = starts.as_ref().map_or(Some(0), |s| s.get(row / each.max(1)).copied());
            let start = start.and_then(|s| usize::try_from(s).ok());
            let start = start.ok_or_else(|| invalid("a batch has no start, or one before the first"))?;
            for at in start..start + new {
                if at >= size && !self.circular {
                    return Err(invalid(format!("position {at} is behind the cache's {size}")));
                }
                let first = (row * size + at % size.max(1)) * inner;
                positions.extend(first..first + inner);
            }
        }
        Ok(vec![scattered(cache, &positions, update, None)?])
    }

    fn converts(&self) -> bool {
        true
    }

    fn rewrites(&self) -> Option<usize> {
        Some(0)
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        let (cache, update) = (cx.shaped(0)?, cx.shaped(1)?);
        let axis = self.axis(cache.dims.len())?;
        let starts = if cx.has_input(2) { Some(cx.fact(2)?) } else { None };
        let start = self.known_start(starts);
        let out = Destination::strided(cx, 0)?;
        if !cache.is_same(&out.view) {
            cx.copy(&cache, &out.view)?;
        }
        if let Some(start) = start {
            let new = out.view.slice(axis, &start, &update.dims[axis].size, 1);
            if !update.is_same(&new) {
                cx.copy(&update, &new)?;
            }
        } else if out.view.elem == Elem::F8 {
            return Err(OpError::Unsupported(
                "positions that go around, or that data tell, are not written in 8 bits: hold the KV cache in f16 or f32"
                    .to_owned(),
            ));
        } else {
            let starts = cx.shaped(2)?;
            let starts = converted(cx, starts, Elem::I32)?;
            let update = converted(cx, update, out.view.elem)?;
            self.write(cx, axis, starts, update, &out.view)?;
        }
        out.finish(cx)
    }

    fn place(&self, index: usize, _: &Fact, inputs: &[Option<&Fact>], output: &View) -> Option<View> {
        let update = inputs.get(1).copied().flatten()?;
        let axis = self.axis(update.rank()).ok()?;
        if index != 1 || output.dims.len() != update.rank() {
            return None;
        }
        let start = self.known_start(inputs.get(2).copied().flatten())?;
        Some(output.slice(axis, &start, &update.shape[axis], 1))
    }
}

impl TensorScatter {
    /// For starts that only the device knows, or that wrap around.
    fn write(
        &self,
        cx: &mut Lowering<'_>,
        axis: usize,
        starts: View,
        updates: View,
        out: &View,
    ) -> Result<(), OpError> {
        let rank = updates.dims.len();
        if rank > 4 {
            return Err(OpError::Unsupported(format!("TensorScatter of {rank} dimensions")));
        }
        let only = |at: usize, value: &Expr| {
            let mut list = vec![Expr::ZERO; rank];
            list[at] = value.clone();
            Param::Ints(padded(list, 4, &Expr::ZERO))
        };
        let mut beside = out.clone();
        beside.dims[axis].stride = Expr::ZERO;
        let params = vec![
            ("shape", Param::Ints(padded(updates.shape(), 4, &Expr::ONE))),
            ("updates_strides", padded_strides(&updates)),
            ("out_strides", padded_strides(&beside)),
            ("starts_strides", only(0, &starts.dims[0].stride)),
            ("along", only(axis, &Expr::ONE)),
            ("total", Param::Int(updates.len())),
            ("axis_size", Param::Int(out.dims[axis].size.clone())),
            ("out_axis_stride", Param::Int(out.dims[axis].stride.clone())),
            ("circular", Param::Int(Expr::from(i64::from(self.circular)))),
        ];
        let grid = Grid::Linear(updates.len().ceil_div(64));
        let spec = KernelSpec::new("tensor_scatter").with("ELEM", out.elem.wgsl());
        let slots = [("starts", starts), ("updates", updates), ("out", out.clone())];
        let slots = slots.map(|(name, view)| (name, Slot::View(view))).to_vec();
        cx.dispatch(Dispatch { spec, slots, params, grid });
        Ok(())
    }
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    let circular = match node.string("mode")?.unwrap_or("linear") {
        "linear" => false,
        "circular" => true,
        other => return Err(invalid(format!("mode = {other:?} is not known"))),
    };
    Ok(Arc::new(TensorScatter { axis: node.int_or("axis", -2)?, circular, start: None }))
}

fn cases() -> Vec<Case> {
    let case = |name: &str, axis, circular, shapes: [&[usize]; 2], starts: Option<&[f64]>| {
        let starts = starts.map(|s| sample::of(crate::dtype::DType::I64, &[s.len()], s));
        let inputs = vec![Some(sample::floats(shapes[0], 1)), Some(sample::floats(shapes[1], 2)), starts];
        let op = TensorScatter { axis, circular, start: None };
        Case::new(name, op, inputs).tolerance(Tolerance::EXACT)
    };
    let four: [&[usize]; 2] = [&[2, 3, 8, 4], &[2, 3, 2, 4]];
    vec![
        case("from the start", -2, false, four, None),
        case("one start for all", -2, false, four, Some(&[5.0, 5.0])).constants(&[2]),
        case("a start for each batch", -2, false, four, Some(&[1.0, 6.0])),
        case("around the end", -2, true, four, Some(&[7.0, 10.0])),
        case("around the end, known", -2, true, four, Some(&[7.0, 7.0])).constants(&[2]),
        case("three dimensions, axis 1", 1, false, [&[2, 8, 4], &[2, 3, 4]], Some(&[2.0, 0.0])),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[standard("TensorScatter", 24..=27)], decode, cases };
