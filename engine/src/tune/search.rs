//! The search: rounds in which every problem tries one more of its candidates.

mod agree;
mod problems;
mod settle;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use problems::Open;
pub(super) use problems::is_open;

use super::{
    TuneOptions, Tuned,
    clock::{Samples, Timed},
    proof::{Proofs, Verdict},
};
use crate::{
    error::EngineError,
    gpu::Gpu,
    op::Choices,
    record::{Record, Struck},
    session::LoadedModel,
};

/// A GPU at rest is slow at first: what it does so early does not count.
const WARM: Duration = Duration::from_millis(200);
/// No search takes longer, whatever its budget.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Problems, and a candidate for each.
type Taken = BTreeMap<String, String>;

/// See the module.
pub(super) struct Search<'a> {
    model: &'a Arc<LoadedModel>,
    gpu: &'a Gpu,
    options: TuneOptions,
    start: Instant,
    deadline: Instant,
    record: Record,
    problems: BTreeMap<String, Open>,
    /// Candidates that had their turn.
    tried: BTreeSet<(String, String)>,
    samples: Samples,
    proofs: Option<Proofs>,
}

impl<'a> Search<'a> {
    pub fn new(model: &'a Arc<LoadedModel>, options: TuneOptions) -> Result<Self, EngineError> {
        let start = Instant::now();
        let mut search = Self {
            model,
            gpu: model.gpu(),
            options,
            start,
            deadline: start + options.budget.min(LONGEST),
            record: model.gpu().record(),
            problems: problems::problems(model),
            tried: BTreeSet::new(),
            samples: Samples::default(),
            proofs: None,
        };
        if !options.afresh {
            for (problem, tuned) in &search.record.problems {
                search.tried.extend(tuned.micros.keys().map(|v| (problem.clone(), v.clone())));
            }
        }
        search.prove_defaults()?;
        Ok(search)
    }

    /// All rounds that there is time for, and the end.
    pub fn run(mut self, progress: &mut dyn FnMut(usize, usize)) -> Result<Tuned, EngineError> {
        let most = self.problems.values().map(|open| open.candidates.len()).max().unwrap_or(1);
        progress(0, most + 1);
        let mut base = Timed::new(self.model.choosing(self.choices(&Taken::new()))?)?;
        let cold = Instant::now();
        let logits = base.logits()?;
        while cold.elapsed() < WARM {
            base.step(&mut Samples::default())?;
        }
        base.sample(self.deadline, &mut self.samples)?;
        let mut rounds = 1;
        // A first one in any case, so that each search comes nearer to the end.
        while rounds == 1 || Instant::now() < self.deadline {
            progress(rounds.min(most), most + 1);
            let mut taken = self.next_round();
            if taken.is_empty() {
                break;
            }
            if let Some(mut timed) = self.agreeing(&mut taken, &mut base, &logits)? {
                timed.sample(self.deadline, &mut self.samples)?;
            }
            rounds += 1;
        }
        progress(most, most + 1);
        let gains = self.settle(&mut base, &logits)?;
        self.finish(rounds, &gains)
    }

    fn choices(&self, taken: &Taken) -> Choices {
        Choices { tuned: taken.clone(), ..self.record.choices() }
    }

    /// Sees to it that what each problem takes at first is right, as far as cases tell.
    fn prove_defaults(&mut self) -> Result<(), EngineError> {
        for text in self.problems.keys().cloned().collect::<Vec<_>>() {
            while let Some(default) = self.problems[&text].default(&self.record).cloned() {
                if self.prove(&text, &default)? {
                    self.tried.insert((text, default));
                    break;
                }
            }
        }
        Ok(())
    }

    /// Whether a candidate is right, as far as cases tell; one that is not is struck.
    fn prove(&mut self, text: &str, variant: &str) -> Result<bool, EngineError> {
        let problem = &self.problems[text].problem;
        let kind = problem.kind();
        if self.record.is_known(&kind, variant) {
            return Ok(true);
        }
        let proofs = self.proofs.get_or_insert_with(|| {
            let operators = self.problems.values().map(|open| open.operator).collect();
            Proofs::new(self.gpu, &operators, self.model.options().lower.activations)
        });
        let variant = variant.to_owned();
        match proofs.judge(self.gpu, problem, &variant)? {
            Verdict::Sound => self.record.sound.entry(kind).or_default().insert(variant),
            Verdict::Unknown => self.record.unproven.entry(kind).or_default().insert(variant),
            Verdict::Wrong { case, text: difference } => {
                self.strike(text, &variant, case, difference);
                return Ok(false);
            }
        };
        Ok(true)
    }

    fn strike(&mut self, problem: &str, variant: &str, case: String, text: String) {
        let (family, variant) = (self.problems[problem].problem.family.to_owned(), variant.to_owned());
        self.record.struck.push(Struck { family, variant, case, text });
    }

    /// For each problem the next candidate that had no turn; nothing when all had theirs.
    fn next_round(&mut self) -> Taken {
        let mut taken = Taken::new();
        for (text, open) in &self.problems {
            let sound = open.candidates.iter().filter(|c| !self.record.is_struck(open.problem.family, c));
            for variant in sound {
                if self.tried.insert((text.clone(), variant.clone())) {
                    taken.insert(text.clone(), variant.clone());
                    break;
                }
            }
        }
        taken
    }
}
