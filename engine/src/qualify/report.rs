//! Every operator's cases on a device, each variant of each, twice, behind other work of the GPU.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use devices::F16;
use serde::Serialize;
use shaders::Kernel;

use super::{Trial, Wrong, cached, in_half};
use crate::{
    error::EngineError,
    gpu::{Gpu, Run},
    op::{Case, Choices, Elem, Operator, Target, sample},
    ops::binary::Binary,
    processors,
};

/// Elements of a submission of other work.
const OTHER: usize = 1 << 18;
/// Submissions of it before each run.
const SUBMITS: usize = 3;

/// What came of the cases.
#[derive(Clone, Debug, Serialize)]
pub struct Qualification {
    /// The device and its driver.
    pub device: String,
    /// By operator and activations.
    pub rows: Vec<Row>,
}

/// What came of an operator's cases.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Its name.
    pub operator: &'static str,
    /// How floats were held: `f32` or `f16`.
    pub activations: &'static str,
    /// Cases that were run; each variant of the kernels counts.
    pub cases: usize,
    /// Those that gave the reference, both times.
    pub passed: usize,
    /// The others.
    pub failures: Vec<Failure>,
}

/// A case that did not give the reference.
#[derive(Clone, Debug, Serialize)]
pub struct Failure {
    /// Its name.
    pub case: String,
    /// The variants that were chosen, with what for.
    pub variants: Vec<String>,
    /// Which run was wrong, the first or the second; 0 where there was none.
    pub run: usize,
    /// What was wrong.
    pub text: String,
    /// What it ran.
    #[serde(skip)]
    pub kernels: Vec<Kernel>,
}

/// Runs the cases of some operators, and those of a cache of 8 bits, on all processors, since most of it is compiling.
/// `progress` hears how many cases are done, and of how many.
///
/// # Errors
/// When the device cannot do what stands before each run.
pub fn qualify(
    gpu: &Gpu,
    operators: &[&Operator],
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<Qualification, EngineError> {
    let load = Load::new(gpu)?;
    let elems: &[Elem] = if gpu.offers().f16 == F16::None { &[Elem::F32] } else { &[Elem::F32, Elem::F16] };
    let jobs: Vec<Job> = elems.iter().flat_map(|elem| jobs(operators, *elem)).collect();
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(jobs.len())));
    progress(0, jobs.len());
    let work = || {
        loop {
            let index = next.fetch_add(1, Relaxed);
            let Some(job) = jobs.get(index) else { break };
            let results = load.run(job);
            // Drivers hold what they compiled as long as its pipeline is there: gigabytes for all of them.
            gpu.forget_pipelines();
            let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
            done.push((index, results));
            progress(done.len(), jobs.len());
        }
    };
    processors::on_all(jobs.len(), work);
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(index, _)| *index);
    let mut rows = BTreeMap::new();
    for (index, results) in done {
        let Job { operator, activations, .. } = jobs[index];
        let activations = activations.wgsl();
        let fresh = || Row { operator, activations, cases: 0, passed: 0, failures: Vec::new() };
        let row = rows.entry((operator, activations)).or_insert_with(fresh);
        row.cases += results.len();
        row.passed += results.iter().filter(|result| result.is_ok()).count();
        row.failures.extend(results.into_iter().filter_map(Result::err));
    }
    Ok(Qualification { device: gpu.summary().adapter.device(), rows: rows.into_values().collect() })
}

/// A case to run, in all variants.
struct Job {
    operator: &'static str,
    activations: Elem,
    source: Source,
}

enum Source {
    Operator(Case),
    Cached(cached::Step),
}

/// All that is to be run with activations held so.
fn jobs(operators: &[&Operator], activations: Elem) -> Vec<Job> {
    let cases = operators.iter().flat_map(|operator| (operator.cases)());
    let held = cases.filter_map(|case| if activations == Elem::F16 { in_half(case) } else { Some(case) });
    let of_case = |case: Case| Job { operator: case.op.name(), activations, source: Source::Operator(case) };
    let of_step = |step| Job { operator: cached::NAME, activations, source: Source::Cached(step) };
    held.map(of_case).chain(cached::CASES.into_iter().map(of_step)).collect()
}

impl Job {
    fn name(&self) -> String {
        match &self.source {
            Source::Operator(case) => case.name.clone(),
            Source::Cached(step) => step.to_string(),
        }
    }

    fn trial(&self, target: Target) -> Result<Trial, EngineError> {
        match &self.source {
            Source::Operator(case) => Trial::new(target, case, self.activations),
            Source::Cached(step) => step.trial(target, self.activations),
        }
    }
}

/// A GPU with other work to do before each run.
struct Load<'a> {
    gpu: &'a Gpu,
    other: Run,
}

impl<'a> Load<'a> {
    fn new(gpu: &'a Gpu) -> Result<Self, EngineError> {
        let inputs = [1, 2].map(|seed| Some(sample::floats(&[OTHER], seed)));
        let case = Case::new("other work", Binary::Mul, inputs.to_vec());
        Ok(Self { gpu, other: Trial::new(gpu.target(), &case, Elem::F32)?.start(gpu)? })
    }

    /// Runs all variants of a case.
    fn run(&self, job: &Job) -> Vec<Result<(), Failure>> {
        let busy = || (0..SUBMITS).try_for_each(|_| self.other.submit(self.gpu));
        let mut results = Vec::new();
        loop {
            let mut target = self.gpu.target();
            target.choices = Arc::new(Choices { round: Some(results.len()), ..Choices::default() });
            let trial = job.trial(target);
            let choices = trial.as_ref().map_or(&[][..], Trial::choices);
            let result = match &trial {
                Ok(trial) => trial.run_behind(self.gpu, 2, &busy),
                Err(e) => Err(Wrong { run: 0, text: e.to_string() }),
            };
            results.push(result.map_err(|Wrong { run, text }| Failure {
                case: job.name(),
                variants: choices.iter().map(ToString::to_string).collect(),
                run,
                text,
                kernels: trial.iter().flat_map(Trial::kernels).cloned().collect(),
            }));
            let rounds = choices.iter().map(|choice| choice.candidates.len()).max().unwrap_or(1);
            if results.len() >= rounds {
                return results;
            }
        }
    }
}

impl Qualification {
    /// Cases that were run.
    #[must_use]
    pub fn cases(&self) -> usize {
        self.rows.iter().map(|row| row.cases).sum()
    }

    /// Cases that failed, with their operators.
    pub fn failures(&self) -> impl Iterator<Item = (&'static str, &Failure)> {
        self.rows.iter().flat_map(|row| row.failures.iter().map(|failure| (row.operator, failure)))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.case)?;
        if !self.variants.is_empty() {
            write!(f, " ({})", self.variants.join("; "))?;
        }
        match self.run {
            0 => write!(f, ": {}", self.text),
            run => write!(f, ", run {run}: {}", self.text),
        }
    }
}

impl fmt::Display for Qualification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", self.device)?;
        writeln!(f, "| operator | activations | cases | passed | failed | first difference |")?;
        writeln!(f, "|---|---|---:|---:|---:|---|")?;
        for Row { operator, activations, cases, passed, failures } in &self.rows {
            let first = failures.first().map(ToString::to_string).unwrap_or_default().replace('|', "\\|");
            let failed = failures.len();
            writeln!(f, "| {operator} | {activations} | {cases} | {passed} | {failed} | {first} |")?;
        }
        writeln!(f, "\n{} of {} cases failed", self.failures().count(), self.cases())
    }
}
