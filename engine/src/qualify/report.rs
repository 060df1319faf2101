//! Every operator's cases on a device, each variant of each, twice, while the GPU has other work to do.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
};

use devices::F16;
use serde::Serialize;
use shaders::Kernel;

use super::{Trial, Wrong, in_half};
use crate::{
    gpu::Gpu,
    op::{Case, Choices, Elem, Operator, sample},
    ops::binary::Binary,
};

/// Elements of the other work.
const FILLER: usize = 1 << 20;

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

/// Runs the cases of some operators. `progress` hears how many operators are done, and of how many.
#[must_use]
pub fn qualify(gpu: &Gpu, operators: &[&Operator], progress: &dyn Fn(usize, usize)) -> Qualification {
    let device = gpu.summary().adapter.device();
    let elems: &[Elem] = if gpu.offers().f16 == F16::None { &[Elem::F32] } else { &[Elem::F32, Elem::F16] };
    let total = operators.len() * elems.len();
    let rows = under_load(gpu, || {
        let mut rows = BTreeMap::new();
        for (at, elem) in elems.iter().enumerate() {
            for (done, operator) in operators.iter().enumerate() {
                progress(at * operators.len() + done, total);
                for case in (operator.cases)() {
                    let case = if *elem == Elem::F16 { in_half(case) } else { Some(case) };
                    case.iter().for_each(|case| run(gpu, case, *elem, &mut rows));
                }
            }
        }
        progress(total, total);
        rows.into_values().collect()
    });
    Qualification { device, rows }
}

/// Runs all variants of a case.
fn run(gpu: &Gpu, case: &Case, elem: Elem, rows: &mut BTreeMap<(&'static str, &'static str), Row>) {
    let (operator, activations) = (case.op.name(), elem.wgsl());
    let fresh = || Row { operator, activations, cases: 0, passed: 0, failures: Vec::new() };
    let row = rows.entry((operator, activations)).or_insert_with(fresh);
    let (mut round, mut rounds) = (0, 1);
    while round < rounds {
        let mut target = gpu.target();
        target.choices = Arc::new(Choices { round: Some(round), ..Choices::default() });
        let trial = Trial::new(target, case, elem);
        let choices = trial.as_ref().map_or(&[][..], Trial::choices);
        rounds = choices.iter().map(|choice| choice.candidates.len()).max().unwrap_or(1);
        let result = match &trial {
            Ok(trial) => trial.run(gpu, 2),
            Err(e) => Err(Wrong { run: 0, text: e.to_string() }),
        };
        row.cases += 1;
        match result {
            Ok(()) => row.passed += 1,
            Err(Wrong { run, text }) => row.failures.push(Failure {
                case: case.name.clone(),
                variants: choices.iter().map(ToString::to_string).collect(),
                run,
                text,
                kernels: trial.iter().flat_map(Trial::kernels).cloned().collect(),
            }),
        }
        round += 1;
    }
}

/// Does something while another thread keeps the GPU at work.
fn under_load<T>(gpu: &Gpu, work: impl FnOnce() -> T) -> T {
    let inputs = [1, 2].map(|seed| Some(sample::floats(&[FILLER], seed)));
    let filler = Trial::new(gpu.target(), &Case::new("filler", Binary::Mul, inputs.to_vec()), Elem::F32);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        if let Ok(filler) = &filler {
            scope.spawn(|| {
                let mut started = None;
                // What goes wrong here goes wrong in the cases too, which tell.
                while !done.load(Relaxed) && filler.keep_busy(gpu, &mut started).is_ok() {
                    std::hint::spin_loop();
                }
            });
        }
        let result = work();
        done.store(true, Relaxed);
        result
    })
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
