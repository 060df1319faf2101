//! Which variants are right, by the operators' cases that are nearest to a model's problems.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use crate::{
    error::EngineError,
    gpu::Gpu,
    op::{Case, Choices, Elem, Problem, Target},
    ops::OPERATORS,
    qualify::{Trial, in_half},
};

/// What a case says of a variant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It gives the reference, twice.
    Sound,
    /// No case has it.
    Unknown,
    /// It does not, in this case, so.
    Wrong {
        /// The case's operator and name.
        case: String,
        /// What is wrong.
        text: String,
    },
}

/// The cases of a model's operators.
#[derive(Debug)]
pub(super) struct Proofs {
    target: Target,
    activations: Elem,
    offers: Vec<Offer>,
    known: HashMap<(usize, String), Verdict>,
}

/// A case that has a problem, and variants for it.
#[derive(Debug)]
struct Offer {
    case: Arc<Case>,
    problem: Problem,
    words: BTreeSet<String>,
    candidates: Vec<String>,
}

fn words(problem: &Problem) -> BTreeSet<String> {
    problem.kind().split(' ').map(str::to_owned).collect()
}

impl Proofs {
    /// Looks through the cases of the operators of these names.
    pub fn new(gpu: &Gpu, operators: &BTreeSet<&str>, activations: Elem) -> Self {
        let target = Target { choices: Arc::default(), ..gpu.target() };
        let mut offers = Vec::new();
        let cases = OPERATORS.iter().flat_map(|o| (o.cases)()).filter(|c| operators.contains(c.op.name()));
        let cases = cases.filter_map(|c| if activations == Elem::F16 { in_half(c) } else { Some(c) });
        for case in cases.map(Arc::new) {
            // One that cannot be planned here says nothing of variants; the model's plans are made, or not, in their turn.
            let Ok(trial) = Trial::new(target.clone(), &case, activations) else { continue };
            offers.extend(trial.choices().iter().map(|choice| Offer {
                case: case.clone(),
                problem: choice.problem.clone(),
                words: words(&choice.problem),
                candidates: choice.candidates.clone(),
            }));
        }
        Self { target, activations, offers, known: HashMap::new() }
    }

    /// Runs the nearest cases that have a variant of a problem.
    ///
    /// # Errors
    /// When the device is lost.
    pub fn judge(&mut self, gpu: &Gpu, problem: &Problem, variant: &str) -> Result<Verdict, EngineError> {
        let mut verdict = Verdict::Unknown;
        for index in self.nearest(problem, variant) {
            let at = (index, variant.to_owned());
            verdict = match self.known.get(&at) {
                Some(known) => known.clone(),
                None => self.run(gpu, index, variant),
            };
            self.known.insert(at, verdict.clone());
            if verdict != Verdict::Sound {
                // What a lost device gives says nothing of the variant.
                gpu.flush()?;
                break;
            }
        }
        Ok(verdict)
    }

    /// Of the cases that have the variant, those of the most of the problem's words, and of the fewest others.
    fn nearest(&self, problem: &Problem, variant: &str) -> Vec<usize> {
        let wanted = words(problem);
        let distance = |offer: &Offer| {
            let common = wanted.intersection(&offer.words).count();
            (wanted.len() - common, offer.words.len() - common)
        };
        let offers = self.offers.iter().enumerate().filter(|(_, offer)| {
            offer.problem.family == problem.family && offer.candidates.iter().any(|c| c == variant)
        });
        let least = offers.clone().map(|(_, offer)| distance(offer)).min();
        offers.filter(|(_, offer)| Some(distance(offer)) == least).map(|(index, _)| index).collect()
    }

    fn run(&self, gpu: &Gpu, index: usize, variant: &str) -> Verdict {
        let Offer { case, problem, .. } = &self.offers[index];
        let tuned = [(problem.to_string(), variant.to_owned())].into();
        let choices = Arc::new(Choices { tuned, ..Choices::default() });
        let trial = Trial::new(Target { choices, ..self.target.clone() }, case, self.activations);
        let result = trial.map_err(|e| e.to_string()).and_then(|trial| {
            trial.run(gpu, 2).map_err(|wrong| format!("run {}: {}", wrong.run, wrong.text))
        });
        match result {
            Ok(()) => Verdict::Sound,
            Err(text) => Verdict::Wrong { case: format!("{} / {}", case.op.name(), case.name), text },
        }
    }
}
