//! Linear: a product with a constant matrix, packed for the device, and a residual added. Passes make it from MatMul.

use shaders::KernelSpec;
use symbolic::Expr;

use super::matmul;
use crate::{
    error::{OpError, invalid},
    graph::Fact,
    host::{Fit, HostTensor, Orientation, PackedWeight, StoredMatrix, WeightFormat, pack},
    op::{
        Case, Destination, Dim, Dispatch, Grid, Infer, Lowering, Op, Operator, Param, Slot, View, WeightId,
        WeightPart, collapse, elementwise, made_by_passes,
        nd::{floats, given},
        sample,
    },
};

/// `x [.., k]` times a constant matrix of `n` rows, plus, on demand, a tensor `[.., n]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linear {
    /// How the matrix is held on the device.
    pub format: WeightFormat,
    /// Whether the model stores it `[k, n]` instead of `[n, k]`.
    pub transposed: bool,
    /// Whether input 2 is added.
    pub residual: bool,
}

/// A stored matrix as the device holds it.
///
/// # Errors
/// When it is no matrix, or the format cannot hold it.
pub fn packed(matrix: &HostTensor, format: WeightFormat, transposed: bool) -> Result<PackedWeight, OpError> {
    let orientation = if transposed { Orientation::ColumnsFirst } else { Orientation::RowsFirst };
    let rows = StoredMatrix::new(matrix, orientation)?;
    Ok(pack(&rows, format, Fit::default(), &|_| {})?)
}

impl Op for Linear {
    fn name(&self) -> &'static str {
        "Linear"
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        let (x, matrix) = (cx.input(0)?, cx.input(1)?);
        let [a, b] = matrix.shape.as_slice() else { return Err(invalid(format!("the matrix is {matrix}"))) };
        let (n, k) = if self.transposed { (b, a) } else { (a, b) };
        let Some((width, outer)) = x.shape.split_last() else { return Err(invalid("the input is a scalar")) };
        cx.unify(width, "width of the input", k, "width of the matrix")?;
        let shape: Vec<Expr> = outer.iter().chain([n]).cloned().collect();
        if self.residual {
            for (a, b) in shape.iter().zip(&cx.input(2)?.shape) {
                cx.unify(a, "product", b, "residual")?;
            }
        }
        Ok(vec![Fact::new(x.dtype, shape)])
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        let (x, matrix) = (given(inputs, 0)?, packed(given(inputs, 1)?, self.format, self.transposed)?);
        let (n, k) = (matrix.n(), matrix.k());
        let Some((width, outer)) = x.shape().split_last() else {
            return Err(invalid("the input is a scalar"));
        };
        if *width != k {
            return Err(invalid(format!("an input of width {width} meets a matrix of width {k}")));
        }
        let shape: Vec<usize> = outer.iter().copied().chain([n]).collect();
        let data = x.to_f64s();
        let mut all =
            if self.residual { given(inputs, 2)?.to_f64s() } else { vec![0.0; shape.iter().product()] };
        for row in 0..n {
            let weights = matrix.unpack_row(row).unwrap_or_default();
            for (m, input) in data.chunks(k.max(1)).enumerate() {
                let dot: f64 = input.iter().zip(&weights).map(|(x, w)| x * f64::from(*w)).sum();
                all[m * n + row] += dot;
            }
        }
        Ok(vec![floats(x.dtype(), shape, &all)?])
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        let (weight, n, k) = cx.matrix(1, self.format, self.transposed)?;
        if k % CHUNK != 0 {
            return self.unpacked(cx);
        }
        let x = cx.shaped(0)?;
        let x = in_vectors(cx, x)?;
        let place = cx.output(0)?;
        let (to, out) = match Rows::of_output(&place, n) {
            Some(out) => (None, out),
            None => {
                let shape = cx.output_fact(0)?.shape.clone();
                let beside = cx.temporary("beside", place.elem, &shape);
                let out = Rows::of_output(&beside, n).ok_or_else(|| invalid("a product has no rows"))?;
                (Some(beside), out)
            }
        };
        let residual = if self.residual { Some(self.residual(cx)?) } else { None };
        let product = Product { format: self.format, weight, n, k, x, y: out, residual };
        product.dispatch(cx);
        to.map_or(Ok(()), |beside| cx.copy(&beside, &place))
    }
}

/// The kernels read this many columns at a time.
pub(crate) const CHUNK: usize = 8;

/// The matrix-vector kernel takes up to this many rows of `x`, and no more than the matrix-matrix kernel takes a thread:
/// on a Mali-G720, whose threads take 2, sums of 4 rows spill up to 16 times.
const FEW: u32 = 4;

/// Threads that share a block of rows where sums go through shared memory.
const LANES: u32 = 16;

/// Matrices of fewer rows are shared out in small workgroups where each thread has rows of its own, so that no core idles.
const MANY_ROWS: usize = 2048;

/// Pieces of a matrix begin at multiples of this many rows, so that they begin at multiples of 256 bytes.
const PIECE: usize = 64;

/// Rows of a view, one element apart inside or in `outer` blocks of `inner` elements.
#[derive(Clone, Debug)]
struct Rows {
    view: View,
    count: Expr,
    stride: Expr,
    outer_stride: Expr,
    inner_stride: Expr,
    inner: Expr,
}

impl Rows {
    /// Rows of `n` elements, each in up to two dimensions; `None` where one stride does not lead from row to row.
    fn of_output(view: &View, n: usize) -> Option<Self> {
        let mut width = Expr::ONE;
        let mut split = view.dims.len();
        while width.constant() != Some(n as i64) || (split > 0 && view.dims[split - 1].size == Expr::ONE) {
            split = split.checked_sub(1)?;
            width = &width * &view.dims[split].size;
        }
        let part = |dims: &[Dim]| {
            let (shape, mut strides) = collapse(&[&View { dims: dims.to_vec(), ..view.clone() }]);
            (shape, strides.swap_remove(0))
        };
        let (outer, inner) = (part(&view.dims[..split]), part(&view.dims[split..]));
        let (count, stride) = match (outer.0.as_slice(), outer.1.as_slice()) {
            ([], _) => (Expr::ONE, Expr::ZERO),
            ([count], [stride]) => (count.clone(), stride.clone()),
            _ => return None,
        };
        let (inner, outer_stride, inner_stride) = match (inner.0.as_slice(), inner.1.as_slice()) {
            ([], _) => (Expr::ONE, Expr::ZERO, Expr::ZERO),
            ([size], [stride]) => (size.clone(), Expr::ZERO, stride.clone()),
            ([_, size], [outer, inner]) => (size.clone(), outer.clone(), inner.clone()),
            _ => return None,
        };
        Some(Self { view: view.clone(), count, stride, outer_stride, inner_stride, inner })
    }

    /// Rows whose elements are neighbours.
    fn plain(view: &View) -> Option<Self> {
        let n = view.dims.last()?.size.constant().and_then(|n| usize::try_from(n).ok())?;
        let rows = Self::of_output(view, n)?;
        let unit = rows.outer_stride == Expr::ZERO && (rows.inner_stride == Expr::ONE || n == 1);
        unit.then_some(rows)
    }
}

/// The input's rows, on whole vectors of four elements; copied if they do not lie so.
fn in_vectors(cx: &mut Lowering<'_>, x: View) -> Result<Rows, OpError> {
    let whole = |e: &Expr| e.multiple_of() % 4 == 0;
    let fits = |cx: &Lowering<'_>, rows: &Rows| {
        whole(&rows.view.offset) && whole(&rows.stride) && whole(cx.root_len(rows.view.root))
    };
    if let Some(rows) = Rows::plain(&x).filter(|rows| fits(cx, rows)) {
        return Ok(rows);
    }
    let copy = cx.temporary("vectors", x.elem, &x.shape());
    cx.copy(&x, &copy)?;
    Rows::plain(&copy).ok_or_else(|| invalid("the width of the input must be known"))
}

impl Linear {
    fn residual(&self, cx: &mut Lowering<'_>) -> Result<Rows, OpError> {
        let view = cx.shaped(2)?;
        if let Some(rows) = Rows::plain(&view) {
            return Ok(rows);
        }
        let view = cx.contiguous(view)?;
        Rows::plain(&view).ok_or_else(|| invalid("the width of the residual must be known"))
    }

    /// For a width that the packed kernels do not take: the matrix as plain floats.
    fn unpacked(&self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        if self.format.group().is_some() {
            let text = format!("{} weights whose rows are no multiple of {CHUNK}", self.format);
            return Err(OpError::Unsupported(text));
        }
        let (x, matrix) = (cx.shaped(0)?, cx.shaped(1)?);
        let matrix = if self.transposed { matrix } else { matrix.transpose(&[1, 0]) };
        if !self.residual {
            let out = Destination::strided(cx, 0)?;
            matmul::multiply(cx, &x, &matrix, &out.view)?;
            return out.finish(cx);
        }
        let shape = cx.output_fact(0)?.shape.clone();
        let product = cx.temporary("product", x.elem, &shape);
        matmul::multiply(cx, &x, &matrix, &product)?;
        let (residual, out) = (cx.shaped(2)?, cx.output(0)?);
        elementwise(cx, "add", &[product, residual], &out)
    }
}

/// The kernels' word for a format.
pub(super) fn variant(format: WeightFormat) -> &'static str {
    match format {
        WeightFormat::F32 => "f32",
        WeightFormat::F16 => "f16",
        WeightFormat::M0e4 { .. } => "m0e4",
        WeightFormat::Affine8 { .. } => "affine8",
    }
}

/// `(first, count)` of runs of rows of a packed matrix `[n, k]` that a binding holds.
pub(super) fn pieces(cx: &Lowering<'_>, format: WeightFormat, n: usize, k: usize) -> Vec<(usize, usize)> {
    let block = format.weight_block_bytes(k).unwrap_or(1).max(1);
    let room = usize::try_from(cx.target().max_binding).unwrap_or(usize::MAX);
    let rows = ((room / block).saturating_mul(4) / PIECE * PIECE).max(PIECE);
    (0..n).step_by(rows).map(|first| (first, rows.min(n - first))).collect()
}

/// A product with everything found out.
#[derive(Debug)]
struct Product {
    format: WeightFormat,
    weight: WeightId,
    n: usize,
    k: usize,
    x: Rows,
    y: Rows,
    residual: Option<Rows>,
}

impl Product {
    fn dispatch(&self, cx: &mut Lowering<'_>) {
        for (first, count) in pieces(cx, self.format, self.n, self.k) {
            let call = self.piece(cx, first, count);
            cx.dispatch(call);
        }
    }

    fn piece(&self, cx: &Lowering<'_>, first: usize, count: usize) -> Dispatch {
        let most = FEW.min(cx.target().prefill.tokens);
        let few = self.x.count.range().max.is_some_and(|m| m <= i64::from(most));
        let (spec, grid) = if few { self.vector(cx, count) } else { self.tiles(cx, count) };
        let mut spec = spec
            .with("WEIGHT", variant(self.format))
            .with("ELEM", self.x.view.elem.wgsl())
            .flag("RESIDUAL", self.residual.is_some());
        let part = |part| Slot::Weight { weight: self.weight, part, first, count };
        let mut slots = vec![
            ("x", Slot::View(self.x.view.clone())),
            ("y", Slot::View(self.y.view.clone())),
            ("weight", part(WeightPart::Weight)),
        ];
        let int = |n: usize| Param::Int(Expr::from(n));
        let mut params = vec![
            ("m", Param::Int(self.x.count.clone())),
            ("n", int(count)),
            ("k", int(self.k)),
            ("n_start", int(first)),
            ("x_m_stride", Param::Int(self.x.stride.clone())),
            ("y_m_stride", Param::Int(self.y.stride.clone())),
            ("y_outer_stride", Param::Int(self.y.outer_stride.clone())),
            ("y_inner_stride", Param::Int(self.y.inner_stride.clone())),
            ("n_inner", Param::Int(self.y.inner.clone())),
        ];
        if let Some(group) = self.format.group() {
            spec = spec.set("GROUP", group.weights() as u32);
            slots.push(("scales", part(WeightPart::Scales)));
        }
        if let Some(residual) = &self.residual {
            slots.push(("residual", Slot::View(residual.view.clone())));
            params.push(("residual_m_stride", Param::Int(residual.stride.clone())));
        }
        Dispatch { spec, slots, params, grid }
    }

    /// The kernel for few rows of `x`.
    fn vector(&self, cx: &Lowering<'_>, count: usize) -> (KernelSpec, Grid) {
        let target = cx.target();
        let rows = match self.x.count.range().max {
            Some(..=1) => "1",
            Some(2) => "2",
            _ => "4",
        };
        let all = target.decode.threads;
        let own = if count < MANY_ROWS { all / 4 } else { all };
        let (reduce, threads, blocks) = match (target.row_per_lane(), target.subgroups) {
            (true, true) => ("broadcast", own, own),
            (true, false) => ("none", own, own),
            (false, true) => ("subgroup", all, 1),
            (false, false) => ("shared", all, all / LANES),
        };
        let groups = count.div_ceil(4).div_ceil(blocks as usize);
        let spec = KernelSpec::new("linear_gemv").with("ROWS", rows).with("REDUCE", reduce);
        let spec = if reduce == "shared" { spec.set("LANES", LANES) } else { spec };
        (spec.set("WG_X", threads), Grid::Linear(Expr::from(groups)))
    }

    /// The kernel for many: threads compute some rows of `x` by some of the matrix.
    fn tiles(&self, cx: &Lowering<'_>, count: usize) -> (KernelSpec, Grid) {
        let target = cx.target();
        let devices::Prefill { tokens, outputs, workgroup: [along_n, along_m] } = target.prefill;
        let spec = KernelSpec::new("linear_gemm")
            .with("TILE_M", tokens.to_string())
            .with("TILE_N", outputs.to_string())
            .set("WG_X", along_n);
        let (spec, along_m) = if target.row_per_lane() && target.subgroups {
            (spec.with("X", "broadcast"), 1)
        } else {
            (spec.with("X", "shared").set("WG_Y", along_m), along_m)
        };
        let columns = (along_n * outputs) as usize;
        let rows = self.x.count.ceil_div(i64::from(along_m * tokens));
        (spec, Grid::Xyz([Expr::from(count.div_ceil(columns)), rows, Expr::ONE]))
    }
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for format in WeightFormat::ALL {
        for (shape, n, transposed, residual) in [
            (&[1, 64][..], 12, false, false),
            (&[1, 1, 192], 70, true, true),
            (&[1, 5, 96], 33, true, false),
            (&[1, 70, 64], 65, false, true),
            (&[2, 3, 64], 48, false, true),
        ] {
            let k = shape[shape.len() - 1];
            let matrix = sample::floats_in(&if transposed { [k, n] } else { [n, k] }, 2, -0.5, 0.5);
            let out: Vec<usize> = shape[..shape.len() - 1].iter().copied().chain([n]).collect();
            let residue = residual.then(|| sample::floats(&out, 3));
            let name = format!("{format} {shape:?} to {n}, transposed {transposed}, residual {residual}");
            let inputs = vec![Some(sample::floats(shape, 1)), Some(matrix), residue];
            cases.push(Case::new(name, Linear { format, transposed, residual }, inputs).constants(&[1]));
        }
    }
    let narrow =
        [sample::floats(&[2, 5], 1), sample::floats(&[7, 5], 2), sample::floats(&[2, 7], 3)].map(Some);
    let op = Linear { format: WeightFormat::F16, transposed: false, residual: true };
    let loose = crate::op::Tolerance::F16;
    cases.push(Case::new("a narrow matrix", op, narrow.to_vec()).constants(&[1]).tolerance(loose));
    cases
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[], decode: made_by_passes, cases };

#[cfg(test)]
mod tests {
    use super::Linear;
    use crate::{
        host::{HostTensor, WeightFormat},
        op::Op,
    };

    #[test]
    fn both_ways_of_storing_are_one_product() {
        let x = HostTensor::from_f32(vec![1, 2], &[1.0, 2.0]).unwrap();
        let rows = HostTensor::from_f32(vec![3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
        let columns = HostTensor::from_f32(vec![2, 3], &[1.0, 3.0, 5.0, 2.0, 4.0, 6.0]).unwrap();
        let residual = HostTensor::from_f32(vec![1, 3], &[0.5, 0.0, -1.0]).unwrap();
        let of = |matrix, transposed| {
            let op = Linear { format: WeightFormat::F32, transposed, residual: true };
            op.reference(&[Some(&x), Some(matrix), Some(&residual)]).unwrap()[0].to_f32s()
        };
        assert_eq!(of(&rows, false), [5.5, 11.0, 16.0]);
        assert_eq!(of(&columns, true), of(&rows, false));
    }
}
