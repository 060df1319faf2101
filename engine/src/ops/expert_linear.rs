//! ExpertLinear: products of vectors with one of several constant matrices each, packed for the device. Passes make it from
//! the look-up of a mixture's experts and the product behind it; only the chosen matrices are read.

use shaders::KernelSpec;
use symbolic::Expr;

use super::linear;
use crate::{
    error::{OpError, invalid},
    graph::Fact,
    host::{HostTensor, WeightFormat},
    op::{
        Case, Destination, Dispatch, Elem, Grid, Infer, Lowering, Matrix, Op, Operator, Param, Slot, View,
        WeightPart, converted, made_by_passes,
        nd::{floats, given},
        sample,
    },
};

/// Inputs: columns `[.., k, 1]`; constant matrices `[experts, n, k]`; for each column the index of its matrix, `[..]`, or
/// `[.., 1]`. The result is `[.., n, 1]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpertLinear {
    /// How the matrices are held on the device.
    pub format: WeightFormat,
}

/// What `n` must be a multiple of, so that no block of the packed layout is of two experts.
pub const ROWS: usize = 4;

/// Threads that share a block of rows.
const LANES: u32 = 16;

impl Op for ExpertLinear {
    fn name(&self) -> &'static str {
        "ExpertLinear"
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        let (x, table, indices) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
        let ([leading @ .., k, one], [_, n, width]) = (x.shape.as_slice(), table.shape.as_slice()) else {
            return Err(invalid(format!("{x} and {table} are no columns and matrices")));
        };
        let rest = indices.shape.iter().skip(leading.len());
        if *one != Expr::ONE || indices.rank() < leading.len() || rest.clone().any(|d| *d != Expr::ONE) {
            return Err(invalid(format!("{indices} are not the indices of columns {x}")));
        }
        cx.unify(k, "length of the columns", width, "width of the matrices")?;
        for (a, b) in leading.iter().zip(&indices.shape) {
            cx.unify(a, "columns", b, "indices")?;
        }
        Ok(vec![Fact::new(x.dtype, leading.iter().chain([n, one]).cloned().collect())])
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        let (x, table, indices) = (given(inputs, 0)?, given(inputs, 1)?, given(inputs, 2)?);
        let ([leading @ .., k, 1], [experts, n, width]) = (x.shape(), table.shape()) else {
            return Err(invalid("the inputs are no columns and matrices"));
        };
        if k != width || indices.len() != leading.iter().product::<usize>() {
            return Err(invalid(format!("columns of {k} meet matrices of width {width}")));
        }
        let packed = linear::packed(&table.clone().reshape(vec![experts * n, *k])?, self.format, false)?;
        let outside = |index: i64| invalid(format!("index {index} is outside of {experts} matrices"));
        let mut all = Vec::with_capacity(indices.len() * n);
        for (column, index) in x.to_f64s().chunks((*k).max(1)).zip(indices.to_i64s()) {
            let at = if index < 0 { index + *experts as i64 } else { index };
            let expert = usize::try_from(at).ok().filter(|e| e < experts).ok_or_else(|| outside(index))?;
            for row in expert * n..(expert + 1) * n {
                let weights = packed.unpack_row(row).unwrap_or_default();
                all.push(column.iter().zip(&weights).map(|(x, w)| x * f64::from(*w)).sum());
            }
        }
        let shape = leading.iter().chain([n, &1]).copied().collect();
        Ok(vec![floats(x.dtype(), shape, &all)?])
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        let matrix = cx.matrix(1, self.format, false)?;
        let Matrix { weight, n: all, k, .. } = matrix;
        let experts = cx.fact(1)?.shape[0].constant().and_then(|e| usize::try_from(e).ok()).unwrap_or(0);
        let n = all.checked_div(experts).unwrap_or(0);
        if n % ROWS != 0 || k % linear::CHUNK != 0 {
            return Err(OpError::Unsupported(format!("matrices of experts of [{n}, {k}]")));
        }
        let x = in_vectors(cx)?;
        let indices = cx.row_major(2)?;
        let indices = converted(cx, indices, Elem::I32)?;
        let out = Destination::contiguous(cx, 0)?;
        let rows = indices.len();
        let target = cx.target();
        let threads = target.decode.threads;
        let (reduce, blocks) = match (target.row_per_lane(), target.subgroups) {
            (true, _) => ("none", threads),
            (false, true) => ("subgroup", 1),
            (false, false) => ("shared", threads / LANES),
        };
        let grid = Grid::Linear((&rows * &Expr::from(n / ROWS)).ceil_div(i64::from(blocks)));
        for (first, count) in linear::pieces(cx, &matrix) {
            let mut spec = KernelSpec::new("expert_gemv")
                .with("WEIGHT", linear::variant(self.format))
                .with("ELEM", x.elem.wgsl())
                .with("REDUCE", reduce)
                .set("WG_X", threads);
            if reduce == "shared" {
                spec = spec.set("LANES", LANES);
            }
            let part = |part| Slot::Weight { weight, part, first, count };
            let mut slots = vec![
                ("x", Slot::View(x.clone())),
                ("indices", Slot::View(indices.clone())),
                ("y", Slot::View(out.view.clone())),
                ("weight", part(WeightPart::Weight)),
            ];
            if let Some(group) = self.format.group() {
                spec = spec.set("GROUP", group.weights() as u32);
                slots.push(("scales", part(WeightPart::Scales)));
            }
            let int = |n: usize| Param::Int(Expr::from(n));
            let params = vec![
                ("rows", Param::Int(rows.clone())),
                ("n", int(n)),
                ("k", int(k)),
                ("experts", int(experts)),
                ("block_start", int(first / ROWS)),
                ("block_count", int(count / ROWS)),
            ];
            cx.dispatch(Dispatch { spec, slots, params, grid: grid.clone() });
        }
        out.finish(cx)
    }
}

/// The columns one behind the other, on whole vectors of four elements.
fn in_vectors(cx: &mut Lowering<'_>) -> Result<View, OpError> {
    let x = cx.row_major(0)?;
    if [&x.offset, cx.root_len(x.root)].iter().all(|e| e.multiple_of() % 4 == 0) {
        return Ok(x);
    }
    let copy = cx.temporary("vectors", x.elem, &x.shape());
    cx.copy(&x, &copy)?;
    Ok(copy)
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for format in WeightFormat::ALL {
        for (leading, indices, [experts, n, k]) in [
            (&[2][..], &[2][..], [5, 12, 64]),
            (&[7], &[7, 1], [4, 24, 104]),
            (&[2, 3], &[2, 3], [3, 80, 96]),
        ] {
            let inputs = vec![
                Some(sample::floats(&[leading, &[k, 1]].concat(), 1)),
                Some(sample::floats_in(&[experts, n, k], 2, -0.5, 0.5)),
                Some(sample::integers_in(indices, 3, -(experts as i64), experts as i64)),
            ];
            let name = format!("{format}, {indices:?} of {experts} matrices [{n}, {k}]");
            cases.push(Case::new(name, ExpertLinear { format }, inputs).constants(&[1]));
        }
    }
    cases
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[], decode: made_by_passes, cases };

#[cfg(test)]
mod tests {
    use super::ExpertLinear;
    use crate::{
        host::{HostTensor, WeightFormat},
        op::Op,
    };

    #[test]
    fn each_column_meets_its_own_matrix() {
        let x = HostTensor::from_f32(vec![2, 2, 1], &[1.0, 2.0, 3.0, 4.0]).unwrap();
        let table = HostTensor::from_f32(vec![2, 1, 2], &[1.0, 10.0, 100.0, 1000.0]).unwrap();
        let of = |indices: &[i64]| {
            let indices = HostTensor::from_i64(vec![2], indices).unwrap();
            ExpertLinear { format: WeightFormat::F32 }.reference(&[Some(&x), Some(&table), Some(&indices)])
        };
        let out = of(&[1, -2]).unwrap();
        assert_eq!((out[0].shape(), out[0].to_f32s()), (&[2, 1, 1][..], vec![2100.0, 43.0]));
        assert!(of(&[0, 2]).is_err());
    }
}
