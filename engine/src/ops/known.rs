//! Known: integers that are known as expressions, of whatever they were computed, as passes find them.

use symbolic::Expr;

use crate::{
    dtype::DType,
    error::{OpError, invalid},
    graph::Fact,
    host::HostTensor,
    op::{Case, Infer, Lowering, Op, Operator, Tolerance, made_by_passes},
};

/// No inputs. The result is what its fact says, known without running anything.
#[derive(Clone, Debug)]
pub struct Known {
    /// Type, shape and content of the result.
    pub fact: Fact,
}

impl Op for Known {
    fn name(&self) -> &'static str {
        "Known"
    }

    fn infer(&self, _: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        Ok(vec![self.fact.clone()])
    }

    fn reference(&self, _: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        let numbers = |all: &[Expr]| all.iter().map(Expr::constant).collect::<Option<Vec<_>>>();
        let sizes = numbers(&self.fact.shape).unwrap_or_default();
        let content = self.fact.content.as_deref().and_then(numbers);
        let content = content.ok_or_else(|| invalid("the integers have symbols in them"))?;
        let data: Vec<f64> = content.iter().map(|n| *n as f64).collect();
        Ok(vec![HostTensor::from_f64s(self.fact.dtype, sizes.iter().map(|n| *n as usize).collect(), &data)?])
    }

    fn lower(&self, _: &mut Lowering<'_>) -> Result<(), OpError> {
        Ok(())
    }
}

fn cases() -> Vec<Case> {
    let case = |shape: &[i64], content: &[i64]| {
        let [shape, content] = [shape, content].map(|all| all.iter().copied().map(Expr::from).collect());
        let op = Known { fact: Fact::known(DType::I64, shape, content) };
        Case::new(format!("{}", op.fact), op, Vec::new()).tolerance(Tolerance::EXACT)
    };
    vec![case(&[], &[7]), case(&[3], &[-1, 0, 1 << 20]), case(&[1, 2], &[2, 3])]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[], decode: made_by_passes, cases };
