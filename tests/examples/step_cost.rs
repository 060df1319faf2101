//! What a generated token costs the CPU: `cargo run --release -p tests --example step_cost -- MODEL [PROFILE]`. With a profile
//! the device is one that accepts all and computes nothing, so that only the program's own work is left.

use std::{ops::ControlFlow, path::Path, sync::Arc};

use engine::{
    generate::Generator,
    gpu::{Gpu, OpenOptions},
    language::{LanguageModel, LanguageOptions},
    op::{Elem, LowerOptions},
    open::ModelFile,
    passes::{PassOptions, WeightFormats},
    sampler::Sampling,
    session::{LoadedModel, Session},
};

const WARM: usize = 8;
const TOKENS: usize = 64;

fn main() {
    let mut args = std::env::args().skip(1);
    let path = args.next().expect("a model");
    let gpu = match args.next() {
        Some(name) => Gpu::noop(devices::by_name(&name).expect("a profile")),
        None => Gpu::open(&OpenOptions::default()),
    };
    let gpu = Arc::new(gpu.expect("a device"));
    let file = ModelFile::open(Path::new(&path)).expect("opens");
    let f32s = engine::host::WeightFormat::F32;
    let options = LanguageOptions {
        lower: LowerOptions { target: gpu.target(), activations: Elem::F32 },
        passes: PassOptions { formats: file.formats.unwrap_or(WeightFormats::uniform(f32s)), fuse: true },
        context: 256,
        cache: Elem::F32,
        padding: false,
        all_logits: false,
    };
    let model = LanguageModel::recognise(file.graph.clone()).expect("a language model");
    let model = LoadedModel::load(gpu.clone(), &model, &file.source, options, 32, &|_| {}).expect("loads");
    let session = Session::new(model.clone(), 256).expect("a session");
    let mut generator = Generator::new(session, Sampling::default()).expect("a generator");
    let _ = generator.prompt(&[1, 2, 3], &mut |_, _| ControlFlow::Continue(())).expect("runs");
    let mut next = |count: usize| (0..count).for_each(|_| _ = generator.next_token().expect("a token"));
    next(WARM);
    let before = (gpu.cpu_times(), gpu.counters().counts());
    next(TOKENS);
    let (cpu, did) = (gpu.cpu_times() - before.0, gpu.counters().counts() - before.1);
    let us = |time: std::time::Duration| time.as_secs_f64() * 1e6 / TOKENS as f64;
    println!("{}: {} dispatches a token", gpu.summary().adapter.name, did.dispatches / TOKENS as u64);
    println!(
        "CPU µs a token: {:.0} in all; bind {:.0}, write {:.0}, record {:.0}, submit {:.0}, read {:.0}",
        us(cpu.total()),
        us(cpu.bind),
        us(cpu.write),
        us(cpu.record),
        us(cpu.submit),
        us(cpu.read)
    );
}
