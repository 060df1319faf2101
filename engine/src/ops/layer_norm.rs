//! LayerNormalization: `(x - mean) / deviation * weight + bias`.

use std::sync::Arc;

use shaders::KernelSpec;
use symbolic::Expr;

use super::{
    cast::Cast,
    mean_variance_norm::standardised,
    reduce,
    rms_norm::{over_deviation, repeated, unit_rows, unit_tail},
};
use crate::{
    dtype::DType,
    error::{OpError, invalid},
    graph::{Fact, ValueId},
    host::HostTensor,
    op::{
        Case, Composite, Destination, Dispatch, Elem, Grid, Infer, Lowering, OnnxNode, Op, Operator, Param,
        Parts, Slot, composite, elementwise,
        nd::{Positions, floats, given, optional},
        rows::{Rows, whole},
        sample, standard,
    },
};

/// Mean and variance are over the axis and all behind it. The result has the weight's type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerNorm {
    /// First normalised axis.
    pub axis: i64,
    /// Added to the variance.
    pub epsilon: f32,
}

impl Op for LayerNorm {
    fn name(&self) -> &'static str {
        "LayerNormalization"
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        let (x, weight) = (cx.input(0)?, cx.input(1)?);
        let axis = Infer::axis(self.axis, x.rank())?;
        cx.broadcast(&[&x.shape[axis..], &weight.shape])?;
        if let Some(bias) = cx.optional(2) {
            cx.broadcast(&[&x.shape[axis..], &bias.shape])?;
        }
        Ok(vec![Fact::new(weight.dtype, x.shape.clone())])
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        let (x, weight) = (given(inputs, 0)?, given(inputs, 1)?);
        let axis = Infer::axis(self.axis, x.shape().len())?;
        let tail = &x.shape()[axis..];
        let width = tail.iter().product::<usize>().max(1);
        let spread = |t: &HostTensor| {
            let (at, data) = (Positions::all(t.shape()).broadcast(tail)?.list(), t.to_f64s());
            Ok::<_, OpError>(at.into_iter().map(|p| data[p]).collect::<Vec<f64>>())
        };
        let (dtype, weight) = (weight.dtype(), spread(weight)?);
        let bias = optional(inputs, 2).map(spread).transpose()?.unwrap_or_else(|| vec![0.0; weight.len()]);
        let mut data = x.to_f64s();
        for row in data.chunks_mut(width) {
            let mean = row.iter().sum::<f64>() / width as f64;
            let variance = row.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / width as f64;
            let scale = 1.0 / (variance + f64::from(self.epsilon)).sqrt();
            for ((v, w), b) in row.iter_mut().zip(&weight).zip(&bias) {
                *v = (*v - mean) * scale * w + b;
            }
        }
        Ok(vec![floats(dtype, x.shape().to_vec(), &data)?])
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        let x = cx.fact(0)?;
        let axis = Infer::axis(self.axis, x.rank())?;
        let has_bias = cx.has_input(2);
        let plain =
            |index| Ok::<_, OpError>(cx.is_constant(index) && cx.fact(index)?.shape == x.shape[axis..]);
        if !(plain(1)? && (!has_bias || plain(2)?)) {
            return self.in_steps(cx, axis);
        }
        let input = cx.shaped(0)?;
        let (input, n) = unit_rows(cx, input, axis)?;
        let out = Destination::of(cx, 0, |v| unit_tail(v, axis).is_some())?;
        let to = unit_tail(&out.view, axis).ok_or_else(|| invalid("the output has gaps"))?;
        let many = || OpError::Unsupported("a normalisation over too many strided dimensions".into());
        let rows = Rows::of(&[&input, &to]).ok_or_else(many)?;
        let mut params = rows.params(&["a_strides", "out_strides"]);
        params.extend([
            ("rows", Param::Int(rows.count.clone())),
            ("n", Param::Int(n.clone())),
            ("eps", Param::Float(self.epsilon)),
        ]);
        let spec = KernelSpec::new("layer_norm")
            .with("ELEM", to.elem.wgsl())
            .flag("BIAS", has_bias)
            .flag("SUBGROUPS", cx.target().subgroups);
        let [a, to] = [input, to].map(|rows| whole(rows, &n, &Expr::ONE));
        let mut slots = vec![("a", Slot::View(a)), ("weight", Slot::View(cx.constant(1, Elem::F32)?))];
        if has_bias {
            slots.push(("bias", Slot::View(cx.constant(2, Elem::F32)?)));
        }
        slots.push(("out", Slot::View(to)));
        cx.dispatch(Dispatch { spec, slots, params, grid: Grid::Linear(rows.count) });
        out.finish(cx)
    }
}

impl LayerNorm {
    /// For a weight or bias that is computed, or repeated.
    fn in_steps(&self, cx: &mut Lowering<'_>, axis: usize) -> Result<(), OpError> {
        let (x, weight, out) = (cx.shaped(0)?, cx.shaped(1)?, cx.output(0)?);
        let outer: Vec<Expr> = x.dims[..axis].iter().map(|d| d.size.clone()).collect();
        let mean = cx.temporary("mean", x.elem, &outer);
        reduce::tail(cx, "mean", x.clone(), axis, &mean)?;
        let centred = cx.temporary("centred", x.elem, &x.shape());
        let mean = repeated(&mean, &x);
        elementwise(cx, "sub", &[x, mean], &centred)?;
        let scaled = over_deviation(cx, &centred, axis, self.epsilon)?;
        if !cx.has_input(2) {
            return elementwise(cx, "mul", &[scaled, weight], &out);
        }
        let weighted = cx.temporary("weighted", scaled.elem, &scaled.shape());
        elementwise(cx, "mul", &[scaled, weight], &weighted)?;
        let bias = cx.shaped(2)?;
        elementwise(cx, "add", &[weighted, bias], &out)
    }
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    let norm = LayerNorm { axis: node.int_or("axis", -1)?, epsilon: node.float_or("epsilon", 1e-5)? };
    if node.has_output(1) || node.has_output(2) {
        return Ok(composite(WithStatistics(norm)));
    }
    Ok(Arc::new(norm))
}

/// With the mean and 1 / deviation, which ONNX has as further outputs, in single precision.
#[derive(Clone, Copy, Debug, PartialEq)]
struct WithStatistics(LayerNorm);

impl Composite for WithStatistics {
    fn name(&self) -> &'static str {
        "LayerNormalization"
    }

    fn expand(&self, parts: &mut Parts<'_, '_>) -> Result<Vec<ValueId>, OpError> {
        let inputs = [Some(parts.input(0)?), Some(parts.input(1)?), parts.optional(2)];
        let out = parts.add_all(self.0, &inputs, 1)?[0];
        let x = parts.add(Cast { to: DType::F32 }, &[parts.input(0)?])?;
        let rank = parts.fact(x)?.rank();
        let axes: Vec<i64> = (Infer::axis(self.0.axis, rank)? as i64..rank as i64).collect();
        let found = standardised(parts, x, &axes, self.0.epsilon)?;
        Ok(vec![out, found.mean, found.inverse])
    }
}

fn cases() -> Vec<Case> {
    let case = |shape: &[usize], axis, bias: bool| {
        let tail = &shape[Infer::axis(axis, shape.len()).unwrap_or(0)..];
        let inputs = vec![
            Some(sample::floats(shape, 1)),
            Some(sample::floats_in(tail, 2, 0.5, 1.5)),
            bias.then(|| sample::floats(tail, 3)),
        ];
        let name = format!("{shape:?} from {axis}, bias {bias}");
        Case::new(name, LayerNorm { axis, epsilon: 1e-5 }, inputs).constants(&[1, 2])
    };
    let computed = [sample::floats(&[3, 5], 1), sample::floats(&[5], 2), sample::floats(&[5], 3)].map(Some);
    let computed =
        Case::new("computed weight and bias", LayerNorm { axis: -1, epsilon: 1e-5 }, computed.to_vec());
    let statistics = [sample::floats(&[2, 3, 5], 1), sample::floats(&[3, 5], 2)].map(Some).to_vec();
    let with = WithStatistics(LayerNorm { axis: 1, epsilon: 1e-5 });
    let statistics = Case::composite("mean and deviation", with, statistics).constants(&[1]);
    vec![
        computed,
        statistics,
        case(&[3, 5], -1, true),
        case(&[2, 7, 576], -1, true),
        case(&[2, 3, 4], 1, true),
        case(&[2, 3, 4], 2, false),
        case(&[0, 5], -1, true),
    ]
}

/// The row of the operator table. ONNX Runtime's optimiser writes it in opsets before 17, which first has it, too.
pub static OPERATOR: Operator = Operator { onnx: &[standard("LayerNormalization", 1..=27)], decode, cases };

#[cfg(test)]
mod tests {
    use super::LayerNorm;
    use crate::{host::HostTensor, op::Op};

    #[test]
    fn a_row_by_hand() {
        let tensor = |values: &[f32]| HostTensor::from_f32(vec![2], values).unwrap();
        let (x, weight, bias) = (tensor(&[1.0, 5.0]), tensor(&[1.0, 3.0]), tensor(&[0.5, 0.0]));
        let out =
            LayerNorm { axis: 0, epsilon: 0.0 }.reference(&[Some(&x), Some(&weight), Some(&bias)]).unwrap();
        assert_eq!(out[0].to_f32s(), [-0.5, 3.0]);
    }
}
