//! Every operator's cases on a device, each variant of each, twice, behind other work of the GPU.

use std::{collections::BTreeMap, fmt, sync::Arc};

use devices::F16;
use serde::Serialize;
use shaders::Kernel;

use super::{Trial, Wrong, cached, in_half};
use crate::{
    error::EngineError,
    gpu::{Gpu, Run},
    op::{Case, Choices, Elem, Operator, Target, sample},
    ops::binary::Binary,
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

/// Runs the cases of some operators, and those of a cache of 8 bits. `progress` hears how many cases are done, and of how many.
///
/// # Errors
/// When the device cannot do what stands before each run.
pub fn qualify(
    gpu: &Gpu,
    operators: &[&Operator],
    progress: &dyn Fn(usize, usize),
) -> Result<Qualification, EngineError> {
    let load = Load::new(gpu)?;
    let elems: &[Elem] = if gpu.offers().f16 == F16::None { &[Elem::F32] } else { &[Elem::F32, Elem::F16] };
    let cases: Vec<(Elem, Case)> = elems
        .iter()
        .flat_map(|elem| {
            let cases = operators.iter().flat_map(|operator| (operator.cases)());
            let held = cases.filter_map(|case| if *elem == Elem::F16 { in_half(case) } else { Some(case) });
            held.map(|case| (*elem, case))
        })
        .collect();
    let total = cases.len() + cached::CASES.len() * elems.len();
    let mut rows = BTreeMap::new();
    let mut done = 0;
    let mut run = |name: &'static str, elem: Elem, case: &str, planned: &dyn Fn(Target) -> _| {
        progress(done, total);
        load.run(case, planned, row(&mut rows, name, elem));
        // Drivers hold what they compiled as long as its pipeline is there: gigabytes for all of them.
        gpu.forget_pipelines();
        done += 1;
    };
    for (elem, case) in &cases {
        run(case.op.name(), *elem, &case.name, &|target| Trial::new(target, case, *elem));
    }
    for elem in elems {
        for step in cached::CASES {
            run(cached::NAME, *elem, &step.to_string(), &|target| step.trial(target, *elem));
        }
    }
    progress(total, total);
    Ok(Qualification { device: gpu.summary().adapter.device(), rows: rows.into_values().collect() })
}

type Rows = BTreeMap<(&'static str, &'static str), Row>;

fn row<'a>(rows: &'a mut Rows, operator: &'static str, elem: Elem) -> &'a mut Row {
    let activations = elem.wgsl();
    let fresh = || Row { operator, activations, cases: 0, passed: 0, failures: Vec::new() };
    rows.entry((operator, activations)).or_insert_with(fresh)
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
    fn run(&self, case: &str, planned: &dyn Fn(Target) -> Result<Trial, EngineError>, row: &mut Row) {
        let busy = || (0..SUBMITS).try_for_each(|_| self.other.submit(self.gpu));
        let (mut round, mut rounds) = (0, 1);
        while round < rounds {
            let mut target = self.gpu.target();
            target.choices = Arc::new(Choices { round: Some(round), ..Choices::default() });
            let trial = planned(target);
            let choices = trial.as_ref().map_or(&[][..], Trial::choices);
            rounds = choices.iter().map(|choice| choice.candidates.len()).max().unwrap_or(1);
            let result = match &trial {
                Ok(trial) => trial.run_behind(self.gpu, 2, &busy),
                Err(e) => Err(Wrong { run: 0, text: e.to_string() }),
            };
            row.cases += 1;
            match result {
                Ok(()) => row.passed += 1,
                Err(Wrong { run, text }) => row.failures.push(Failure {
                    case: case.to_owned(),
                    variants: choices.iter().map(ToString::to_string).collect(),
                    run,
                    text,
                    kernels: trial.iter().flat_map(Trial::kernels).cloned().collect(),
                }),
            }
            round += 1;
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
