//! Mixtures of experts: what multiplies with the chosen matrices where they lie is the look-up and the product behind it.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use engine::{
    dtype::DType,
    graph::{Fact, Graph, Node},
    host::{Fit, GroupSize, HostTensor, WeightFormat},
    infer::infer,
    infer_once::{OnceOptions, run_graph},
    language::{LanguageModel, Phase},
    op::{Elem, sample},
    open::ModelFile,
    ops::{gather::Gather, gather_nd::GatherNd, matmul::MatMul},
    passes::{self, PassOptions, WeightFormats},
    session::Session,
    weights::WeightSource,
};
use tests::{Choices, Expected, gpu, language_options, largest_difference, load_on};

const M0E4: WeightFormat = WeightFormat::M0e4 { group: GroupSize::G32 };

fn options(fuse: bool) -> PassOptions {
    PassOptions { formats: WeightFormats::uniform(WeightFormat::F32), fuse }
}

/// The products of `rows` columns with the experts that inputs name.
fn mixture(
    nd: bool,
    rows: usize,
    [experts, n, k]: [usize; 3],
    seed: u64,
) -> (Graph, BTreeMap<String, HostTensor>) {
    let mut graph = Graph::default();
    let table = graph.add_constant("table", sample::floats(&[experts, n, k], seed));
    let mut inputs = BTreeMap::new();
    let places: &[usize] = if nd { &[rows, 1] } else { &[rows] };
    let given = [
        ("x", sample::floats(&[rows, k, 1], seed + 1)),
        ("indices", sample::integers_in(places, seed + 2, -(experts as i64), experts as i64)),
    ];
    let [x, indices] = given.map(|(name, tensor)| {
        let shape = tensor.shape().iter().map(|d| (*d as i64).into()).collect();
        let id = graph.add_value(name, Some(Fact::new(tensor.dtype(), shape)));
        inputs.insert(name.to_owned(), tensor);
        id
    });
    graph.inputs = vec![x, indices];
    let chosen = graph.add_value("chosen", None);
    let op: Arc<dyn engine::op::Op> =
        if nd { Arc::new(GatherNd { batch_dims: 0 }) } else { Arc::new(Gather { axis: 0 }) };
    let ins = vec![Some(table), Some(indices)];
    graph.nodes.push(Node { name: "choose".into(), op, inputs: ins, outputs: vec![chosen] });
    let y = graph.add_value("y", None);
    let ins = vec![Some(chosen), Some(x)];
    graph.nodes.push(Node { name: "multiply".into(), op: Arc::new(MatMul), inputs: ins, outputs: vec![y] });
    graph.outputs = vec![y];
    infer(&mut graph).unwrap();
    (graph, inputs)
}

#[test]
fn fused_equals_unfused_on_random_mixtures() {
    let any = |seed, low, high| sample::integers_in(&[1], seed, low, high).to_i64s()[0] as usize;
    for seed in (0..240).step_by(10) {
        let [rows, experts, fours, eights] =
            [(1, 9), (1, 7), (1, 24), (1, 17)].map(|(low, high)| any(seed + high as u64, low, high));
        // Now and then of sizes that do not fill blocks.
        let (rest_n, rest_k) = [(0, 0), (2, 0), (0, 0), (0, 4)][any(seed, 0, 4)];
        let sizes = [experts, 4 * fours + rest_n, 8 * eights + rest_k];
        let what = format!("{rows} of {sizes:?}");
        let (graph, inputs) = mixture(seed % 20 == 0, rows, sizes, seed);
        let report = passes::run(&mut graph.clone(), &options(true)).unwrap();
        assert_eq!(report.applied["Experts"], usize::from(rest_n + rest_k == 0), "{what}");
        let run = |fuse| {
            let options = OnceOptions { passes: options(fuse), activations: Elem::F32 };
            let source = WeightSource::Model(Fit::Search);
            run_graph(&gpu(), graph.clone(), &source, &inputs, &options).unwrap().remove(0).1
        };
        let (got, want) = (run(true), run(false));
        assert_eq!((got.dtype(), got.shape()), (DType::F32, want.shape()), "{what}");
        let difference = largest_difference(&got.to_f32s(), &want.to_f32s());
        assert!(difference < 1e-4, "{what}: {difference} apart");
    }
}

/// Logits of the recorded prompt and steps.
fn logits(file: &ModelFile, folder: &Path, choices: Choices) -> Vec<f32> {
    let expected = Expected::read(&folder.join("expected"));
    let mut session = Session::new(load_on(&gpu(), file, choices).unwrap(), 64).unwrap();
    let mut all = session.run(&expected.prompt).unwrap();
    all.extend(expected.decode_tokens.iter().flat_map(|t| session.run(&[*t]).unwrap()));
    all
}

#[test]
fn experts_are_packed_and_kept_so() {
    for name in ["mixtral_hf20", "qwen3_moe_ts17"] {
        let folder = tests::fixture("architectures").join(name);
        let file = ModelFile::open(&folder.join("model.onnx")).unwrap();
        let choices = Choices { format: M0E4, ..Choices::default() };
        let model = LanguageModel::recognise(file.graph.clone()).unwrap();
        let prepared = model.prepare(Phase::Decode, &language_options(&gpu(), choices)).unwrap();
        let kept = tempfile::tempdir().unwrap();
        let packed = kept.path().join("model.packed");
        let formats = WeightFormats::uniform(M0E4);
        file.pack(&prepared.graph, &prepared.plan.weights, &formats, &packed, &|_, _| {}).unwrap();
        let again = ModelFile::open(&packed).unwrap();
        assert_eq!(logits(&again, &folder, choices), logits(&file, &folder, choices), "{name}");
        let exact = logits(&file, &folder, Choices::default());
        let lost = largest_difference(&logits(&again, &folder, choices), &exact);
        assert!(lost > 0.0, "{name}: nothing was rounded");
    }
}
