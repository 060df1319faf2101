//! Calls of the elementwise kernel: arithmetic, comparison, conversion and copies between any views.

use onnx_import::{Minifloat, Rounding};
use shaders::KernelSpec;
use symbolic::Expr;

use super::{Dim, Dispatch, Elem, Grid, Lowering, Param, Slot, View, broadcast, collapse, f8_copy};
use crate::error::{OpError, invalid};

const WORKGROUP: i64 = 64;
const OPERANDS: [&str; 3] = ["a", "b", "c"];
const STRIDES: [&str; 3] = ["a_strides", "b_strides", "c_strides"];

/// Writes `function` of the inputs, which broadcast together, to `out`. `identity` converts where types differ;
/// other functions take operands of one type (`where` a u32 condition in front).
///
/// # Errors
/// When the shapes do not fit, or have more dimensions than the kernel takes.
pub fn elementwise(
    cx: &mut Lowering<'_>,
    function: &'static str,
    inputs: &[View],
    out: &View,
) -> Result<(), OpError> {
    if let ("identity", [from]) = (function, inputs)
        && (from.elem == Elem::F8 || out.elem == Elem::F8)
    {
        let fitted = fitted(cx, inputs, out)?;
        return f8_copy::copy(cx, fitted.first().unwrap_or(from), out);
    }
    let convert = function == "identity" && inputs.first().is_some_and(|from| from.elem != out.elem);
    let to = if convert { out.elem.wgsl() } else { "elem" };
    let spec =
        KernelSpec::new("elementwise").with("OP", if convert { "cast" } else { function }).with("TO", to);
    call(cx, spec, inputs, out)
}

/// Writes whether each element is not 0.
///
/// # Errors
/// As [`elementwise`].
pub fn truth(cx: &mut Lowering<'_>, input: &View, out: &View) -> Result<(), OpError> {
    let spec = KernelSpec::new("elementwise").with("OP", "cast").with("TO", "bool");
    call(cx, spec, std::slice::from_ref(input), out)
}

/// Writes the low `bits` bits, fewer than 32, of each element's whole part, to integers: signed ones to `i32`, unsigned
/// ones to `u32`.
///
/// # Errors
/// As [`elementwise`].
pub fn low_bits(cx: &mut Lowering<'_>, input: &View, bits: u32, out: &View) -> Result<(), OpError> {
    let to = if out.elem == Elem::I32 { "low_i32" } else { "low_u32" };
    let spec = KernelSpec::new("elementwise").with("OP", "cast").with("TO", to).set("WIDTH", bits);
    call(cx, spec, std::slice::from_ref(input), out)
}

/// Writes, to f32, the numbers of a small float that elements are rounded to; `saturate` holds them at its largest.
///
/// # Errors
/// As [`elementwise`].
pub fn narrowed(
    cx: &mut Lowering<'_>,
    input: &View,
    format: Minifloat,
    (rounding, saturate): (Rounding, bool),
    out: &View,
) -> Result<(), OpError> {
    // Of a power of two's 23 bits behind the leading one.
    let increment = match rounding {
        Rounding::Nearest => 1 << 22,
        Rounding::Up => (1 << 23) - 1,
        Rounding::Down => 0,
    };
    let spec = KernelSpec::new("elementwise").with("OP", "cast").with("TO", "minifloat");
    let spec = spec
        .set("MANTISSA", format.mantissa)
        .set("LEAST", (format.least_exponent + 127).unsigned_abs())
        .set("INCREMENT", increment)
        .set("LARGEST", format.largest.to_bits())
        .set("BEYOND", format.beyond(saturate).to_bits())
        .set("NOTHING", format.nan().to_bits());
    call(cx, spec, std::slice::from_ref(input), out)
}

/// The view in another element type, copied if it has not that already.
///
/// # Errors
/// As [`elementwise`].
pub fn converted(cx: &mut Lowering<'_>, view: View, elem: Elem) -> Result<View, OpError> {
    if view.elem == elem {
        return Ok(view);
    }
    let out = cx.temporary("converted", elem, &view.shape());
    cx.copy(&view, &out)?;
    Ok(out)
}

/// The view under `shape` by NumPy's rule: missing dimensions and those of size 1 repeat. Other sizes are taken to be
/// equal, as inference found.
#[must_use]
pub fn stretched(view: &View, shape: &[Expr]) -> View {
    let extra = shape.len().saturating_sub(view.dims.len());
    let dims = shape.iter().enumerate().map(|(at, size)| {
        let dim = at.checked_sub(extra).map(|i| &view.dims[i]);
        let stride = match dim {
            Some(dim) if dim.size == *size || dim.size.constant() != Some(1) => dim.stride.clone(),
            _ => Expr::ZERO,
        };
        Dim { size: size.clone(), stride }
    });
    View { dims: dims.collect(), ..view.clone() }
}

/// The inputs with the dimensions of `out`, which may be more than they broadcast to.
fn fitted(cx: &mut Lowering<'_>, inputs: &[View], out: &View) -> Result<Vec<View>, OpError> {
    let shapes: Vec<Vec<Expr>> = inputs.iter().map(View::shape).collect();
    let (rank, wanted) = (shapes.iter().map(Vec::len).max().unwrap_or(0), out.shape());
    if rank == wanted.len() {
        return Ok(inputs.iter().map(|view| stretched(view, &wanted)).collect());
    }
    let common = broadcast(&shapes);
    inputs.iter().map(|view| cx.reshaped(stretched(view, &common), &wanted)).collect()
}

/// Adds the choices that follow from the views.
fn call(cx: &mut Lowering<'_>, spec: KernelSpec, inputs: &[View], out: &View) -> Result<(), OpError> {
    let inputs = fitted(cx, inputs, out)?;
    let elem = inputs.last().ok_or_else(|| invalid("an elementwise kernel needs an operand"))?.elem;
    let mut spec = spec.with("ELEM", elem.wgsl());
    let total = out.len();
    let mut params = vec![("total", Param::Int(total.clone()))];
    let mut threads = total;
    if in_fours(cx, &inputs, out) {
        spec = spec.flag("CONTIGUOUS", true);
        threads = threads.ceil_div(4);
    } else {
        let mut views: Vec<&View> = inputs.iter().collect();
        views.push(out);
        let (shape, strides) = collapse(&views);
        let rank = if shape.len() <= 4 { 4 } else { 8 };
        if shape.len() > rank {
            return Err(OpError::Unsupported(format!(
                "an elementwise operation over {} dimensions",
                shape.len()
            )));
        }
        spec = spec.with("RANK", rank.to_string());
        params.push(("shape", Param::Ints(padded(shape, rank, &Expr::ONE))));
        let names = STRIDES.iter().take(inputs.len()).chain([&"out_strides"]);
        params.extend(
            names.zip(strides).map(|(name, list)| (*name, Param::Ints(padded(list, rank, &Expr::ZERO)))),
        );
    }
    let mut slots: Vec<(&str, Slot)> =
        OPERANDS.iter().zip(&inputs).map(|(name, view)| (*name, Slot::View(view.clone()))).collect();
    slots.push(("out", Slot::View(out.clone())));
    cx.dispatch(Dispatch { spec, slots, params, grid: Grid::Linear(threads.ceil_div(WORKGROUP)) });
    Ok(())
}

/// Whether all elements lie in one order without gaps, and can be taken four at a time.
fn in_fours(cx: &Lowering<'_>, inputs: &[View], out: &View) -> bool {
    let whole = |e: &Expr| e.multiple_of() % 4 == 0;
    let ok = |view: &View| view.is_contiguous() && whole(&view.offset) && whole(cx.root_len(view.root));
    whole(&out.len()) && ok(out) && inputs.iter().all(ok)
}

/// A list with `fill` put in front.
pub(crate) fn padded(list: Vec<Expr>, len: usize, fill: &Expr) -> Vec<Expr> {
    let missing = len.saturating_sub(list.len());
    std::iter::repeat_n(fill.clone(), missing).chain(list).collect()
}
