//! What a report says besides its measurements.

use std::{collections::BTreeMap, env::consts, time::Duration};

use bench::{Chosen, Device, MemoryMap, Model, Program, Qualified, Report, SCHEMA, Sensors, Settings};
use engine::{generate::Generator, gpu::Gpu, open::ModelFile, passes::WeightFormats, session::LoadedModel};

use crate::{error::CliError, figures::memory, start::Start};

/// A report of a session, without measurements.
///
/// # Errors
/// When a size of the plan cannot be computed.
pub fn of(
    generator: &Generator,
    file: &ModelFile,
    formats: &WeightFormats,
    start: &Start,
    repetitions: usize,
) -> Result<Report, CliError> {
    let session = generator.session();
    let model = session.model();
    let [activations, kv_cache] = model.elements().map(|elem| elem.wgsl().to_owned());
    let name = file.path.file_stem().unwrap_or(file.path.as_os_str()).to_string_lossy().into_owned();
    Ok(Report {
        schema: SCHEMA,
        program: program(),
        device: Device::of(model.gpu()),
        model: Model { name, parameters: model.parameters(), format: formats.layers.to_string() },
        settings: Settings {
            activations,
            kv_cache,
            chunk: session.chunk(),
            context: session.capacity(),
            max_submit_ms: model.gpu().max_submit().div_duration_f64(Duration::from_millis(1)),
            repetitions,
        },
        start: start.times(),
        memory: memory(session),
        peaks: None,
        choices: choices(model),
        qualified: qualified(model.gpu()),
        sensors: Sensors::default(),
        measurements: Vec::new(),
        sustained: None,
        profile: None,
        maps: MemoryMap::of(session)?,
    })
}

fn program() -> Program {
    Program {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        commit: option_env!("HALFBYTE_COMMIT").map(str::to_owned),
        optimised: !cfg!(debug_assertions),
        system: format!("{} {}", consts::OS, consts::ARCH),
    }
}

/// The kernels of both plans, each problem once.
fn choices(model: &LoadedModel) -> Vec<Chosen> {
    let tuned = model.gpu().target().choices;
    let mut all = BTreeMap::new();
    for choice in [true, false].iter().flat_map(|decode| &model.plan(*decode).choices) {
        all.insert(choice.problem.to_string(), choice.variant().to_owned());
    }
    let chosen = |(problem, variant)| {
        let tuned = tuned.tuned.get(&problem) == Some(&variant);
        Chosen { problem, variant, tuned }
    };
    all.into_iter().map(chosen).collect()
}

fn qualified(gpu: &Gpu) -> Qualified {
    let record = gpu.record();
    let count = |kinds: &BTreeMap<String, _>| kinds.values().map(std::collections::BTreeSet::len).sum();
    let struck = record.struck.iter().map(|s| format!("{} {}: {}: {}", s.family, s.variant, s.case, s.text));
    Qualified { sound: count(&record.sound), unproven: count(&record.unproven), struck: struck.collect() }
}
