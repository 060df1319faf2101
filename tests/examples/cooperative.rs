//! Products by cooperative matrices on a GPU that has them: `cooperative [ROWS [REPEATS [SHAPES [WORD]]]]`. First every
//! operator's cases by SHAPES of the shapes of workgroups each, against the reference; then what each way to multiply takes, by the GPU's clock, for
//! the products of Llama 2 7B with ROWS rows of x, in TFLOP/s and as a share of what the matrix units do at most. WORD is what
//! the names of the shapes begin with.

use std::{sync::Arc, time::Instant};

use engine::{
    gpu::{Arena, Gpu, OpenOptions, Run, Weights},
    graph::{Fact, Graph},
    host::{Fit, GroupSize, HostTensor, WeightFormat},
    op::{Case, Choices, Elem, sample},
    ops::linear::Linear,
    weights::WeightSource,
};
use symbolic::{Bindings, Expr};
use tests::{check_variants, plan_of_graph};

/// Rows and columns of the matrices.
const PRODUCTS: [[usize; 2]; 4] = [[12288, 4096], [4096, 4096], [22016, 4096], [4096, 11008]];

fn main() {
    let began = Instant::now();
    let mut arguments = std::env::args().skip(1);
    let mut number = |or: usize| arguments.next().map_or(or, |text| text.parse().expect("a number"));
    let (rows, repeats, shapes) = (number(512), number(20), number(3));
    let word = arguments.next().unwrap_or_else(|| "coop".to_owned());
    let gpu = Gpu::open(&OpenOptions::default()).expect("a GPU");
    println!("{}; cooperative matrices: {:?}", gpu.summary().adapter, gpu.offers().coop);
    println!("workgroup memory: {} B", gpu.offers().limits.max_compute_workgroup_storage_size);
    let (run, wrong) = check_variants(&gpu, Elem::F32, &word, large(), shapes);
    println!("{run} runs, {} wrong ({:.1} s)", wrong.len(), began.elapsed().as_secs_f64());
    wrong.iter().take(40).for_each(|text| println!("    {text}"));
    if rows == 0 {
        return;
    }
    let peaks = gpu.peaks().expect("peaks");
    println!("{peaks:?} ({:.1} s)", began.elapsed().as_secs_f64());
    let most = peaks.coop.unwrap_or(peaks.f32);
    for [n, k] in PRODUCTS {
        for format in [WeightFormat::M0e4 { group: GroupSize::G32 }, WeightFormat::F16] {
            println!("\n{rows} rows, {n} x {k}, {format} ({:.1} s)", began.elapsed().as_secs_f64());
            times(&gpu, [rows, n, k], format, repeats, most);
        }
    }
}

/// More than one workgroup in each direction, with a rest.
fn large() -> Vec<Case> {
    let case = |format, [m, n, k]: [usize; 3]| {
        let inputs = vec![Some(sample::floats(&[m, k], 1)), Some(sample::floats_in(&[n, k], 2, -0.5, 0.5))];
        Case::new(format!("{format} {m} rows, {n} x {k}"), Linear::new(format, false), inputs).constants(&[1])
    };
    let formats = [WeightFormat::M0e4 { group: GroupSize::G32 }, WeightFormat::F16];
    let affine = WeightFormat::Affine8 { group: GroupSize::G64 };
    formats
        .into_iter()
        .chain([affine])
        .flat_map(|f| [case(f, [300, 522, 256]), case(f, [140, 268, 512])])
        .collect()
}

/// Prints a line for each way to multiply.
fn times(gpu: &Gpu, [m, n, k]: [usize; 3], format: WeightFormat, repeats: usize, most: f64) {
    let mut graph = Graph::default();
    let x = graph.add_value("x", Some(Fact::new(engine::dtype::DType::F32, [m, k].map(Expr::from).to_vec())));
    graph.inputs.push(x);
    let pattern: Vec<f32> = (0..4099u32).map(|i| (i * 2731 % 4099) as f32 / 4099.0 - 0.5).collect();
    let values: Vec<f32> = pattern.iter().copied().cycle().take(n * k).collect();
    let w = graph.add_constant("w", HostTensor::from_f32(vec![n, k], &values).expect("a matrix"));
    let y = graph.add_node("y", Arc::new(Linear::new(format, false)), vec![Some(x), Some(w)], None);
    graph.outputs.push(y);
    engine::infer::infer(&mut graph).expect("types");
    gpu.choose_by(Choices::default());
    let plan = plan_of_graph(gpu, &graph).expect("a plan");
    let candidates = plan.choices[0].candidates.clone();
    let source = WeightSource::Model(Fit::MinMax);
    let weights = Weights::upload(gpu, &[(&graph, &plan)], &source, &|_| {}).expect("weights");
    let input: Vec<u8> = pattern.iter().cycle().take(m * k).flat_map(|v| (4.0 * v).to_le_bytes()).collect();
    let bindings = Bindings::new();
    for (round, name) in candidates.iter().enumerate() {
        gpu.choose_by(Choices { round: Some(round), ..Choices::default() });
        let plan = Arc::new(plan_of_graph(gpu, &graph).expect("a plan"));
        let arena = Arena::new(gpu, plan.arena_bytes(&bindings).expect("a size"), &plan, &bindings)
            .expect("an arena");
        let run = Run::new(gpu, &plan, &weights, &graph, &arena, &bindings, &bindings).expect("a run");
        run.write(gpu, "x", &input).expect("written");
        let step =
            || run.profile(gpu).expect("runs").iter().map(std::time::Duration::as_secs_f64).sum::<f64>();
        let mut all: Vec<f64> = (0..repeats + 2).map(|_| step()).skip(2).collect();
        all.sort_by(f64::total_cmp);
        let flops = 2.0 * (m * n * k) as f64;
        let [median, least] = [all[all.len() / 2], all[0]];
        let rate = flops / median;
        println!(
            "    {name:<32} median {:8.1} us, least {:8.1} us: {:6.1} TFLOP/s, {:4.1} % of the peak",
            median * 1e6,
            least * 1e6,
            rate / 1e12,
            100.0 * rate / most
        );
    }
}
