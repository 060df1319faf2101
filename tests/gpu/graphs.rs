//! Graphs put together at random of operators that move, join and write over data: planned as a whole, with values in each other's
//! memory, they give what their operators' references give one by one, also where a length is known in each run only.

use std::{collections::BTreeMap, sync::Arc};

use engine::{
    EngineError,
    dtype::DType,
    graph::{Fact, Graph, Node, ValueId},
    host::{Fit, HostTensor, WeightFormat},
    infer_once::{OnceOptions, run_graph},
    op::{Elem, LowerOptions, Op, sample},
    ops::{
        binary::Binary,
        concat::Concat,
        expand::Expand,
        gather::Gather,
        identity::Identity,
        matmul::MatMul,
        reduce::{Reduce, Reduction},
        reshape::Reshape,
        slice::Slice,
        softmax::Softmax,
        split::Split,
        tensor_scatter::TensorScatter,
        tile::Tile,
        transpose::Transpose,
        unary::Unary,
    },
    passes::{self, PassOptions, WeightFormats},
    plan::{Plan, PlanOptions},
    weights::{WeightSource, held, tensor},
};
use proptest::{
    collection::vec,
    prelude::{ProptestConfig, any, prop_assert, proptest},
    test_runner::RngSeed,
};
use symbolic::{Bindings, Expr, Symbol};

/// A graph with what each of its values is by the references, for each of some lengths.
#[derive(Debug)]
struct Drawn {
    graph: Graph,
    lengths: Vec<usize>,
    values: Vec<(ValueId, Vec<HostTensor>)>,
}

/// Stands for the length in a shape.
const LENGTH: usize = usize::MAX;

fn length() -> Symbol {
    Symbol::new("length")
}

impl Drawn {
    fn new(lengths: &[usize], inputs: &[&[usize]]) -> Self {
        let mut drawn = Self { graph: Graph::default(), lengths: lengths.to_vec(), values: Vec::new() };
        for (seed, shape) in inputs.iter().enumerate() {
            let put = |n: &usize, length: usize| if *n == LENGTH { length } else { *n };
            let tensors = lengths.iter().map(|length| {
                let shape: Vec<usize> = shape.iter().map(|n| put(n, *length)).collect();
                sample::floats(&shape, seed as u64)
            });
            let tensors = tensors.collect();
            // A length that is the only one is a number.
            let size = |n: &usize| match lengths {
                [only] => Expr::from(put(n, *only)),
                _ if *n == LENGTH => Expr::from(&length()),
                _ => Expr::from(*n),
            };
            let fact = Fact::new(DType::F32, shape.iter().map(size).collect());
            let id = drawn.graph.add_value(&format!("input{seed}"), Some(fact));
            drawn.graph.inputs.push(id);
            drawn.values.push((id, tensors));
        }
        drawn
    }

    /// Inputs by name, for one of the lengths.
    fn inputs(&self, at: usize) -> BTreeMap<String, HostTensor> {
        let given = |id: &ValueId| self.values.iter().find(|(value, _)| value == id);
        let inputs = self.graph.inputs.iter().filter_map(given);
        inputs.map(|(id, tensors)| (self.graph.value(*id).name.clone(), tensors[at].clone())).collect()
    }

    /// A node with so many outputs on values, and constants behind them; none where the operator does not take those.
    fn node(&mut self, op: impl Op, parts: usize, on: &[usize], constants: &[&[i64]]) {
        let number = self.graph.nodes.len();
        let lists: Vec<HostTensor> = constants.iter().map(|list| sample::list(list)).collect();
        let mut graph = self.graph.clone();
        let ids = lists.iter().map(|list| graph.add_constant(&format!("list{number}"), list.clone()));
        let inputs =
            on.iter().map(|at| self.values[*at].0).chain(ids.collect::<Vec<_>>()).map(Some).collect();
        let op: Arc<dyn Op> = Arc::new(op);
        let name = format!("{} {number}", op.name());
        let outputs: Vec<_> = (0..parts).map(|at| graph.add_value(&format!("{name}.{at}"), None)).collect();
        graph.nodes.push(Node { name, op: op.clone(), inputs, outputs: outputs.clone() });
        let inferred = engine::infer::infer(&mut graph);
        // What fits for some lengths only is not wanted either.
        let any_length = || {
            graph.pending.is_empty() && graph.inputs.iter().all(|id| graph.fact(*id) == self.graph.fact(*id))
        };
        if inferred.is_err() || !any_length() {
            return;
        }
        let results = (0..self.lengths.len()).map(|at| {
            let given = on.iter().map(|value| &self.values[*value].1[at]).chain(&lists).map(Some);
            op.reference(&given.collect::<Vec<_>>())
        });
        let Ok(results) = results.collect::<Result<Vec<_>, _>>() else { return };
        // WGSL promises nothing of what is not finite.
        let finite = |tensor: &HostTensor| tensor.to_f32s().iter().all(|n| n.is_finite());
        if !results.iter().flatten().all(finite) {
            return;
        }
        self.graph = graph;
        for (part, id) in outputs.into_iter().enumerate() {
            self.values.push((id, results.iter().map(|all| all[part].clone()).collect()));
        }
    }

    /// A node that five bytes tell: which operator, on which values, and how.
    fn draw(&mut self, [op, a, b, how, more]: [u8; 5]) {
        let last = self.values.len();
        // Values that were made last are taken more often, so that graphs become deep.
        let pick = |byte: u8| last - 1 - usize::from(byte) * usize::from(byte) * last / (256 * 256);
        let (a, b) = (pick(a), pick(b));
        let (how, more) = (usize::from(how), usize::from(more));
        let shape = self.values[a].1[0].shape().to_vec();
        let axis = how % shape.len().max(1);
        let size = shape.get(axis).copied().unwrap_or(1);
        match op % 15 {
            0 => self.node(if how < 128 { Binary::Add } else { Binary::Sub }, 1, &[a, b], &[]),
            1 => self.node(Unary::Neg, 1, &[a], &[]),
            2 => {
                let mut perm: Vec<usize> = (0..shape.len()).collect();
                perm.rotate_left(axis);
                if perm.len() > 1 && more % 2 == 1 {
                    perm.swap(0, 1);
                }
                self.node(Transpose { perm: Some(perm) }, 1, &[a], &[]);
            }
            3 => {
                let all: usize = shape.iter().product();
                let first =
                    [2, 3, 4, 6].into_iter().cycle().skip(how).take(4).find(|n| all.is_multiple_of(*n));
                let wanted: &[i64] = if more < 128 { &[-1] } else { &[-1, 2] };
                let wanted: Vec<i64> =
                    first.map(|n| n as i64).into_iter().chain(wanted.iter().copied()).collect();
                self.node(Reshape { allow_zero: false }, 1, &[a], &[&wanted]);
            }
            4 => {
                let (start, step) = (more % size.max(1), 1 + more / 100 % 2);
                let end = start + 1 + more / 3 % size.max(1);
                let lists = [start, end, axis, step].map(|n| [n as i64]);
                self.node(Slice, 1, &[a], &lists.each_ref().map(|list| &list[..]));
            }
            5 => self.node(Concat { axis: axis as i64 }, 1, &[a, b], &[]),
            6 => self.node(Concat { axis: axis as i64 }, 1, &[b, a, b], &[]),
            7 => self.node(Identity, 1, &[a], &[]),
            8 => {
                // A piece of it, changed, goes elsewhere.
                let (from, start) = (more % size.max(1), more / 7 % size.max(1));
                let lists = [from, from + 1, axis].map(|n| [n as i64]);
                self.node(Slice, 1, &[a], &lists.each_ref().map(|list| &list[..]));
                self.node(Unary::Neg, 1, &[self.values.len() - 1], &[]);
                let write = TensorScatter { axis: axis as i64, circular: more > 200, start: None };
                let starts = vec![start as i64; shape.first().copied().unwrap_or(1)];
                self.node(write, 1, &[a, self.values.len() - 1], &[&starts]);
            }
            9 if more < 100 => {
                let op =
                    Reduce { reduction: Reduction::Max, keep: true, noop_without_axes: false, axes: None };
                self.node(op, 1, &[a], &[&[axis as i64]]);
            }
            9 => {
                let wanted: Vec<i64> = [2]
                    .into_iter()
                    .filter(|_| shape.len() < 4)
                    .chain(shape.iter().map(|n| *n as i64))
                    .collect();
                self.node(Expand, 1, &[a], &[&wanted]);
            }
            10 => self.node(Softmax { axis: axis as i64, flatten: false, log: false }, 1, &[a], &[]),
            11 => self.node(
                Gather { axis: axis as i64 },
                1,
                &[a],
                &[&[more, how, more / 2].map(|n| (n % size.max(1)) as i64)],
            ),
            12 => {
                let repeats: Vec<i64> = (0..shape.len()).map(|at| if at == axis { 2 } else { 1 }).collect();
                self.node(Tile, 1, &[a], &[&repeats]);
            }
            13 => self.node(MatMul, 1, &[a, b], &[]),
            _ => {
                let sizes = vec![1, size as i64 - 1];
                if size > 1 {
                    self.node(Split { axis: axis as i64, parts: 2, sizes: Some(sizes) }, 2, &[a], &[]);
                }
            }
        }
    }
}

/// Whether they differ by no more than sums of products of the largest numbers do.
fn near(got: &HostTensor, want: &HostTensor) -> bool {
    let (got_all, want_all) = (got.to_f32s(), want.to_f32s());
    let most = want_all.iter().fold(1.0, |most: f32, n| most.max(n.abs()));
    let close = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-4 * most;
    got.shape() == want.shape() && got_all.iter().zip(&want_all).all(close)
}

/// What a graph is run for: some of its values, by the reference.
type Wanted<'a> = BTreeMap<ValueId, &'a [HostTensor]>;

fn wanted(values: &[(ValueId, Vec<HostTensor>)], outputs: impl Iterator<Item = usize>) -> Wanted<'_> {
    outputs.map(|at| (values[at].0, &values[at].1[..])).collect()
}

fn passes(fuse: bool) -> PassOptions {
    PassOptions { formats: WeightFormats::uniform(WeightFormat::F32), fuse }
}

/// Runs a graph by itself, with some of its values for outputs.
fn check_once(mut drawn: Drawn, outputs: impl Iterator<Item = usize>, fuse: bool) -> Result<(), String> {
    let wanted = wanted(&drawn.values, outputs);
    drawn.graph.outputs.extend(wanted.keys());
    engine::infer::infer(&mut drawn.graph).unwrap();
    let text = format!("{}\n{}", drawn.graph, tests::plan_of_graph(&tests::gpu(), &drawn.graph).unwrap());
    let options = OnceOptions { passes: passes(fuse), activations: Elem::F32 };
    let (graph, source) = (drawn.graph.clone(), WeightSource::Model(Fit::Search));
    let got = run_graph(&tests::gpu(), graph, &source, &drawn.inputs(0), &options);
    for ((name, got), want) in got.map_err(|e| format!("{e}\n{text}"))?.iter().zip(wanted.values()) {
        if !near(got, &want[0]) {
            return Err(format!("{name} is {:?}, not {:?}\n{text}", got.to_f32s(), want[0].to_f32s()));
        }
    }
    Ok(())
}

/// Runs a graph whose length is not known to its plan, in the memory of the longest, for one length after the other.
fn check_lengths(
    mut drawn: Drawn,
    outputs: impl Iterator<Item = usize>,
    fuse: bool,
) -> Result<(), EngineError> {
    let gpu = tests::gpu();
    let wanted = wanted(&drawn.values, outputs);
    drawn.graph.outputs.extend(wanted.keys());
    let mut graph = drawn.graph.clone();
    engine::infer::infer(&mut graph)?;
    passes::run(&mut graph, &passes(fuse))?;
    let lower = LowerOptions { target: gpu.target(), activations: Elem::F32 };
    let (caches, kept, capacity) = (Vec::new(), Vec::new(), Symbol::new("capacity"));
    let options = PlanOptions { lower, caches, kept, capacity, stepping: vec![length()] };
    let plan = Arc::new(Plan::new(&graph, &options)?);
    let bindings = |length: usize| Bindings::new().with(&self::length(), length as i64);
    let largest = bindings(drawn.lengths.iter().copied().max().unwrap_or(1));
    let mut run = tests::run_of_plan(&gpu, &graph, &plan, &largest)?;
    for (at, length) in drawn.lengths.iter().enumerate() {
        run.advance(&gpu, &bindings(*length))?;
        for (name, tensor) in drawn.inputs(at) {
            run.write(&gpu, &name, &held(&name, &tensor, Elem::F32)?)?;
        }
        run.submit(&gpu)?;
        for (index, want) in wanted.values().enumerate() {
            let got = tensor(&run.read(&gpu, index)?, Elem::F32, DType::F32, want[at].shape().to_vec())?;
            if !near(&got, &want[at]) {
                let (got, want) = (got.to_f32s(), want[at].to_f32s());
                let text =
                    format!("output {index} of length {length} is {got:?}, not {want:?}\n{graph}\n{plan}");
                return Err(EngineError::model("test", text));
            }
        }
    }
    Ok(())
}

proptest! {
    // What is drawn is the same each time.
    #![proptest_config(ProptestConfig {
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        max_shrink_iters: 400,
        ..ProptestConfig::with_cases(1000)
    })]

    #[test]
    fn graphs_give_what_their_operators_do(
        steps in vec(any::<[u8; 5]>(), 3..32),
        outputs in vec(any::<u8>(), 1..4),
        fuse in any::<bool>(),
    ) {
        let (drawn, outputs) = drawn(&[3], &steps, &outputs);
        let checked = check_once(drawn, outputs.into_iter(), fuse);
        prop_assert!(checked.is_ok(), "{}", checked.unwrap_err());
    }

    #[test]
    fn graphs_give_what_their_operators_do_for_any_length(
        steps in vec(any::<[u8; 5]>(), 3..32),
        outputs in vec(any::<u8>(), 1..4),
        fuse in any::<bool>(),
    ) {
        let (drawn, outputs) = drawn(&[3, 5, 1, 4], &steps, &outputs);
        let checked = check_lengths(drawn, outputs.into_iter(), fuse);
        prop_assert!(checked.is_ok(), "{}", checked.unwrap_err());
    }
}

/// A graph, and which of its values are asked for: the last one, and any others.
fn drawn(lengths: &[usize], steps: &[[u8; 5]], outputs: &[u8]) -> (Drawn, Vec<usize>) {
    let shapes: [&[usize]; 4] = [&[2, LENGTH, 4], &[2, LENGTH, 4], &[2, 1, 4], &[LENGTH, 12]];
    let mut drawn = Drawn::new(lengths, &shapes);
    for step in steps {
        // Sizes double where values are joined.
        if drawn.values.last().is_some_and(|(_, tensors)| tensors[0].len() < 4096) {
            drawn.draw(*step);
        }
    }
    let count = drawn.values.len();
    let outputs = outputs.iter().map(|byte| usize::from(*byte) * count / 256).chain([count - 1]).collect();
    (drawn, outputs)
}

#[test]
fn a_place_with_other_dimensions_is_not_taken_for_the_values_own() {
    let mut drawn = Drawn::new(&[1], &[&[1, 12]]);
    drawn.node(Expand, 1, &[0], &[&[2, 1, 12]]);
    drawn.node(Reshape { allow_zero: false }, 1, &[1], &[&[2, 6, 2]]);
    // Two of each four elements are the reshaped value's: strides do not say twelve of them in a row.
    drawn.node(Concat { axis: 2 }, 1, &[2, 2], &[]);
    check_once(drawn, [3].into_iter(), false).unwrap();
}

#[test]
fn an_update_is_not_lost_where_the_cache_is_copied_behind_it() {
    let mut drawn = Drawn::new(&[1], &[&[1, 4, 2], &[1, 1, 2]]);
    // The sum could be written where the concatenation has it, but all of the cache is copied there.
    drawn.node(Binary::Add, 1, &[1, 1], &[]);
    drawn.node(TensorScatter { axis: 1, circular: false, start: None }, 1, &[0, 2], &[&[2]]);
    drawn.node(Concat { axis: 1 }, 1, &[3, 1], &[]);
    check_once(drawn, [4].into_iter(), false).unwrap();
}
