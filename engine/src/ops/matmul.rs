//! MatMul: products of matrices, with broadcasting over leading dimensions.

use std::sync::Arc;

use shaders::KernelSpec;
use symbolic::Expr;

use crate::{
    error::{OpError, invalid},
    graph::Fact,
    host::HostTensor,
    op::{
        Case, Destination, Dim, Dispatch, Grid, Infer, Lowering, OnnxNode, Op, Operator, Param, Slot, View,
        collapse,
        nd::{Positions, broadcast_sizes, floats, given, integers},
        padded, sample, standard, stretched,
    },
};

/// A vector is a matrix of one row on the left, of one column on the right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatMul;

/// The operands' shapes as matrices.
fn as_matrices<T: Clone>(a: &[T], b: &[T], one: &T) -> Result<(Vec<T>, Vec<T>), OpError> {
    if a.is_empty() || b.is_empty() {
        return Err(invalid("an operand is a scalar"));
    }
    let row = if a.len() == 1 { [std::slice::from_ref(one), a].concat() } else { a.to_vec() };
    let column = if b.len() == 1 { [b, std::slice::from_ref(one)].concat() } else { b.to_vec() };
    Ok((row, column))
}

/// The result's shape, from that of the matrices' product.
fn without_ones<T: Clone>(mut shape: Vec<T>, a: &[T], b: &[T]) -> Vec<T> {
    let rank = shape.len();
    if b.len() == 1 {
        shape.remove(rank - 1);
    }
    if a.len() == 1 {
        shape.remove(rank - 2);
    }
    shape
}

impl Op for MatMul {
    fn name(&self) -> &'static str {
        "MatMul"
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        let (a, b) = (cx.input(0)?, cx.input(1)?);
        let (x, y) = as_matrices(&a.shape, &b.shape, &Expr::ONE)?;
        cx.unify(&x[x.len() - 1], "columns of the left", &y[y.len() - 2], "rows of the right")?;
        let mut shape = cx.broadcast(&[&x[..x.len() - 2], &y[..y.len() - 2]])?;
        shape.extend([x[x.len() - 2].clone(), y[y.len() - 1].clone()]);
        Ok(vec![Fact::new(a.dtype, without_ones(shape, &a.shape, &b.shape))])
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        let (a, b) = (given(inputs, 0)?, given(inputs, 1)?);
        let (x, y) = as_matrices(a.shape(), b.shape(), &1)?;
        let [m, k, n] = [x[x.len() - 2], x[x.len() - 1], y[y.len() - 1]];
        if y[y.len() - 2] != k {
            return Err(invalid(format!("shapes {:?} and {:?} do not multiply", a.shape(), b.shape())));
        }
        let mut shape = broadcast_sizes(&[&x[..x.len() - 2], &y[..y.len() - 2]])?;
        let starts =
            |s: &[usize]| Ok::<_, OpError>(Positions::all(&s[..s.len() - 2]).broadcast(&shape)?.list());
        let pairs: Vec<(usize, usize)> = starts(&x)?.into_iter().zip(starts(&y)?).collect();
        shape.extend([m, n]);
        let shape = without_ones(shape, a.shape(), b.shape());
        let cells = pairs
            .iter()
            .flat_map(|(i, j)| (0..m * n).map(move |c| (i * m * k + c / n * k, j * k * n + c % n)));
        if a.dtype().is_float() {
            let (p, q) = (a.to_f64s(), b.to_f64s());
            let dot = |(i, j): (usize, usize)| (0..k).map(|t| p[i + t] * q[j + t * n]).sum();
            return Ok(vec![floats(a.dtype(), shape, &cells.map(dot).collect::<Vec<f64>>())?]);
        }
        let (p, q) = (a.to_i64s(), b.to_i64s());
        let dot = |(i, j): (usize, usize)| {
            (0..k).fold(0i64, |sum, t| sum.wrapping_add(p[i + t].wrapping_mul(q[j + t * n])))
        };
        Ok(vec![integers(a.dtype(), shape, &cells.map(dot).collect::<Vec<_>>())?])
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        let (mut a, mut b) = (cx.shaped(0)?, cx.shaped(1)?);
        let out = Destination::strided(cx, 0)?;
        let mut to = out.view.clone();
        let one = Dim { size: Expr::ONE, stride: Expr::ZERO };
        let rank = to.dims.len();
        if a.dims.len() == 1 {
            a.dims.insert(0, one.clone());
            let column = b.dims.len() == 1;
            to.dims.insert(if column { rank } else { rank - 1 }, one.clone());
        }
        if b.dims.len() == 1 {
            b.dims.push(one.clone());
            to.dims.push(one);
        }
        multiply(cx, &a, &b, &to)?;
        out.finish(cx)
    }
}

/// Writes the products of matrices, `[.., m, k]` and `[.., k, n]`, to `[.., m, n]`; leading dimensions broadcast to
/// those of `out`.
///
/// # Errors
/// When there are more of them than the kernel takes.
pub fn multiply(cx: &mut Lowering<'_>, a: &View, b: &View, out: &View) -> Result<(), OpError> {
    let outer = out.dims.len() - 2;
    let batch: Vec<Expr> = out.dims[..outer].iter().map(|d| d.size.clone()).collect();
    let spread = |view: &View| {
        let (leading, matrix) = view.dims.split_at(view.dims.len() - 2);
        let leading = stretched(&View { dims: leading.to_vec(), ..view.clone() }, &batch);
        View { dims: leading.dims.into_iter().chain(matrix.iter().cloned()).collect(), ..view.clone() }
    };
    let (mut a, mut b) = (spread(a), spread(b));
    let leading = |views: [&View; 3]| {
        let views = views.map(|v| View { dims: v.dims[..outer].to_vec(), ..v.clone() });
        collapse(&[&views[0], &views[1], &views[2]])
    };
    let (mut shape, mut strides) = leading([&a, &b, out]);
    if shape.len() > 2 {
        (a, b) = (cx.contiguous(a)?, cx.contiguous(b)?);
        (shape, strides) = leading([&a, &b, out]);
    }
    if shape.len() > 2 {
        return Err(OpError::Unsupported(format!("a product over {} strided dimensions", shape.len())));
    }
    let [m, k, n] = [&a.dims[outer], &a.dims[outer + 1], &b.dims[outer + 1]].map(|d| d.size.clone());
    let batches = shape.iter().fold(Expr::ONE, |n, d| &n * d);
    let mut params: Vec<(&str, Param)> = Vec::new();
    for ((name, view), leading) in
        [("a_strides", &a), ("b_strides", &b), ("out_strides", out)].into_iter().zip(strides)
    {
        let matrix = view.dims[outer..].iter().map(|d| d.stride.clone());
        params.push((name, Param::Ints(padded(leading, 2, &Expr::ZERO).into_iter().chain(matrix).collect())));
    }
    params.extend([
        ("batch_inner", Param::Int(shape.last().cloned().unwrap_or(Expr::ONE))),
        ("m", Param::Int(m.clone())),
        ("n", Param::Int(n.clone())),
        ("k", Param::Int(k)),
    ]);
    let spec = KernelSpec::new("matmul").with("ELEM", out.elem.wgsl());
    let slots =
        [("a", a), ("b", b), ("out", out.clone())].map(|(name, view)| (name, Slot::View(view))).to_vec();
    cx.dispatch(Dispatch { spec, slots, params, grid: Grid::Xyz([n.ceil_div(32), m.ceil_div(32), batches]) });
    Ok(())
}

fn decode(_: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    Ok(Arc::new(MatMul))
}

fn cases() -> Vec<Case> {
    let case = |a: &[usize], b: &[usize]| {
        let inputs = vec![Some(sample::floats(a, 1)), Some(sample::floats(b, 2))];
        Case::new(format!("{a:?} by {b:?}"), MatMul, inputs)
    };
    vec![
        case(&[3, 4], &[4, 5]),
        case(&[1, 7], &[7, 1]),
        case(&[33, 17], &[17, 65]),
        case(&[2, 3, 4], &[2, 4, 5]),
        case(&[2, 3, 4], &[4, 5]),
        case(&[2, 1, 3, 4], &[3, 4, 5]),
        case(&[4], &[4]),
        case(&[4], &[2, 4, 3]),
        case(&[2, 3, 4], &[4]),
        case(&[0, 4], &[4, 5]),
        case(&[3, 0], &[0, 2]),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[standard("MatMul", 1..=27)], decode, cases };

#[cfg(test)]
mod tests {
    use super::MatMul;
    use crate::{host::HostTensor, op::Op};

    #[test]
    fn a_product_by_hand() {
        let a = HostTensor::from_f32(vec![2, 2], &[1.0, 2.0, 3.0, 4.0]).unwrap();
        let b = HostTensor::from_f32(vec![2], &[10.0, 1.0]).unwrap();
        let out = MatMul.reference(&[Some(&a), Some(&b)]).unwrap();
        assert_eq!((out[0].shape(), out[0].to_f32s()), (&[2][..], vec![12.0, 34.0]));
        let out = MatMul.reference(&[Some(&b), Some(&a)]).unwrap();
        assert_eq!(out[0].to_f32s(), [13.0, 24.0]);
    }
}
