//! A product with a packed matrix, and what is done with its sums: which kernel, in which pieces, with which slots.

use devices::WeightMemory;
use symbolic::Expr;

use super::{
    coop::Coop,
    input::Input,
    kernels::{Gemm, Gemv, Shape, Variant},
};
use crate::{
    error::OpError,
    host::WeightFormat,
    op::{Dim, Dispatch, Elem, Lowering, Matrix, Param, Problem, Slot, Target, View, WeightPart, collapse},
    ops::{gated::Activation, rope::Rope},
};

/// The kernels read this many columns at a time.
pub const CHUNK: usize = 8;

/// The matrix-vector kernel takes up to this many rows of `x`, and no more than the matrix-matrix kernel takes a thread:
/// on a Mali-G720, whose threads take 2, sums of 4 rows spill up to 16 times.
const FEW: u32 = 4;

/// Pieces of a matrix begin at multiples of this many rows, so that they begin at multiples of 256 bytes.
const PIECE: usize = 64;

/// Rows of a view, one element apart inside or in `outer` blocks of `inner` elements.
#[derive(Clone, Debug)]
pub struct Rows {
    pub view: View,
    pub count: Expr,
    pub stride: Expr,
    outer_stride: Expr,
    inner_stride: Expr,
    inner: Expr,
}

impl Rows {
    /// Rows of `n` elements, each in up to two dimensions; `None` where one stride does not lead from row to row.
    pub fn of_output(view: &View, n: usize) -> Option<Self> {
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
    pub fn plain(view: &View) -> Option<Self> {
        let n = view.dims.last()?.size.constant().and_then(|n| usize::try_from(n).ok())?;
        let rows = Self::of_output(view, n)?;
        let unit = rows.outer_stride == Expr::ZERO && (rows.inner_stride == Expr::ONE || n == 1);
        unit.then_some(rows)
    }
}

/// The kernels' word for a format.
pub fn variant(format: WeightFormat) -> &'static str {
    match format {
        WeightFormat::F32 => "f32",
        WeightFormat::F16 => "f16",
        WeightFormat::M0e4 { .. } => "m0e4",
        WeightFormat::Affine8 { .. } => "affine8",
    }
}

/// `(first, count)` of runs of rows of a packed matrix that bindings hold. A texture is bound whole.
pub fn pieces(cx: &Lowering<'_>, matrix: &Matrix) -> Vec<(usize, usize)> {
    let Matrix { format, n, k, .. } = *matrix;
    let block = match matrix.memory {
        WeightMemory::Buffer => format.weight_block_bytes(k),
        WeightMemory::Texture => format.scales_block_bytes(k),
    };
    let block = block.unwrap_or(1).max(1);
    let room = usize::try_from(cx.target().max_binding).unwrap_or(usize::MAX);
    let rows = ((room / block).saturating_mul(4) / PIECE * PIECE).max(PIECE);
    (0..n).step_by(rows).map(|first| (first, rows.min(n - first))).collect()
}

/// What is done with the sums; the kernels' words are those of `shaders/wgsl/lib/linear.wgsl`.
#[derive(Clone, Debug)]
pub enum Epilogue {
    /// They are the result, after a residual is added.
    Rows {
        /// The result.
        y: Rows,
        /// What is added.
        residual: Option<Rows>,
    },
    /// Neighbours are a gate and what it lets through.
    Gate {
        /// The result, half as wide.
        y: Rows,
        /// What is done to the gate.
        activation: Activation,
    },
    /// They are elements of heads.
    Heads(Heads),
}

/// Three results of a product, and how some of them are turned.
#[derive(Clone, Debug)]
pub struct Heads {
    /// `[batch, heads, positions, head_dim]`.
    pub results: [View; 3],
    /// How the first of them are turned.
    pub turn: Option<Turn>,
}

/// The turning of heads.
#[derive(Clone, Debug)]
pub struct Turn {
    /// How.
    pub rope: Rope,
    /// How many results are turned, the first ones.
    pub turned: usize,
    /// Cosines and sines, `[batch, .., positions, 2 * width]`.
    pub table: View,
    /// Whether what is turned is written in the order of rows.
    pub in_rows: bool,
}

/// A product with everything found out.
#[derive(Debug)]
pub struct Product {
    /// The matrix.
    pub matrix: Matrix,
    /// What it is multiplied with.
    pub x: Input,
    /// Added to the sums, `[n]`.
    pub bias: Option<View>,
    /// What is done with the sums.
    pub epilogue: Epilogue,
}

impl Product {
    /// Adds the kernel calls: one, or one for each piece of the matrix that a binding holds, and before them what brings the
    /// input to a form that the kernel takes.
    ///
    /// # Errors
    /// When the input is no matrix of known width, or a copy that this takes cannot be made.
    pub fn dispatch(&self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        let most = FEW.min(cx.target().prefill.tokens);
        let few = self.x.most().is_some_and(|m| m <= i64::from(most));
        let kernel = if few { self.vector(cx) } else { self.tiles(cx) };
        let (x, norm) = self.x.rows(cx, kernel.normalises())?;
        for (first, count) in pieces(cx, &self.matrix) {
            let call = self.piece(&kernel, &x, norm.as_ref(), first, count);
            cx.dispatch(call);
        }
        Ok(())
    }

    /// Kernels that read a texture are others, which are tuned and found sound for themselves.
    fn family(&self, buffer: &'static str, texture: &'static str) -> &'static str {
        match self.matrix.memory {
            WeightMemory::Buffer => buffer,
            WeightMemory::Texture => texture,
        }
    }

    fn problem(&self, family: &'static str, rows: &str, bytes: bool) -> Problem {
        let epilogue = match &self.epilogue {
            Epilogue::Rows { residual: None, .. } => "rows",
            Epilogue::Rows { residual: Some(_), .. } => "residual",
            Epilogue::Gate { .. } => "gate",
            Epilogue::Heads(Heads { turn: None, .. }) => "heads",
            Epilogue::Heads(Heads { turn: Some(_), .. }) => "rope",
        };
        let norm = match (&self.x.norm, self.x.foldable) {
            (None, _) => "",
            (Some(_), true) => " norm",
            (Some(_), false) => " norm before",
        };
        let math = if bytes { " i8" } else { "" };
        let Matrix { format, n, k, .. } = self.matrix;
        let elem = self.x.elem().wgsl();
        Problem { family, shape: format!("{format} {elem} n {n} k {k} rows {rows} {epilogue}{norm}{math}") }
    }

    fn piece(
        &self,
        kernel: &Variant,
        x: &Rows,
        norm: Option<&(View, f32)>,
        first: usize,
        count: usize,
    ) -> Dispatch {
        let Matrix { weight, format, k, memory, .. } = self.matrix;
        let (spec, grid) = kernel.of(count, k, &x.count);
        let mut spec = spec
            .with("WEIGHT", variant(format))
            .with("ELEM", x.view.elem.wgsl())
            .flag("BIAS", self.bias.is_some());
        if memory == WeightMemory::Texture {
            spec = spec.flag("TEXTURE", true);
        }
        let part = |part| Slot::Weight { weight, part, first, count };
        let mut slots = vec![("x", Slot::View(x.view.clone())), ("weight", part(WeightPart::Weight))];
        let mut params = vec![
            ("m", Param::Int(x.count.clone())),
            ("n", int(count)),
            ("k", int(k)),
            ("n_start", int(first)),
            ("x_m_stride", Param::Int(x.stride.clone())),
        ];
        if let Some(group) = format.group() {
            spec = spec.set("GROUP", group.weights() as u32);
            slots.push(("scales", part(WeightPart::Scales)));
        }
        slots.extend(self.bias.clone().map(|bias| ("bias", Slot::View(bias))));
        if let Some((gain, epsilon)) = norm {
            spec = spec.flag("NORM", true);
            slots.push(("gain", Slot::View(gain.clone())));
            params.push(("eps", Param::Float(*epsilon)));
        }
        let call = Dispatch { spec, slots, params, grid };
        match &self.epilogue {
            Epilogue::Rows { y, residual } => rows(call, y, residual.as_ref()),
            Epilogue::Gate { y, activation } => gate(call, y, *activation),
            Epilogue::Heads(heads) => heads.add_to(call),
        }
    }

    fn shape(&self, target: &Target) -> Shape {
        let Matrix { format, n, k, .. } = self.matrix;
        let half = self.x.elem() == Elem::F16 && matches!(format, WeightFormat::M0e4 { .. });
        let scaled = format.group().is_some();
        let bytes = target.integer_products && scaled;
        Shape { n, k, scaled, half, bytes, norm: self.x.foldable }
    }

    /// The kernel for few rows of `x`.
    fn vector(&self, cx: &mut Lowering<'_>) -> Variant {
        let rows = match self.x.most() {
            Some(..=1) => 1,
            Some(2) => 2,
            _ => 4,
        };
        let shape = self.shape(cx.target());
        let candidates = Gemv::candidates(cx.target(), shape, rows);
        let family = self.family("gemv", "gemv-texture");
        let chosen = cx.choose(self.problem(family, &rows.to_string(), shape.bytes), &candidates);
        Variant::Gemv(chosen.unwrap_or(candidates[0]), rows)
    }

    /// The kernel for many: matrix units where the device has large ones, else threads compute some rows of `x` by some of
    /// the matrix.
    fn tiles(&self, cx: &mut Lowering<'_>) -> Variant {
        let target = cx.target();
        let shape = self.shape(target);
        let coop = Coop::candidates(target, self.matrix.format, self.matrix.k).into_iter().map(Variant::Coop);
        let mut candidates: Vec<Variant> =
            Gemm::candidates(target, shape).into_iter().map(Variant::Gemm).collect();
        let at = if target.coop.is_some_and(|c| c.size == 16) { 0 } else { candidates.len() };
        candidates.splice(at..at, coop);
        let family = self.family("gemm", "gemm-texture");
        let chosen = cx.choose(self.problem(family, "many", shape.bytes), &candidates);
        chosen.unwrap_or(candidates[0])
    }
}

fn int(n: usize) -> Param {
    Param::Int(Expr::from(n))
}

fn result(mut call: Dispatch, y: &Rows) -> Dispatch {
    call.slots.push(("y", Slot::View(y.view.clone())));
    call.params.extend([
        ("y_m_stride", Param::Int(y.stride.clone())),
        ("y_outer_stride", Param::Int(y.outer_stride.clone())),
        ("y_inner_stride", Param::Int(y.inner_stride.clone())),
        ("n_inner", Param::Int(y.inner.clone())),
    ]);
    call
}

fn rows(call: Dispatch, y: &Rows, residual: Option<&Rows>) -> Dispatch {
    let mut call = result(call, y);
    call.spec = call.spec.flag("RESIDUAL", residual.is_some());
    if let Some(residual) = residual {
        call.slots.push(("residual", Slot::View(residual.view.clone())));
        call.params.push(("residual_m_stride", Param::Int(residual.stride.clone())));
    }
    call
}

fn gate(call: Dispatch, y: &Rows, activation: Activation) -> Dispatch {
    let mut call = result(call, y);
    call.spec = call.spec.with("EPILOGUE", "gate").set("ACTIVATION", activation.number());
    call
}

impl Heads {
    /// The call of a kernel that has `lib/heads.wgsl`.
    #[must_use]
    pub fn add_to(&self, mut call: Dispatch) -> Dispatch {
        let width = |view: &View| &view.dims[1].size * &view.dims[3].size;
        let [q, k, _] = &self.results;
        if k.elem != q.elem {
            call.spec = call.spec.with("HELD", k.elem.wgsl());
        }
        let ends = vec![width(q), &width(q) + &width(k)];
        call.params.extend([
            ("head_dim", Param::Int(q.dims[3].size.clone())),
            ("seq", Param::Int(q.dims[2].size.clone())),
            ("ends", Param::Ints(ends)),
        ]);
        let names = [("q", "q_strides"), ("k", "k_strides"), ("v", "v_strides")];
        for ((name, strides), view) in names.into_iter().zip(&self.results) {
            call.slots.push((name, Slot::View(view.clone())));
            call.params.push((strides, all_strides(view)));
        }
        let Some(Turn { rope, turned, table, in_rows }) = &self.turn else {
            call.spec = call.spec.with("EPILOGUE", "heads");
            return call;
        };
        call.spec = call.spec.with("EPILOGUE", "rope");
        for (number, set) in [("INTERLEAVED", rope.interleaved), ("HALF_TABLE", !rope.full_table)] {
            call.spec = call.spec.set(number, set.into());
        }
        if *in_rows {
            call.spec = call.spec.set("IN_ROWS", 1);
        }
        // A dimension for heads, of size 1, is between batch and positions, or not.
        let [batch, .., positions, columns] = table.dims.as_slice() else { return call };
        let dims = vec![batch.clone(), positions.clone(), columns.clone()];
        let table = View { dims, ..table.clone() };
        call.slots.push(("rotations", Slot::View(table.clone())));
        call.params.extend([
            ("rotary", int(rope.rotary_dim)),
            ("turned", int(*turned)),
            ("rotations_strides", all_strides(&table)),
        ]);
        call
    }
}

/// Strides of a view; 0 where a dimension of size 1 repeats.
fn all_strides(view: &View) -> Param {
    let stride = |dim: &Dim| if dim.size == Expr::ONE { Expr::ZERO } else { dim.stride.clone() };
    Param::Ints(view.dims.iter().map(stride).collect())
}
