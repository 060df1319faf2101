//! Tuning and qualification: what is found out is kept, what is wrong is struck, and plans follow.

use std::{fs, path::Path, sync::Arc, time::Duration};

use engine::{
    error::OpError,
    gpu::{Gpu, OpenOptions},
    graph::Fact,
    host::{HostTensor, WeightFormat},
    op::{Case, Elem, Infer, Lowering, Op, sample},
    open::ModelFile,
    ops::linear::Linear,
    qualify::{Trial, qualify, save},
    record::Struck,
    session::{LoadedModel, Session},
    tune::{TuneOptions, Tuned, is_open, tune},
};
use tests::{Choices, largest_difference, load_on, models};

const M0E4: WeightFormat = WeightFormat::M0e4 { group: engine::host::GroupSize::G32 };
const TOKENS: [u32; 6] = [3, 14, 15, 92, 65, 35];

fn open(folder: &Path) -> Arc<Gpu> {
    let options = OpenOptions { cache_dir: Some(folder.to_owned()), ..OpenOptions::default() };
    Arc::new(Gpu::open(&options).unwrap())
}

fn model(gpu: &Arc<Gpu>) -> Arc<LoadedModel> {
    let file = ModelFile::open(&models("tiny_llama")[0].join("model.onnx")).unwrap();
    let choices = Choices { format: M0E4, all_logits: false, context: 64, chunk: 32, ..Choices::default() };
    load_on(gpu, &file, choices).unwrap()
}

fn logits(model: &Arc<LoadedModel>) -> Vec<f32> {
    let mut session = Session::new(model.clone(), 32).unwrap();
    [session.run(&TOKENS).unwrap(), session.run(&TOKENS[..1]).unwrap()].concat()
}

/// Which variants a model's plans take.
fn taken(model: &LoadedModel) -> Vec<String> {
    [false, true]
        .iter()
        .flat_map(|decode| model.plan(*decode).choices.iter().map(ToString::to_string))
        .collect()
}

const ALL: TuneOptions = TuneOptions { budget: Duration::from_secs(600), afresh: true };

#[test]
fn what_tuning_finds_is_kept_and_followed() {
    let folder = tempfile::tempdir().unwrap();
    let gpu = open(folder.path());
    let loaded = model(&gpu);
    assert!(is_open(&loaded));
    let none = TuneOptions { budget: Duration::ZERO, afresh: false };
    let Tuned { report, .. } = tune(&loaded, none, &mut |_, _| ()).unwrap();
    assert_eq!(report.rounds, 2, "the defaults, and one round that comes nearer to the end");
    let Tuned { model: tuned, report } =
        tune(&loaded, TuneOptions { afresh: false, ..ALL }, &mut |_, _| ()).unwrap();
    assert!(report.complete && report.struck.is_empty(), "{report}");
    assert!(report.problems.iter().all(|row| row.untried.is_empty() && row.micros.contains_key(&row.winner)));
    assert!(report.problems.iter().any(|row| row.micros.len() > 1), "nothing to choose from");
    assert!(!is_open(&tuned));
    assert!(largest_difference(&logits(&tuned), &logits(&loaded)) < 1e-3);
    let again = model(&open(folder.path()));
    assert!(!is_open(&again));
    assert_eq!(taken(&again), taken(&tuned));
}

#[test]
fn a_winner_changes_the_plan_and_not_the_logits() {
    let folder = tempfile::tempdir().unwrap();
    let gpu = open(folder.path());
    let before = model(&gpu);
    let mut record = gpu.record();
    for choice in [false, true].iter().flat_map(|decode| &before.plan(*decode).choices) {
        let winner = choice.candidates.last().unwrap().clone();
        record.problems.entry(choice.problem.to_string()).or_default().winner = winner;
    }
    gpu.learn(record.clone()).unwrap();
    let after = model(&gpu);
    assert_ne!(taken(&after), taken(&before));
    assert!(largest_difference(&logits(&after), &logits(&before)) < 1e-3);
    assert_eq!(taken(&model(&open(folder.path()))), taken(&after), "from the file");

    for choice in [false, true].iter().flat_map(|decode| &before.plan(*decode).choices) {
        let (family, variant) = (choice.problem.family.to_owned(), choice.candidates.last().unwrap().clone());
        let (case, text) = (String::new(), String::new());
        if choice.candidates.len() > 1 {
            record.struck.push(Struck { family, variant, case, text });
        }
    }
    gpu.learn(record).unwrap();
    assert_eq!(taken(&model(&gpu)), taken(&before), "what is struck is not taken");
}

#[test]
fn a_damaged_file_is_left_aside_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let gpu = open(folder.path());
    let mut record = gpu.record();
    record.problems.entry("gemv".to_owned()).or_default().winner = "a".to_owned();
    gpu.learn(record.clone()).unwrap();
    assert_eq!(open(folder.path()).record(), record);
    let mut files = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().path());
    let file = files.find(|p| p.extension().is_some_and(|e| e == "json")).unwrap();
    fs::write(&file, "{").unwrap();
    let gpu = open(folder.path());
    assert!(gpu.record().problems.is_empty());
    let notes = &gpu.summary().notes;
    assert!(notes.iter().any(|note| note.contains(file.to_str().unwrap())), "{notes:?}");
}

/// A device that computes nothing gives wrong results: every variant is struck.
#[test]
fn variants_that_are_wrong_are_struck() {
    let gpu = Arc::new(Gpu::noop(devices::by_name("software").unwrap()).unwrap());
    let Tuned { report, model: tuned } = tune(&model(&gpu), ALL, &mut |_, _| ()).unwrap();
    for row in &report.problems {
        assert!(!row.struck.is_empty() && row.micros.is_empty(), "{report}");
    }
    let struck = &gpu.target().choices.struck;
    for choice in [false, true].iter().flat_map(|decode| &tuned.plan(*decode).choices) {
        assert!(struck.contains(&(choice.problem.family.to_owned(), choice.variant().to_owned())));
    }
}

/// An operator whose reference is off by one in its last element.
#[derive(Debug)]
struct Falsified(Linear);

impl Op for Falsified {
    fn name(&self) -> &'static str {
        "Falsified"
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        self.0.infer(cx)
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        let right = self.0.reference(inputs)?.swap_remove(0);
        let mut values = right.to_f32s();
        *values.last_mut().unwrap() += 1.0;
        Ok(vec![HostTensor::from_f32(right.shape().to_vec(), &values)?])
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        self.0.lower(cx)
    }
}

fn falsified() -> Case {
    let inputs = [sample::floats(&[1, 64], 1), sample::floats(&[12, 64], 2)].map(Some);
    Case::new("the last is off", Falsified(Linear::new(WeightFormat::F32, false)), inputs.to_vec())
        .constants(&[1])
}

#[test]
fn qualification_runs_attention_with_its_cache_in_f8() {
    let found = qualify(&tests::gpu(), &[], &|_, _| ()).unwrap();
    assert!(found.cases() > 20 && found.failures().next().is_none(), "{found}");
}

#[test]
fn a_case_that_is_wrong_is_found_and_saved() {
    let gpu = tests::gpu();
    let wrong = Trial::new(gpu.target(), &falsified(), Elem::F32).unwrap().run(&gpu, 2).unwrap_err();
    assert!(wrong.run == 1 && wrong.text.starts_with("output 0, element 11: "), "{wrong:?}");

    let operator =
        engine::op::Operator { onnx: &[], decode: engine::op::made_by_passes, cases: || vec![falsified()] };
    let found = qualify(&gpu, &[&operator], &|_, _| ()).unwrap();
    let (name, failure) = found.failures().next().unwrap();
    assert_eq!((name, failure.run), ("Falsified", 1));
    assert!(found.to_string().contains("| Falsified | f32 |"), "{found}");
    let folder = tempfile::tempdir().unwrap();
    let saved = save(folder.path(), name, failure).unwrap();
    let mut ends: Vec<String> = fs::read_dir(saved)
        .unwrap()
        .map(|e| e.unwrap().path().extension().unwrap().to_str().unwrap().to_owned())
        .collect();
    ends.sort();
    assert_eq!(ends, ["spv", "txt", "wgsl"]);
}
