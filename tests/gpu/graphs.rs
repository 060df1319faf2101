//! Graphs put together at random of operators that move, join and write over data: planned as a whole, with values in each other's
//! memory, they give what their operators' references give one by one.

use std::{collections::BTreeMap, sync::Arc};

use engine::{
    graph::{Graph, Node, ValueId},
    host::{Fit, HostTensor, WeightFormat},
    infer_once::{OnceOptions, run_graph},
    op::{Elem, Op, fact_of, sample},
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
    passes::{PassOptions, WeightFormats},
    weights::WeightSource,
};
use proptest::{
    collection::vec,
    prelude::{ProptestConfig, any, prop_assert, proptest},
    test_runner::RngSeed,
};

/// A graph with what each of its values is by the references.
#[derive(Debug, Default)]
struct Drawn {
    graph: Graph,
    inputs: BTreeMap<String, HostTensor>,
    values: Vec<(ValueId, HostTensor)>,
}

impl Drawn {
    fn input(&mut self, shape: &[usize]) {
        let seed = self.values.len() as u64;
        let (name, tensor) = (format!("input{seed}"), sample::floats(shape, seed));
        let id = self.graph.add_value(&name, Some(fact_of(&tensor)));
        self.graph.inputs.push(id);
        self.inputs.insert(name, tensor.clone());
        self.values.push((id, tensor));
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
        if engine::infer::infer(&mut graph).is_err() {
            return;
        }
        let given: Vec<_> =
            on.iter().map(|at| Some(&self.values[*at].1)).chain(lists.iter().map(Some)).collect();
        self.graph = graph;
        let results = op.reference(&given).unwrap();
        self.values.extend(outputs.into_iter().zip(results));
    }

    /// A node that five bytes tell: which operator, on which values, and how.
    fn draw(&mut self, [op, a, b, how, more]: [u8; 5]) {
        let last = self.values.len();
        // Values that were made last are taken more often, so that graphs become deep.
        let pick = |byte: u8| last - 1 - usize::from(byte) * usize::from(byte) * last / (256 * 256);
        let (a, b) = (pick(a), pick(b));
        let (how, more) = (usize::from(how), usize::from(more));
        let shape = self.values[a].1.shape().to_vec();
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
    let close = |(a, b): (&f32, &f32)| !most.is_finite() || (a - b).abs() <= 1e-4 * most;
    got.shape() == want.shape() && got_all.iter().zip(&want_all).all(close)
}

/// Runs a graph, with some of its values for outputs.
fn check(drawn: Drawn, outputs: impl Iterator<Item = usize>, fuse: bool) -> Result<(), String> {
    let Drawn { mut graph, inputs, values } = drawn;
    let wanted: BTreeMap<ValueId, &HostTensor> = outputs.map(|at| (values[at].0, &values[at].1)).collect();
    graph.outputs.extend(wanted.keys());
    engine::infer::infer(&mut graph).unwrap();
    let text = format!("{graph}\n{}", tests::plan_of_graph(&tests::gpu(), &graph).unwrap());
    let formats = WeightFormats::uniform(WeightFormat::F32);
    let options = OnceOptions { passes: PassOptions { formats, fuse }, activations: Elem::F32 };
    let got = run_graph(&tests::gpu(), graph, &WeightSource::Model(Fit::Search), &inputs, &options);
    for ((name, got), want) in got.map_err(|e| format!("{e}\n{text}"))?.iter().zip(wanted.values()) {
        if !near(got, want) {
            return Err(format!("{name} is {:?}, not {:?}\n{text}", got.to_f32s(), want.to_f32s()));
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
        let mut drawn = Drawn::default();
        for shape in [&[2, 3, 4][..], &[2, 3, 4], &[2, 1, 4], &[1, 12]] {
            drawn.input(shape);
        }
        for step in steps {
            // Sizes double where values are joined.
            if drawn.values.last().is_some_and(|(_, tensor)| tensor.len() < 4096) {
                drawn.draw(step);
            }
        }
        let count = drawn.values.len();
        // The last one, and any others.
        let outputs = outputs.into_iter().map(|byte| usize::from(byte) * count / 256).chain([count - 1]);
        let checked = check(drawn, outputs, fuse);
        prop_assert!(checked.is_ok(), "{}", checked.unwrap_err());
    }
}

#[test]
fn a_place_with_other_dimensions_is_not_taken_for_the_values_own() {
    let mut drawn = Drawn::default();
    drawn.input(&[1, 12]);
    drawn.node(Expand, 1, &[0], &[&[2, 1, 12]]);
    drawn.node(Reshape { allow_zero: false }, 1, &[1], &[&[2, 6, 2]]);
    // Two of each four elements are the reshaped value's: strides do not say twelve of them in a row.
    drawn.node(Concat { axis: 2 }, 1, &[2, 2], &[]);
    check(drawn, [3].into_iter(), false).unwrap();
}

#[test]
fn an_update_is_not_lost_where_the_cache_is_copied_behind_it() {
    let mut drawn = Drawn::default();
    for shape in [[1, 4, 2], [1, 1, 2]] {
        drawn.input(&shape);
    }
    // The sum could be written where the concatenation has it, but all of the cache is copied there.
    drawn.node(Binary::Add, 1, &[1, 1], &[]);
    drawn.node(TensorScatter { axis: 1, circular: false, start: None }, 1, &[0, 2], &[&[2]]);
    drawn.node(Concat { axis: 1 }, 1, &[3, 1], &[]);
    check(drawn, [4].into_iter(), false).unwrap();
}
