//! What one run of a graph refuses, before anything reaches the GPU.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::{
    dtype::DType,
    gpu::Gpu,
    graph::{Fact, Graph, ValueId},
    host::{Fit, HostTensor, WeightFormat},
    infer_once::{OnceOptions, run_graph},
    op::{Elem, LowerOptions},
    ops::{binary::Binary, concat::Concat, flatten::Flatten, range::Range},
    passes::{PassOptions, WeightFormats},
    plan::{Plan, PlanOptions},
    weights::WeightSource,
};
use symbolic::{Bindings, Expr, Symbol};

fn input(graph: &mut Graph, name: &str, shape: Vec<Expr>) -> Option<ValueId> {
    let id = graph.add_value(name, Some(Fact::new(DType::F32, shape)));
    graph.inputs.push(id);
    Some(id)
}

fn size(name: &str) -> Expr {
    Expr::from(&Symbol::new(name).with_range(1, 100))
}

/// `Concat` of `a [n, 2]` and `b [n, 3]`.
fn graph() -> Graph {
    let mut graph = Graph::default();
    let mut given = |name: &str, width: i64| input(&mut graph, name, vec![size("n"), Expr::from(width)]);
    let inputs = vec![given("a", 2), given("b", 3)];
    let output = graph.add_node("out", Arc::new(Concat { axis: 1 }), inputs, None);
    graph.outputs.push(output);
    engine::infer::infer(&mut graph).unwrap();
    graph
}

/// The sum of what `join` makes of sizes `a` and `b`, and of `c` and `d`.
fn sum_of(join: impl Fn(&mut Graph, &str, [Expr; 2]) -> ValueId) -> Graph {
    let mut graph = Graph::default();
    let x = join(&mut graph, "x", [size("a"), size("b")]);
    let y = join(&mut graph, "y", [size("c"), size("d")]);
    let output = graph.add_node("sum", Arc::new(Binary::Add), vec![Some(x), Some(y)], None);
    graph.outputs.push(output);
    engine::infer::infer(&mut graph).unwrap();
    graph
}

/// Elements of two matrices `[a, b]` and `[c, d]` must be as many: `a*b == c*d` has no symbol to solve for.
fn products() -> Graph {
    sum_of(|graph, name, shape| {
        let matrix = input(graph, name, shape.to_vec());
        graph.add_node(&format!("flat {name}"), Arc::new(Flatten { axis: 0 }), vec![matrix], None)
    })
}

/// Two vectors of two parts each must be as long: `a + b == c + d` is solved for one of them.
fn sums() -> Graph {
    sum_of(|graph, name, sizes| {
        let parts = ["first", "last"].into_iter().zip(sizes);
        let parts = parts.map(|(part, size)| input(graph, &format!("{part} {name}"), vec![size])).collect();
        graph.add_node(name, Arc::new(Concat { axis: 0 }), parts, None)
    })
}

fn floats(shape: &[usize]) -> HostTensor {
    HostTensor::from_f32(shape.to_vec(), &vec![1.0; shape.iter().product()]).unwrap()
}

fn run(inputs: &[(&str, HostTensor)]) -> Result<Vec<(String, HostTensor)>, String> {
    run_of(graph(), inputs)
}

fn run_of(graph: Graph, inputs: &[(&str, HostTensor)]) -> Result<Vec<(String, HostTensor)>, String> {
    let gpu = Gpu::noop(devices::profiles().next().unwrap()).unwrap();
    let options = OnceOptions {
        passes: PassOptions { formats: WeightFormats::uniform(WeightFormat::F32), fuse: true },
        activations: Elem::F32,
    };
    let inputs: BTreeMap<String, HostTensor> =
        inputs.iter().map(|(n, t)| ((*n).to_owned(), t.clone())).collect();
    run_graph(&gpu, graph, &WeightSource::Model(Fit::MinMax), &inputs, &options).map_err(|e| e.to_string())
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
        (
            &[("a", floats(&[4, 2])), ("b", floats(&[5, 3]))],
            "axis 0 of input \"b\" is 5; it is declared `n`, which is 4 given n = 4",
        ),
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

#[test]
fn sizes_that_no_symbol_can_be_solved_for_are_checked_when_they_are_known() {
    let graph = products();
    assert!(graph.to_string().contains("where `a*b` of sum operand 0 == `c*d` of sum operand 1"), "{graph}");
    let lower = LowerOptions {
        target: Gpu::noop(devices::profiles().next().unwrap()).unwrap().target(),
        activations: Elem::F32,
    };
    let capacity = Symbol::new("capacity");
    let stepping = vec![Symbol::new("d").with_range(1, 100)];
    let plan =
        Plan::new(&graph, &PlanOptions { lower, caches: Vec::new(), kept: Vec::new(), capacity, stepping })
            .unwrap();
    let bindings = |sizes: [i64; 4]| {
        let symbols = ["a", "b", "c", "d"].map(|name| Symbol::new(name).with_range(1, 100));
        symbols.iter().zip(sizes).collect::<Bindings>()
    };
    let broken = "`a*b` of sum operand 0 must equal `c*d` of sum operand 1, but they are 6 and 10";
    let mut bound = plan.bind(&bindings([2, 6, 3, 4]), 256).unwrap();
    let error = plan.bind(&bindings([2, 3, 5, 2]), 256).unwrap_err().to_string();
    assert!(error.contains(broken), "{error}");
    bound.advance(&plan, &bindings([2, 6, 4, 3])).unwrap();
    let error = bound.advance(&plan, &bindings([2, 3, 5, 2])).unwrap_err().to_string();
    assert!(error.contains(broken), "{error}");
}

#[test]
fn inputs_whose_sizes_break_what_the_model_needs_are_refused() {
    let products = |x: [usize; 2], y: [usize; 2]| run_of(products(), &[("x", floats(&x)), ("y", floats(&y))]);
    products([2, 6], [3, 4]).unwrap();
    let error = products([2, 3], [5, 2]).unwrap_err();
    let want = "`6` of sum operand 0 must equal `10` of sum operand 1, but they are `6` and `10`";
    assert!(error.contains(want), "{error}");
    let sums = |sizes: [usize; 4]| {
        let names = ["first x", "last x", "first y", "last y"];
        let inputs: Vec<_> = names.into_iter().zip(sizes.map(|n| floats(&[n]))).collect();
        run_of(sums(), &inputs)
    };
    sums([2, 3, 4, 1]).unwrap();
    let error = sums([2, 3, 4, 2]).unwrap_err();
    assert!(error.contains("; it is declared `"), "{error}");
}

#[test]
fn numbers_that_decide_a_shape_are_taken_from_the_inputs() {
    for (dtype, bounds, want) in [
        (DType::F32, [0.5, 2.0, 0.5], vec![0.5, 1.0, 1.5]),
        (DType::F16, [3.0, -1.0, -2.0], vec![3.0, 1.0]),
        (DType::I64, [1.0, 9.0, 4.0], vec![1.0, 5.0]),
    ] {
        let mut graph = Graph::default();
        let names = ["start", "limit", "delta"];
        let ids = names.map(|name| Some(graph.add_value(name, Some(Fact::new(dtype, Vec::new())))));
        graph.inputs.extend(ids.into_iter().flatten());
        let output = graph.add_node("range", Arc::new(Range), ids.to_vec(), None);
        graph.outputs.push(output);
        let given = bounds.map(|v| HostTensor::from_f64s(dtype, Vec::new(), &[v]).unwrap());
        let outputs = run_of(graph, &names.into_iter().zip(given).collect::<Vec<_>>()).unwrap();
        assert_eq!((outputs[0].1.dtype(), outputs[0].1.to_f64s()), (dtype, want));
    }
}

#[test]
fn numbers_that_the_device_does_not_hold_are_refused() {
    let square = |tensor: &HostTensor| {
        let mut graph = Graph::default();
        let fact = Fact::new(tensor.dtype(), vec![Expr::from(2)]);
        let x = graph.add_value("x", Some(fact));
        graph.inputs.push(x);
        let out = graph.add_node("square", Arc::new(Binary::Mul), vec![Some(x), Some(x)], None);
        graph.outputs.push(out);
        engine::infer::infer(&mut graph).unwrap();
        run_of(graph, &[("x", tensor.clone())])
    };
    let double = |value: f64| HostTensor::from_f64s(DType::F64, vec![2], &[value, 1.0]).unwrap();
    let long = |value: i64| HostTensor::from_i64(vec![2], &[value, 1]).unwrap();
    for fine in [double(3e38), double(f64::INFINITY), long(i32::MIN.into())] {
        assert!(square(&fine).is_ok());
    }
    for beyond in [double(4e38), long(1 << 31), long(-1).cast(DType::U64)] {
        let error = square(&beyond).unwrap_err();
        assert!(error.contains("input \"x\" has numbers that 32 bits do not hold"), "{error}");
    }
}
