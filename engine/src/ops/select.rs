//! Where: elements of one tensor or another by a condition, with broadcasting.

use std::sync::Arc;

use symbolic::Expr;

use crate::{
    dtype::DType,
    error::{OpError, invalid},
    graph::Fact,
    host::HostTensor,
    op::{
        Case, Infer, Lowering, OnnxNode, Op, Operator, Tolerance, elementwise,
        nd::{Positions, broadcast_sizes, fixed, floats, given, integers},
        sample, standard,
    },
};

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Where;

impl Op for Where {
    fn name(&self) -> &'static str {
        "Where"
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        let (condition, a, b) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
        if a.dtype != b.dtype {
            return Err(invalid(format!("the alternatives are {} and {}", a.dtype, b.dtype)));
        }
        let shape = cx.broadcast(&[&condition.shape, &a.shape, &b.shape])?;
        let content = content(condition, a, b, &shape);
        Ok(vec![Fact { dtype: a.dtype, shape, content }])
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        let (condition, a, b) = (given(inputs, 0)?, given(inputs, 1)?, given(inputs, 2)?);
        let shape = broadcast_sizes(&[condition.shape(), a.shape(), b.shape()])?;
        let at = |t: &HostTensor| Ok::<_, OpError>(Positions::all(t.shape()).broadcast(&shape)?.list());
        let (i, j) = (at(a)?, at(b)?);
        let (test, chosen) = (condition.to_i64s(), at(condition)?);
        let chosen: Vec<bool> = chosen.into_iter().map(|c| test[c] != 0).collect();
        let out = if a.dtype().is_float() {
            let (x, y) = (a.to_f64s(), b.to_f64s());
            let all: Vec<f64> =
                (0..chosen.len()).map(|n| if chosen[n] { x[i[n]] } else { y[j[n]] }).collect();
            floats(a.dtype(), shape, &all)
        } else {
            let (x, y) = (a.to_i64s(), b.to_i64s());
            let all: Vec<i64> =
                (0..chosen.len()).map(|n| if chosen[n] { x[i[n]] } else { y[j[n]] }).collect();
            integers(a.dtype(), shape, &all)
        };
        Ok(vec![out?])
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        let operands = [cx.shaped(0)?, cx.shaped(1)?, cx.shaped(2)?];
        let out = cx.output(0)?;
        elementwise(cx, "where", &operands, &out)
    }
}

fn content(condition: &Fact, a: &Fact, b: &Fact, shape: &[Expr]) -> Option<Arc<[Expr]>> {
    let (test, x, y) = (condition.content.as_ref()?, a.content.as_ref()?, b.content.as_ref()?);
    let out = fixed(shape)?;
    let at = |fact: &Fact| Positions::all(&fixed(&fact.shape)?).broadcast(&out).ok().map(|p| p.list());
    let places = at(condition)?.into_iter().zip(at(a)?).zip(at(b)?);
    places
        .map(|((c, i), j)| {
            let (x, y) = (x.get(i)?, y.get(j)?);
            match test.get(c)?.constant() {
                Some(0) => Some(y.clone()),
                Some(_) => Some(x.clone()),
                None => (x == y).then(|| x.clone()),
            }
        })
        .collect()
}

fn decode(_: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    Ok(Arc::new(Where))
}

fn cases() -> Vec<Case> {
    let case = |name: &str, c: &[usize], a: &[usize], b: &[usize]| {
        let inputs = [sample::booleans(c, 1), sample::floats(a, 2), sample::floats(b, 3)];
        Case::new(name, Where, inputs.map(Some).to_vec()).tolerance(Tolerance::EXACT)
    };
    let masked = vec![
        Some(sample::booleans(&[1, 1, 3, 5], 1)),
        Some(sample::scalar(DType::F32, 0.0)),
        Some(sample::scalar(DType::F32, f64::NEG_INFINITY)),
    ];
    let int64 = vec![
        Some(sample::booleans(&[7], 1)),
        Some(sample::integers_in(&[7], 2, -9, 9)),
        Some(sample::list(&[3])),
    ];
    vec![
        case("same shapes", &[3, 5], &[3, 5], &[3, 5]),
        case("all repeated", &[2, 1, 1], &[3, 1], &[5]),
        case("nothing", &[0], &[0], &[1]),
        Case::new("a mask of infinity", Where, masked).tolerance(Tolerance::EXACT),
        Case::new("int64", Where, int64).tolerance(Tolerance::EXACT),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[standard("Where", 9..=27)], decode, cases };
