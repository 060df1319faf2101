//! Matrices beyond what one binding holds.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::{
    graph::{Graph, Node, ValueId},
    host::{Fit, HostTensor, WeightFormat},
    infer_once::{OnceOptions, run_graph},
    op::{Elem, Op, fact_of},
    open::ModelFile,
    ops::{gather_rows::GatherRows, linear::Linear},
    passes::{PassOptions, WeightFormats},
    session::Session,
    weights::WeightSource,
};
use tests::{Choices, Expected, gpu, load_on};

#[test]
fn matrices_in_pieces_give_the_same_in_every_format() {
    let models = ["tiny_llama/dynamo20", "architectures/mixtral_hf20"];
    for (name, format) in models.iter().flat_map(|name| WeightFormat::ALL.map(|format| (name, format))) {
        let folder = tests::fixture(name);
        let expected = Expected::read(&folder.join("expected"));
        let file = ModelFile::open(&folder.join("model.onnx")).unwrap();
        // All matrices of more than 64 rows are in pieces: those of the MLP or the experts, and the table.
        let run = |max_binding| {
            let choices = Choices { format, max_binding, ..Choices::default() };
            let model = load_on(&gpu(), &file, choices).unwrap();
            let mut session = Session::new(model.clone(), 64).unwrap();
            let mut all = session.run(&expected.prompt).unwrap();
            all.extend(expected.decode_tokens.iter().flat_map(|t| session.run(&[*t]).unwrap()));
            (all, model.plan(true).dispatches(), model.plan(false).dispatches())
        };
        let (whole, pieces) = (run(None), run(Some(256)));
        assert!(pieces.1 >= whole.1 + 6 && pieces.2 >= whole.2 + 6, "{name} {format}: nothing was split");
        assert!(pieces.0 == whole.0, "{name} {format}: pieces give other logits");
    }
}

const WIDTH: usize = 64;

/// An element of the large matrix: a number that another row or column does not have by chance.
fn element(row: usize, column: usize) -> f32 {
    let hash = (row * WIDTH + column).wrapping_mul(0x9E37_79B9) >> 7 & 0xFFFF;
    hash as f32 / 65536.0 - 0.5
}

fn input(graph: &mut Graph, name: &str, tensor: &HostTensor) -> ValueId {
    let mut fact = fact_of(tensor);
    fact.content = None;
    let id = graph.add_value(name, Some(fact));
    graph.inputs.push(id);
    id
}

fn output(graph: &mut Graph, op: Arc<dyn Op>, inputs: [ValueId; 2]) {
    let out = graph.add_value(op.name(), None);
    let name = op.name().to_owned();
    graph.nodes.push(Node { name, op, inputs: inputs.map(Some).to_vec(), outputs: vec![out] });
    graph.outputs.push(out);
}

#[test]
fn a_matrix_larger_than_the_largest_binding_is_multiplied_and_looked_up() {
    let limit = usize::try_from(gpu().target().max_binding).unwrap();
    if limit > 256 << 20 {
        println!("skipped: this GPU binds {} MiB at once", limit >> 20);
        return;
    }
    let edge = limit / (4 * WIDTH);
    let rows = edge + 1000;
    let data: Vec<f32> = (0..rows * WIDTH).map(|i| element(i / WIDTH, i % WIDTH)).collect();
    let matrix = HostTensor::from_f32(vec![rows, WIDTH], &data).unwrap();
    drop(data);
    let x: Vec<f32> = (0..WIDTH).map(|j| (j as f32 * 0.7).sin()).collect();
    let wanted = [0, 1, edge - 1, edge, edge + 1, rows - 1];
    let indices = HostTensor::from_i64(vec![wanted.len()], &wanted.map(|r| r as i64)).unwrap();
    let vector = HostTensor::from_f32(vec![1, WIDTH], &x).unwrap();

    let mut graph = Graph::default();
    let (a, b) = (input(&mut graph, "x", &vector), input(&mut graph, "indices", &indices));
    let table = graph.add_constant("matrix", matrix);
    let format = WeightFormat::F32;
    output(&mut graph, Arc::new(Linear::new(format, false)), [a, table]);
    output(&mut graph, Arc::new(GatherRows { format, transposed: false }), [table, b]);
    engine::infer::infer(&mut graph).unwrap();
    let options = OnceOptions {
        passes: PassOptions { formats: WeightFormats::uniform(format), fuse: false },
        activations: Elem::F32,
    };
    let inputs = BTreeMap::from([("x".to_owned(), vector), ("indices".to_owned(), indices)]);
    let got = run_graph(&gpu(), graph, &WeightSource::Model(Fit::MinMax), &inputs, &options).unwrap();

    let product = got[0].1.to_f32s();
    assert_eq!(product.len(), rows);
    for (row, y) in product.iter().enumerate() {
        let want: f64 = (0..WIDTH).map(|j| f64::from(element(row, j)) * f64::from(x[j])).sum();
        assert!((f64::from(*y) - want).abs() < 1e-4, "row {row}: {y} instead of {want}");
    }
    let looked_up = got[1].1.to_f32s();
    let want: Vec<f32> = wanted.iter().flat_map(|r| (0..WIDTH).map(|j| element(*r, j))).collect();
    assert_eq!(looked_up, want);
}
