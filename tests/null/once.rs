//! What one run of a graph refuses, before anything reaches the GPU.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::{
    dtype::DType,
    gpu::Gpu,
    graph::{Fact, Graph, Node},
    host::{Fit, HostTensor, WeightFormat},
    infer_once::{OnceOptions, run_graph},
    op::Elem,
    ops::concat::Concat,
    passes::{PassOptions, WeightFormats},
    weights::WeightSource,
};
use symbolic::{Expr, Symbol};

/// `Concat` of `a [n, 2]` and `b [n, 3]`.
fn graph() -> Graph {
    let mut graph = Graph::default();
    let n = Expr::from(&Symbol::new("n").with_range(1, 100));
    let mut input = |name: &str, width: i64| {
        let fact = Fact::new(DType::F32, vec![n.clone(), Expr::from(width)]);
        let id = graph.add_value(name, Some(fact));
        graph.inputs.push(id);
        Some(id)
    };
    let inputs = vec![input("a", 2), input("b", 3)];
    let output = graph.add_value("out", None);
    graph.outputs.push(output);
    graph.nodes.push(Node {
        name: "join".to_owned(),
        op: Arc::new(Concat { axis: 1 }),
        inputs,
        outputs: vec![output],
    });
    engine::infer::infer(&mut graph).unwrap();
    graph
}

fn floats(shape: &[usize]) -> HostTensor {
    HostTensor::from_f32(shape.to_vec(), &vec![1.0; shape.iter().product()]).unwrap()
}

fn run(inputs: &[(&str, HostTensor)]) -> Result<Vec<(String, HostTensor)>, String> {
    let gpu = Gpu::noop(devices::profiles().next().unwrap()).unwrap();
    let options = OnceOptions {
        passes: PassOptions { formats: WeightFormats::uniform(WeightFormat::F32), fuse: true },
        activations: Elem::F32,
    };
    let inputs: BTreeMap<String, HostTensor> =
        inputs.iter().map(|(n, t)| ((*n).to_owned(), t.clone())).collect();
    run_graph(&gpu, graph(), &WeightSource::Model(Fit::MinMax), &inputs, &options).map_err(|e| e.to_string())
}

#[test]
fn fitting_inputs_are_taken_at_any_size() {
    for n in [1, 4] {
        let outputs = run(&[("a", floats(&[n, 2])), ("b", floats(&[n, 3]))]).unwrap();
        assert_eq!((outputs[0].0.as_str(), outputs[0].1.shape()), ("out", &[n, 5][..]));
    }
}

#[test]
fn each_input_that_does_not_fit_is_named_with_what_the_model_takes() {
    let integers = HostTensor::from_i64(vec![4, 3], &[1; 12]).unwrap();
    let cases: [(&[(&str, HostTensor)], &str); 6] = [
        (&[("a", floats(&[4, 2]))], "input \"b\" (f32[n, 3]) is not given"),
        (&[("a", floats(&[4, 2])), ("b", integers)], "input \"b\" is i64, the model takes f32[n, 3]"),
        (
            &[("a", floats(&[4, 2])), ("b", floats(&[4, 4]))],
            "input \"b\" has shape [4, 4], the model takes f32[n, 3]",
        ),
        (
            &[("a", floats(&[4, 2])), ("b", floats(&[12]))],
            "input \"b\" has shape [12], the model takes f32[n, 3]",
        ),
        (&[("a", floats(&[4, 2])), ("b", floats(&[5, 3]))], "the shapes do not fit together: "),
        (
            &[("a", floats(&[4, 2])), ("b", floats(&[4, 3])), ("c", floats(&[1]))],
            "the model has no input \"c\"",
        ),
    ];
    for (inputs, want) in cases {
        let error = run(inputs).unwrap_err();
        assert!(error.contains(want), "{error}\ndoes not say {want}");
    }
}

#[test]
fn everything_wrong_is_listed_at_once() {
    let integers = HostTensor::from_i64(vec![4, 9], &[1; 36]).unwrap();
    let error = run(&[("a", integers), ("x", floats(&[1])), ("y", floats(&[1]))]).unwrap_err();
    for want in [
        "input \"a\" is i64, the model takes f32[n, 2]",
        "input \"a\" has shape [4, 9], the model takes f32[n, 2]",
        "input \"b\" (f32[n, 3]) is not given",
        "the model has no input \"x\"",
        "the model has no input \"y\"",
    ] {
        assert!(error.contains(want), "{error}\ndoes not say {want}");
    }
}
