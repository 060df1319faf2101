//! FlexAttention of ONNX's preview domain: attention whose scores and probabilities go through subgraphs.

use std::sync::Arc;

use super::{
    binary::Binary, branch::outputs, cast::Cast, matmul::MatMul, reshape::Reshape, softmax::Softmax,
    transpose::Transpose,
};
use crate::{
    dtype::DType,
    error::{OpError, invalid},
    graph::{Graph, Node, ValueId},
    op::{Body, Case, Composite, OnnxName, OnnxNode, Op, Operator, Parts, composite, sample},
};

/// Inputs: queries, keys and values `[batch, heads, positions, width]`; a head of keys and values serves as many heads of
/// queries as there are for each.
#[derive(Debug)]
pub struct FlexAttention {
    /// Factor of the scores; 1 / sqrt(width) when left out.
    scale: Option<f32>,
    /// Changes the scores.
    score_mod: Option<Body>,
    /// Changes the probabilities.
    prob_mod: Option<Body>,
    /// Element type of the scores; that of the queries, or f32 for shorter ones, when left out.
    precision: Option<DType>,
}

/// The value through a body of one input and output, if there is one.
fn changed(parts: &mut Parts<'_, '_>, body: Option<&Body>, value: ValueId) -> Result<ValueId, OpError> {
    let Some(body) = body else { return Ok(value) };
    let placed = parts.place(body)?;
    let result = parts.run(&placed, &[value])?;
    let [result] = result[..] else { return Err(invalid("the body gives more than one value")) };
    let (before, after) = (parts.fact(value)?, parts.fact(result)?);
    if before.shape != after.shape || before.dtype != after.dtype {
        return Err(invalid(format!("the body makes {after} of {before}")));
    }
    Ok(result)
}

impl Composite for FlexAttention {
    fn name(&self) -> &'static str {
        "FlexAttention"
    }

    fn expand(&self, parts: &mut Parts<'_, '_>) -> Result<Vec<ValueId>, OpError> {
        let inputs = [parts.input(0)?, parts.input(1)?, parts.input(2)?];
        let sizes = |parts: &Parts<'_, '_>, at: usize| {
            let fact = parts.fact(inputs[at])?;
            let last = fact.shape.last().filter(|_| fact.rank() == 4);
            let (heads, width) =
                (fact.shape.get(1).and_then(|n| n.constant()), last.and_then(|n| n.constant()));
            let wrong = || invalid(format!("{fact} is not [batch, heads, positions, width]"));
            heads.zip(width).ok_or_else(wrong)
        };
        let ((heads, width), (kv_heads, _)) = (sizes(parts, 0)?, sizes(parts, 1)?);
        if kv_heads < 1 || heads % kv_heads != 0 || sizes(parts, 2)?.0 != kv_heads {
            return Err(invalid(format!(
                "{heads} heads of queries do not share {kv_heads} of keys and values"
            )));
        }
        let dtype = parts.fact(inputs[0])?.dtype;
        let precision = self.precision.unwrap_or(if dtype == DType::F64 { DType::F64 } else { DType::F32 });
        // Heads of queries that share keys are rows of one matrix: [batch, kv_heads, group * queries, width].
        let heads_of = |parts: &mut Parts<'_, '_>, x: ValueId, count: i64| {
            if heads == kv_heads {
                return Ok(x);
            }
            let shape = parts.integers(&[0, count, -1, 0])?;
            parts.add(Reshape { allow_zero: false }, &[x, shape])
        };
        let q = heads_of(parts, inputs[0], kv_heads)?;
        let k = parts.add(Transpose { perm: Some(vec![0, 1, 3, 2]) }, &[inputs[1]])?;
        let scores = parts.add(MatMul, &[q, k])?;
        let scale = self.scale.map_or_else(|| 1.0 / (width as f64).sqrt(), f64::from);
        let scale = parts.number(scale, dtype)?;
        let scores = parts.add(Binary::Mul, &[scores, scale])?;
        let scores = heads_of(parts, scores, heads)?;
        let scores = parts.add(Cast { to: precision }, &[scores])?;
        let scores = changed(parts, self.score_mod.as_ref(), scores)?;
        let weights = parts.add(Softmax { axis: -1, flatten: false, log: false }, &[scores])?;
        let weights = changed(parts, self.prob_mod.as_ref(), weights)?;
        let weights = parts.add(Cast { to: dtype }, &[weights])?;
        let weights = heads_of(parts, weights, kv_heads)?;
        let out = parts.add(MatMul, &[weights, inputs[2]])?;
        let out = heads_of(parts, out, heads)?;
        outputs(parts, &[out])
    }
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    let body = |name: &str| {
        let body = node.body(name)?;
        body.as_ref().map_or(Ok(()), |body| body.expect(1, 1))?;
        Ok::<_, OpError>(body)
    };
    let precision = node.dtype("softmax_precision")?;
    if let Some(other) = precision.filter(|dtype| !dtype.is_float()) {
        return Err(invalid(format!("softmax_precision {other} is no type of floats")));
    }
    let (score_mod, prob_mod) = (body("score_mod")?, body("prob_mod")?);
    Ok(composite(FlexAttention { scale: node.float("scale")?, score_mod, prob_mod, precision }))
}

fn cases() -> Vec<Case> {
    use super::unary::Unary;
    let body = |op: Unary| {
        let mut graph = Graph::default();
        let [x, out] = ["x", "out"].map(|name| graph.add_value(name, None));
        let (name, inputs) = ("part".to_owned(), vec![Some(x)]);
        graph.nodes.push(Node { name, op: Arc::new(op), inputs, outputs: vec![out] });
        (graph.inputs, graph.outputs) = (vec![x], vec![out]);
        Body::new(graph, Vec::new())
    };
    let case = |name: &str, kv_heads: usize, score_mod: Option<Body>, prob_mod: Option<Body>| {
        let shapes: [&[usize]; 3] = [&[2, 4, 3, 8], &[2, kv_heads, 5, 8], &[2, kv_heads, 5, 6]];
        let inputs = shapes.iter().zip(1..).map(|(shape, seed)| Some(sample::floats(shape, seed))).collect();
        let op =
            FlexAttention { scale: prob_mod.is_some().then_some(0.5), score_mod, prob_mod, precision: None };
        Case::composite(name, op, inputs)
    };
    vec![
        case("plain", 4, None, None),
        case("shared keys", 2, None, None),
        case("changed scores", 2, Some(body(Unary::Tanh)), None),
        case("changed scores and probabilities", 4, Some(body(Unary::Neg)), Some(body(Unary::Sqrt))),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator {
    onnx: &[OnnxName { domain: "ai.onnx.preview", op_type: "FlexAttention", versions: 1..=1 }],
    decode,
    cases,
};
