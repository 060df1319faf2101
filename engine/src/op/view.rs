//! Views: where a value's elements lie, as a root buffer, an offset and a stride for each dimension.
//!
//! A value's view may have more dimensions than the value: `[1, seq, 192]` stored in the KV cache is a view of
//! `[1, seq, 3, 64]`. Read in row-major order both are the same elements.

use symbolic::Expr;

use super::RootId;
use crate::dtype::DType;

/// An element as kernels see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Elem {
    /// 32-bit float.
    F32,
    /// 16-bit float.
    F16,
    /// 8-bit float in words of four neighbours, as [`crate::host::f8`] says: a KV cache alone is held so. Kernels write whole
    /// words.
    F8,
    /// Signed integers of any width; int64 narrows to it.
    I32,
    /// Unsigned integers of any width, and booleans as 0 or 1; uint64 narrows to it.
    U32,
}

impl Elem {
    /// How a value of `dtype` is held on the device, floats as `floats`, but those of 8 and 4 bits as f32, whose range they
    /// may have.
    #[must_use]
    pub fn of(dtype: DType, floats: Elem) -> Self {
        match dtype {
            DType::F32 | DType::F16 | DType::BF16 | DType::F64 => floats,
            DType::F8E4M3Fn | DType::F8E4M3FnUz | DType::F8E5M2 | DType::F8E5M2FnUz => Self::F32,
            DType::F4E2M1 | DType::F8E8M0 => Self::F32,
            DType::I64 | DType::I32 | DType::I16 | DType::I8 | DType::I4 | DType::I2 => Self::I32,
            DType::U64 | DType::U32 | DType::U16 | DType::U8 | DType::U4 | DType::U2 | DType::Bool => {
                Self::U32
            }
        }
    }

    /// Bytes of one element.
    #[must_use]
    pub fn size(self) -> u64 {
        match self {
            Self::F8 => 1,
            Self::F16 => 2,
            Self::F32 | Self::I32 | Self::U32 => 4,
        }
    }

    /// Whether it is a float.
    #[must_use]
    pub fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F16 | Self::F8)
    }

    /// The value of kernels' template variables, which but for that of [`Elem::F8`] is the WGSL type.
    #[must_use]
    pub fn wgsl(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::F8 => "f8",
            Self::I32 => "i32",
            Self::U32 => "u32",
        }
    }
}

/// One dimension of a view.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Dim {
    /// Number of positions.
    pub size: Expr,
    /// Elements between neighbours; 0 repeats one element.
    pub stride: Expr,
}

/// Elements inside a root buffer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct View {
    /// The buffer.
    pub root: RootId,
    /// Its element.
    pub elem: Elem,
    /// First element, counted from the root's start.
    pub offset: Expr,
    /// Dimensions, outermost first.
    pub dims: Vec<Dim>,
}

impl View {
    /// The whole of a root, row-major.
    #[must_use]
    pub fn contiguous(root: RootId, elem: Elem, shape: &[Expr]) -> Self {
        Self { root, elem, offset: Expr::from(0), dims: row_major(shape) }
    }

    /// Sizes of all dimensions.
    #[must_use]
    pub fn shape(&self) -> Vec<Expr> {
        self.dims.iter().map(|d| d.size.clone()).collect()
    }

    /// Number of elements.
    #[must_use]
    pub fn len(&self) -> Expr {
        self.dims.iter().fold(Expr::from(1), |n, d| &n * &d.size)
    }

    /// Whether no position exists, whatever the symbols are.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len().constant() == Some(0)
    }

    /// Whether the elements follow each other without gaps, in row-major order.
    #[must_use]
    pub fn is_contiguous(&self) -> bool {
        let wanted = row_major(&self.shape());
        self.dims.iter().zip(&wanted).all(|(d, w)| d.size.constant() == Some(1) || d.stride == w.stride)
    }

    /// Whether both are the same elements in the same order; the strides of dimensions of size 1 do not matter.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let steps = |view: &Self| {
            let dims = view.dims.iter().filter(|d| d.size.constant() != Some(1));
            dims.cloned().collect::<Vec<_>>()
        };
        self.root == other.root
            && self.elem == other.elem
            && self.offset == other.offset
            && steps(self) == steps(other)
    }

    /// Dimensions in another order: output dimension `i` is input dimension `perm[i]`.
    #[must_use]
    pub fn transpose(&self, perm: &[usize]) -> Self {
        Self { dims: perm.iter().map(|p| self.dims[*p].clone()).collect(), ..self.clone() }
    }

    /// Positions `start, start + step, …` of one dimension, `size` of them.
    #[must_use]
    pub fn slice(&self, axis: usize, start: &Expr, size: &Expr, step: i64) -> Self {
        let mut out = self.clone();
        out.offset = &out.offset + &(start * &self.dims[axis].stride);
        out.dims[axis] = Dim { size: size.clone(), stride: &self.dims[axis].stride * &Expr::from(step) };
        out
    }

    /// The view repeated to `shape` by NumPy's broadcasting; `None` where a size neither is 1 nor fits.
    #[must_use]
    pub fn broadcast(&self, shape: &[Expr]) -> Option<Self> {
        let extra = shape.len().checked_sub(self.dims.len())?;
        let mut dims = Vec::with_capacity(shape.len());
        for (at, size) in shape.iter().enumerate() {
            let dim = at.checked_sub(extra).map(|i| &self.dims[i]);
            dims.push(match dim {
                Some(dim) if dim.size == *size => dim.clone(),
                Some(dim) if dim.size.constant() != Some(1) => return None,
                _ => Dim { size: size.clone(), stride: Expr::from(0) },
            });
        }
        Some(Self { dims, ..self.clone() })
    }

    /// The same elements in row-major order under another shape, if strides can say it.
    #[must_use]
    pub fn reshape(&self, shape: &[Expr]) -> Option<Self> {
        if self.is_contiguous() {
            let dims = row_major(shape);
            let fits = shape.iter().fold(Expr::from(1), |n, d| &n * d) == self.len();
            return fits.then(|| Self { dims, ..self.clone() });
        }
        let one = Some(1);
        let old: Vec<&Dim> = self.dims.iter().filter(|d| d.size.constant() != one).collect();
        let new: Vec<&Expr> = shape.iter().filter(|s| s.constant() != one).collect();
        let mut strides = Vec::with_capacity(new.len());
        let (mut i, mut j) = (0, 0);
        while i < old.len() && j < new.len() {
            let (from_i, from_j) = (i, j);
            let (mut have, mut want) = (old[i].size.clone(), new[j].clone());
            (i, j) = (i + 1, j + 1);
            while have != want {
                if i < old.len() && divides(&have, &want) {
                    have = &have * &old[i].size;
                    i += 1;
                } else if j < new.len() && divides(&want, &have) {
                    want = &want * new[j];
                    j += 1;
                } else {
                    return None;
                }
            }
            let joined = old[from_i..i].windows(2).all(|w| w[0].stride == &w[1].stride * &w[1].size);
            if !joined {
                return None;
            }
            let mut stride = old[i - 1].stride.clone();
            let mut group: Vec<Expr> = Vec::new();
            for size in new[from_j..j].iter().rev() {
                group.push(stride.clone());
                stride = &stride * *size;
            }
            strides.extend(group.into_iter().rev());
        }
        if i < old.len() || j < new.len() {
            return None;
        }
        let mut strides = strides.into_iter();
        let dims = shape.iter().map(|size| {
            let stride = if size.constant() == one { Some(Expr::from(0)) } else { strides.next() };
            stride.map(|stride| Dim { size: size.clone(), stride })
        });
        Some(Self { dims: dims.collect::<Option<_>>()?, ..self.clone() })
    }
}

/// Whether a dimension of size `part` may be the outer part of one of size `whole`.
fn divides(part: &Expr, whole: &Expr) -> bool {
    whole.exact_div(part).is_some()
}

fn row_major(shape: &[Expr]) -> Vec<Dim> {
    let mut stride = Expr::from(1);
    let mut dims = Vec::with_capacity(shape.len());
    for size in shape.iter().rev() {
        dims.push(Dim { size: size.clone(), stride: stride.clone() });
        stride = &stride * size;
    }
    dims.reverse();
    dims
}

/// Joins neighbouring dimensions that are one dimension in every view, and drops those of size 1.
/// All views must have the same shape. Returns the common shape and each view's strides.
#[must_use]
pub fn collapse(views: &[&View]) -> (Vec<Expr>, Vec<Vec<Expr>>) {
    let rank = views.first().map_or(0, |v| v.dims.len());
    let mut shape: Vec<Expr> = Vec::new();
    let mut strides: Vec<Vec<Expr>> = vec![Vec::new(); views.len()];
    for axis in 0..rank {
        let size = &views[0].dims[axis].size;
        if size.constant() == Some(1) {
            continue;
        }
        let joins = !shape.is_empty()
            && views
                .iter()
                .zip(&strides)
                .all(|(view, s)| s.last().is_some_and(|outer| *outer == &view.dims[axis].stride * size));
        if let (true, Some(last)) = (joins, shape.last_mut()) {
            *last = &*last * size;
            for (view, s) in views.iter().zip(&mut strides) {
                if let Some(outer) = s.last_mut() {
                    *outer = view.dims[axis].stride.clone();
                }
            }
        } else {
            shape.push(size.clone());
            for (view, s) in views.iter().zip(&mut strides) {
                s.push(view.dims[axis].stride.clone());
            }
        }
    }
    (shape, strides)
}
