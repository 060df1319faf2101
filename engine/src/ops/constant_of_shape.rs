//! ConstantOfShape: one value, repeated to a shape.

use std::sync::Arc;

use crate::{
    dtype::DType,
    error::{OpError, invalid},
    graph::Fact,
    host::HostTensor,
    op::{
        Case, Infer, Lowering, OnnxNode, Op, Operator, Tolerance, fact_of, fill,
        nd::{fixed, given, pick},
        sample, standard, stretched,
    },
};

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub struct ConstantOfShape {
    /// The value, a tensor of one element.
    pub value: HostTensor,
}

impl Op for ConstantOfShape {
    fn name(&self) -> &'static str {
        "ConstantOfShape"
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        let mut fact = Fact::new(self.value.dtype(), cx.content(0)?.to_vec());
        let (value, sizes) = (fact_of(&self.value).content, fixed(&fact.shape));
        if let (Some(value), Some(sizes)) = (value, sizes) {
            let len: usize = sizes.iter().product();
            if len <= crate::op::TRACKED {
                fact.content = value.first().map(|v| vec![v.clone(); len].into());
            }
        }
        Ok(vec![fact])
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        let sizes = given(inputs, 0)?.to_i64s().into_iter().map(usize::try_from);
        let shape: Vec<usize> = sizes.collect::<Result<_, _>>().map_err(|_| invalid("a size is negative"))?;
        let len = shape.iter().product();
        Ok(vec![pick(&self.value, shape, &vec![0; len])?])
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        let out = cx.output(0)?;
        let value = self.value.to_f32s().first().copied().unwrap_or(0.0);
        let value = fill::scalar(cx, value, out.elem);
        cx.copy(&stretched(&value, &out.shape()), &out)
    }
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    let value = node.tensor("value")?;
    let value = value.map_or_else(|| HostTensor::from_f32(vec![1], &[0.0]), Ok)?;
    if value.len() != 1 {
        return Err(invalid(format!("attribute \"value\" holds {} elements instead of 1", value.len())));
    }
    Ok(Arc::new(ConstantOfShape { value }))
}

fn cases() -> Vec<Case> {
    let case = |name: &str, value: HostTensor, shape: &[i64]| {
        let case = Case::new(name, ConstantOfShape { value }, vec![Some(sample::list(shape))]);
        case.constants(&[0]).tolerance(Tolerance::EXACT)
    };
    vec![
        case("f32", sample::scalar(DType::F32, -1.5), &[3, 5]),
        case("int64", sample::of(DType::I64, &[1], &[-7.0]), &[2, 3]),
        case("bool", sample::of(DType::Bool, &[1], &[1.0]), &[4]),
        case("a scalar", sample::scalar(DType::F32, 2.0), &[]),
        case("nothing", sample::scalar(DType::F32, 2.0), &[0, 2]),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[standard("ConstantOfShape", 9..=27)], decode, cases };
