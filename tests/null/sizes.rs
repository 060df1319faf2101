//! Operators that compute with sizes keep those that are symbols, or say what has to be known, and refuse what is hostile.

use std::collections::BTreeMap;

use engine::{
    dtype::DType,
    error::OpError,
    graph::{Fact, Graph, Node, ValueId},
    host::HostTensor,
    infer::infer,
    op::{Composite, OnnxNode, Parts, composite},
    ops::{OPERATORS, identity::Identity},
};
use onnx_import::Attribute;
use symbolic::{Expr, Symbol};

/// An ONNX node of the newest opset that has it: its operator, attributes, and constants behind the first input.
struct Asked<'a> {
    op_type: &'a str,
    attributes: &'a [(&'a str, Attribute)],
    constants: Vec<Option<HostTensor>>,
}

impl Asked<'_> {
    /// The shape of what it makes of floats of the given shape.
    fn of(self, x: &str) -> Result<String, String> {
        let named = |n: &&engine::op::OnnxName| n.domain.is_empty() && n.op_type == self.op_type;
        let operator = OPERATORS.iter().find(|o| o.onnx.iter().any(|n| named(&n))).unwrap();
        let version = operator.onnx.iter().find(named).map_or(0, |n| *n.versions.end());
        let attributes = self.attributes.iter().map(|(n, v)| ((*n).to_owned(), v.clone())).collect();
        let node = onnx_import::Node {
            name: "node".to_owned(),
            domain: String::new(),
            op_type: self.op_type.to_owned(),
            version,
            inputs: vec![Some(onnx_import::ValueId(0)); self.constants.len() + 1],
            outputs: vec![Some(onnx_import::ValueId(1))],
            attributes,
        };
        let op = (operator.decode)(&OnnxNode::new(&node, &BTreeMap::new())).map_err(|e| e.to_string())?;
        let mut graph = Graph::default();
        let size =
            |text: &str| symbolic::parse(text.trim(), &mut |name| Symbol::new(name).with_range(1, 4096));
        let shape = x.split(',').map(|text| size(text).unwrap()).collect();
        let mut inputs = vec![Some(graph.add_value("x", Some(Fact::new(DType::F32, shape))))];
        graph.inputs.extend(inputs[0]);
        inputs.extend(self.constants.into_iter().map(|c| c.map(|c| graph.add_constant("constant", c))));
        let out = graph.add_value("out", None);
        graph.outputs.push(out);
        graph.nodes.push(Node { name: "node".to_owned(), op, inputs, outputs: vec![out] });
        infer(&mut graph).map_err(|e| e.to_string())?;
        let shape = &graph.fact(out).unwrap().shape;
        Ok(shape.iter().map(Expr::to_string).collect::<Vec<_>>().join(", "))
    }
}

fn whole(values: &[i64]) -> Option<HostTensor> {
    Some(HostTensor::from_i64(vec![values.len()], values).unwrap())
}

fn scalar(value: i64) -> Option<HostTensor> {
    Some(HostTensor::from_i64(vec![], &[value]).unwrap())
}

fn floats(values: &[f32]) -> Option<HostTensor> {
    Some(HostTensor::from_f32(vec![values.len()], values).unwrap())
}

#[test]
fn sizes_that_are_symbols_stay_so() {
    let resize =
        |scales: &[f32]| Asked { op_type: "Resize", attributes: &[], constants: vec![None, floats(scales)] };
    assert_eq!(resize(&[1.0, 1.0, 2.0, 2.0]).of("n, 3, h, w").unwrap(), "n, 3, 2*h, 2*w");
    assert_eq!(resize(&[1.0, 1.5]).of("n, 5").unwrap(), "n, 7");
    let error = resize(&[1.0, 1.5]).of("n, w").unwrap_err();
    assert!(error.contains("resizing a size, w, that is known only in a run"), "{error}");

    let stft = Asked { op_type: "STFT", attributes: &[], constants: vec![scalar(4), floats(&[0.5; 8])] };
    assert_eq!(stft.of("n, 4*t + 8, 1").unwrap(), "n, t + 1, 5, 2");
    let dft = || Asked { op_type: "DFT", attributes: &[], constants: vec![None, scalar(1)] };
    assert_eq!(dft().of("n, 6, t, 1").unwrap(), "n, 6, t, 2");
    assert!(dft().of("n, t, 6, 1").unwrap_err().contains("a transform along axis 1"));

    let compress = Asked {
        op_type: "Compress",
        attributes: &[("axis", Attribute::Int(1))],
        constants: vec![whole(&[0, 1, 1])],
    };
    assert_eq!(compress.of("n, 4").unwrap(), "n, 2");
    for op_type in ["NonZero", "Unique"] {
        let error = Asked { op_type, attributes: &[], constants: vec![] }.of("3, 4").unwrap_err();
        assert!(error.contains(&format!("the size of what {op_type} gives depends on data")), "{error}");
    }
}

#[test]
fn sizes_beyond_reason_are_refused() {
    let text = |s: &str| Attribute::String(s.as_bytes().to_vec());
    let sized = |attributes: &[(&str, Attribute)], sizes: &[i64]| {
        Asked { op_type: "Resize", attributes, constants: vec![None, None, whole(sizes)] }.of("2, 3")
    };
    let linear = ("mode", text("linear"));
    assert_eq!(sized(std::slice::from_ref(&linear), &[4, 3]).unwrap(), "4, 3");
    assert_eq!(sized(std::slice::from_ref(&linear), &[0, 3]).unwrap(), "0, 3");
    let keep = ("keep_aspect_ratio_policy", text("not_larger"));
    for (attributes, sizes) in [
        (vec![], vec![-4, 3]),
        (vec![], vec![i64::MAX, 3]),
        (vec![], vec![4]),
        (vec![linear.clone()], vec![1 << 40, 1 << 40]),
        (vec![linear, keep], vec![i64::MAX, i64::MAX]),
        (vec![("axes", Attribute::Ints(vec![1, -1]))], vec![4, 5]),
        (vec![("axes", Attribute::Ints(vec![7, 0]))], vec![4, 5]),
    ] {
        assert!(sized(&attributes, &sizes).is_err(), "{attributes:?} {sizes:?}");
    }
    let scaled = |scales: &[f32]| {
        Asked { op_type: "Resize", attributes: &[], constants: vec![None, floats(scales)] }.of("2, 3")
    };
    for scale in [0.0, -1.0, f32::NAN, f32::INFINITY, 1e30] {
        assert!(scaled(&[scale, 1.0]).is_err(), "{scale}");
    }
    let stft = |step, length| {
        Asked { op_type: "STFT", attributes: &[], constants: vec![scalar(step), None, scalar(length)] }
            .of("1, 9, 1")
    };
    assert!(stft(0, 4).is_err() && stft(2, 0).is_err() && stft(2, i64::MAX).is_err());
    assert!(stft(i64::MIN, 4).is_err());
    let dft = |length| Asked { op_type: "DFT", attributes: &[], constants: vec![scalar(length), scalar(1)] };
    assert!(dft(0).of("1, 9, 1").is_err() && dft(-4).of("1, 9, 1").is_err());
    assert!(dft(1 << 40).of("1, 9, 1").unwrap_err().contains("which is a matrix here"));
}

/// Adds tables of 16 MiB.
#[derive(Debug)]
struct Tables(usize);

impl Composite for Tables {
    fn name(&self) -> &'static str {
        "Tables"
    }

    fn expand(&self, parts: &mut Parts<'_, '_>) -> Result<Vec<ValueId>, OpError> {
        let table = HostTensor::new(DType::U8, vec![1 << 24], vec![0; 1 << 24].into())?;
        for _ in 0..self.0 {
            parts.table(table.clone())?;
        }
        Ok(vec![parts.add(Identity, &[parts.input(0)?])?])
    }
}

/// Tables that are computed count by their size, so that a small file cannot ask for more than memory holds.
#[test]
fn tables_have_a_limit_together() {
    let x = HostTensor::from_i64(vec![1], &[7]).unwrap();
    let of = |count| composite(Tables(count)).reference(&[Some(&x)]).map(|_| ()).map_err(|e| e.to_string());
    assert_eq!(of(3), Ok(()));
    assert!(of(5).unwrap_err().contains("tables counted by their size"));
}
