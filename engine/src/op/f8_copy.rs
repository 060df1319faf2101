//! Copies to and from words of four floats of 8 bits: what writes or reads a KV cache and is no kernel that knows them.

use shaders::KernelSpec;
use symbolic::Expr;

use super::{Dispatch, Elem, Grid, Lowering, Param, Slot, View, collapse, padded};
use crate::error::OpError;

const WORKGROUP: i64 = 64;
/// Dimensions that the kernel takes.
const RANK: usize = 4;
/// Elements of a word.
pub const WORD: i64 = 4;

/// Whether words of four can be written to a view: neighbours of the last dimension are neighbours in memory, and everything
/// else counts whole words.
#[must_use]
pub fn in_words(view: &View) -> bool {
    let whole = |e: &Expr| e.multiple_of() % WORD == 0;
    let Some((last, outer)) = view.dims.split_last() else { return false };
    last.stride == Expr::ONE
        && whole(&last.size)
        && whole(&view.offset)
        && outer.iter().all(|dim| dim.size == Expr::ONE || whole(&dim.stride))
}

/// Writes the elements of `from` to `out`; one of them is held as f8, and both have one shape.
///
/// # Errors
/// When `out` has words that are written in part, both are held as f8, or the shape has too many dimensions.
pub fn copy(cx: &mut Lowering<'_>, from: &View, out: &View) -> Result<(), OpError> {
    let name = |view: &View| cx.lowered.roots[view.root.0 as usize].name.clone();
    let writes = out.elem == Elem::F8;
    if writes && (from.elem == Elem::F8 || !in_words(out)) {
        return Err(OpError::Unsupported(format!(
            "{:?} in 8 bits is written in whole words of {WORD} elements of a head, and this writes single ones, or moves what is \
             there: hold the KV cache in f16 or f32",
            name(out)
        )));
    }
    let (mut shape, strides) = collapse(&[from, out]);
    if shape.len() > RANK {
        return Err(OpError::Unsupported(format!(
            "{:?} in 8 bits over {} dimensions: hold the KV cache in f16 or f32",
            name(if writes { out } else { from }),
            shape.len()
        )));
    }
    if let (true, Some(last)) = (writes, shape.last_mut()) {
        *last = last.floor_div(WORD);
    }
    let total = shape.iter().fold(Expr::ONE, |n, size| &n * size);
    let spec = KernelSpec::new("f8_copy").with("FROM", from.elem.wgsl()).with("TO", out.elem.wgsl());
    let mut params = vec![("total", Param::Int(total.clone()))];
    params.push(("shape", Param::Ints(padded(shape, RANK, &Expr::ONE))));
    let names = ["a_strides", "out_strides"].into_iter().zip(strides);
    params.extend(names.map(|(name, list)| (name, Param::Ints(padded(list, RANK, &Expr::ZERO)))));
    let slots = vec![("a", Slot::View(from.clone())), ("out", Slot::View(out.clone()))];
    cx.dispatch(Dispatch { spec, slots, params, grid: Grid::Linear(total.ceil_div(WORKGROUP)) });
    Ok(())
}
