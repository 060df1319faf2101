//! The search: problems with their candidates, rounds, and the last word of defaults and winners in turns.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Report, Row, TuneOptions, Tuned,
    clock::{Samples, Timed},
    proof::{Proofs, Verdict},
};
use crate::{
    error::EngineError,
    gpu::Gpu,
    op::{Choices, Problem},
    record::{self, Record, Struck},
    session::LoadedModel,
};

/// A GPU at rest is slow at first: what it does so early does not count.
const WARM: Duration = Duration::from_millis(200);
/// No search takes longer, whatever its budget.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// Turns of defaults and winners in the end, in both orders.
const TURNS: usize = 2;
/// A winner takes at most so much of the default's time.
const BETTER: f64 = 0.98;
/// Logits may differ by so much of their mean square, which even sums of f16 in another order do not come near.
const NOISE: f64 = 1e-2;

/// Problems, and a candidate for each.
type Taken = BTreeMap<String, String>;

/// A problem of the model.
#[derive(Debug)]
struct Open {
    problem: Problem,
    candidates: Vec<String>,
    /// The operator that has it.
    operator: &'static str,
    /// Nodes in prefill and in decode.
    nodes: [usize; 2],
}

/// The problems of a model's plans, by their text.
fn problems(model: &LoadedModel) -> BTreeMap<String, Open> {
    let mut found: BTreeMap<String, Open> = BTreeMap::new();
    for (phase, (graph, plan)) in model.phases().into_iter().enumerate() {
        for choice in &plan.choices {
            let node = plan.calls.get(choice.calls.start).map(|call| call.node.as_str());
            let node = graph.nodes.iter().find(|n| Some(n.name.as_str()) == node);
            let open = found.entry(choice.problem.to_string()).or_insert_with(|| Open {
                problem: choice.problem.clone(),
                candidates: choice.candidates.clone(),
                operator: node.map_or("", |n| n.op.name()),
                nodes: [0, 0],
            });
            open.nodes[phase] += 1;
        }
    }
    found
}

impl Open {
    /// The first candidate that is not struck.
    fn default(&self, record: &Record) -> Option<&String> {
        self.candidates.iter().find(|c| !record.is_struck(self.problem.family, c))
    }
}

/// See [`super::is_open`].
pub(super) fn is_open(model: &LoadedModel) -> bool {
    let record = model.gpu().record();
    problems(model).iter().any(|(text, open)| {
        let tuned = record.problems.get(text);
        let timed = |c: &String| tuned.is_some_and(|t| t.micros.contains_key(c));
        open.candidates.iter().any(|c| !timed(c) && !record.is_struck(open.problem.family, c))
    })
}

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
            problems: problems(model),
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

    /// The model with some candidates, whose logits are those of the defaults. Candidates that change them, or that cannot be
    /// run, are struck and taken out; `None` where none is left.
    fn agreeing(
        &mut self,
        taken: &mut Taken,
        base: &mut Timed,
        logits: &[f32],
    ) -> Result<Option<Timed>, EngineError> {
        while !taken.is_empty() {
            let text = match self.with(taken, logits) {
                Ok(timed) => return Ok(Some(timed)),
                Err(text) => text,
            };
            // If the defaults fail too, it is not the candidates' fault.
            differ(&base.logits()?, logits).map_err(|text| EngineError::model("tune", text))?;
            let mut guilty: Vec<(String, String)> = Vec::new();
            for (problem, variant) in taken.iter().filter(|_| taken.len() > 1) {
                let alone = [(problem.clone(), variant.clone())].into();
                guilty.extend(self.with(&alone, logits).err().map(|text| (problem.clone(), text)));
            }
            if guilty.is_empty() {
                guilty = taken.keys().map(|problem| (problem.clone(), text.clone())).collect();
            }
            for (problem, text) in guilty {
                if let Some(variant) = taken.remove(&problem) {
                    self.strike(&problem, &variant, format!("the model, {problem}"), text);
                }
            }
            taken.retain(|problem, variant| {
                !self.record.is_struck(self.problems[problem].problem.family, variant)
            });
        }
        Ok(None)
    }

    /// The model with some candidates, if its logits are those of the defaults.
    fn with(&self, taken: &Taken, logits: &[f32]) -> Result<Timed, String> {
        let timed = self.model.choosing(self.choices(taken)).and_then(Timed::new);
        let mut timed = timed.map_err(|e| e.to_string())?;
        differ(&timed.logits().map_err(|e| e.to_string())?, logits)?;
        Ok(timed)
    }

    /// What is known of the time that a candidate takes.
    fn micros(&self, problem: &str, variant: &str) -> Option<f64> {
        let known = || self.record.problems.get(problem)?.micros.get(variant).copied();
        self.samples.micros(problem, variant).or_else(known).filter(|time| *time > 0.0)
    }

    /// Times the best candidates in turns with the defaults; those that stay better, and how many times faster they are.
    fn settle(&mut self, base: &mut Timed, logits: &[f32]) -> Result<BTreeMap<String, Won>, EngineError> {
        let mut taken = self.best_right()?;
        let Some(mut best) = self.agreeing(&mut taken, base, logits)? else { return Ok(BTreeMap::new()) };
        let mut last = Samples::default();
        for _ in 0..TURNS {
            base.sample(self.deadline, &mut last)?;
            best.sample(self.deadline, &mut last)?;
            best.sample(self.deadline, &mut last)?;
            base.sample(self.deadline, &mut last)?;
        }
        let mut won = BTreeMap::new();
        for (problem, variant) in taken {
            let default = self.problems[&problem].default(&self.record).cloned().unwrap_or_default();
            let times = last.micros(&problem, &default).zip(last.micros(&problem, &variant));
            if let Some((before, after)) = times.filter(|(before, after)| *after < BETTER * before) {
                won.insert(problem, Won { variant, gain: before / after });
            }
        }
        self.samples.replace(last);
        Ok(won)
    }

    /// For each problem the candidate that took the least time of those that are right, if that is not the default.
    fn best_right(&mut self) -> Result<Taken, EngineError> {
        let mut taken = Taken::new();
        for text in self.problems.keys().cloned().collect::<Vec<_>>() {
            while let Some(best) = self.best(&text, &self.problems[&text]) {
                if self.prove(&text, &best)? {
                    taken.insert(text, best);
                    break;
                }
            }
        }
        Ok(taken)
    }

    /// A problem's candidate that took the least time, if that is not the default.
    fn best(&self, text: &str, open: &Open) -> Option<String> {
        let default = self.micros(text, open.default(&self.record)?)?;
        let sound = open.candidates.iter().filter(|c| !self.record.is_struck(open.problem.family, c));
        let timed = sound.filter_map(|c| Some((c, self.micros(text, c)?)));
        let (best, time) = timed.min_by(|a, b| a.1.total_cmp(&b.1))?;
        (time < BETTER * default).then(|| best.clone())
    }

    /// Keeps what was found out, and makes the tuned model.
    fn finish(mut self, rounds: usize, won: &BTreeMap<String, Won>) -> Result<Tuned, EngineError> {
        let rows: Vec<Row> =
            self.problems.iter().map(|(text, open)| self.row(text, open, won.get(text))).collect();
        for Row { problem, winner, micros, .. } in &rows {
            let tuned = record::Tuned { winner: winner.clone(), micros: micros.clone() };
            self.record.problems.insert(problem.clone(), tuned);
        }
        let model = Arc::new(self.model.choosing(self.record.choices())?);
        self.gpu.learn(self.record.clone())?;
        let complete = rows.iter().all(|row| row.untried.is_empty());
        let device = self.record.device().to_owned();
        let (seconds, struck) = (self.start.elapsed().as_secs_f64(), self.record.struck);
        Ok(Tuned { model, report: Report { device, seconds, rounds, complete, problems: rows, struck } })
    }

    /// What is known of a problem now.
    fn row(&self, text: &str, open: &Open, won: Option<&Won>) -> Row {
        let default = open.default(&self.record).or(open.candidates.first()).cloned().unwrap_or_default();
        let struck = |c: &String| self.record.is_struck(open.problem.family, c);
        let tried = |c: &String| self.tried.contains(&(text.to_owned(), c.clone()));
        let unproven = self.record.unproven.get(&open.problem.kind());
        let of = |keep: &dyn Fn(&String) -> bool| -> Vec<String> {
            open.candidates.iter().filter(|c| keep(c)).cloned().collect()
        };
        let old = self.record.problems.get(text).filter(|_| !self.options.afresh);
        let mut micros = old.map_or_else(BTreeMap::new, |tuned| tuned.micros.clone());
        for variant in of(&|c| tried(c) && !struck(c)) {
            match self.samples.micros(text, &variant) {
                Some(time) => micros.insert(variant, time),
                None => Some(*micros.entry(variant).or_default()),
            };
        }
        let (winner, gain) = won.map_or((default.clone(), 1.0), |won| (won.variant.clone(), won.gain));
        Row {
            problem: text.to_owned(),
            nodes: open.nodes,
            default,
            winner,
            micros,
            gain,
            struck: of(&struck),
            unproven: of(&|c| unproven.is_some_and(|u| u.contains(c))),
            untried: of(&|c| !tried(c) && !struck(c)),
        }
    }
}

/// A candidate that is better than the default.
struct Won {
    variant: String,
    gain: f64,
}

/// Whether logits are those of the defaults but for rounding; in words where they are not.
fn differ(got: &[f32], want: &[f32]) -> Result<(), String> {
    let square = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>();
    let wide = |v: &f32| f64::from(*v);
    let whole = square(&mut want.iter().map(wide));
    if !whole.is_finite() {
        return Ok(()); // A model that overflows tells nothing.
    }
    let error = square(&mut got.iter().zip(want).map(|(a, b)| wide(a) - wide(b)));
    if got.len() == want.len() && error <= NOISE * whole {
        return Ok(());
    }
    Err(format!(
        "logits differ by {:.1} % of their mean square from those of the defaults",
        100.0 * error / whole
    ))
}

#[cfg(test)]
mod tests {
    use super::differ;

    #[test]
    fn rounding_is_no_difference() {
        assert_eq!(differ(&[1.0, -2.0, 3.001], &[1.0, -2.0, 3.0]), Ok(()));
        assert!(differ(&[1.0, -2.0, 0.0], &[1.0, -2.0, 3.0]).is_err());
        assert!(differ(&[1.0, f32::NAN, 3.0], &[1.0, -2.0, 3.0]).is_err());
        assert!(differ(&[1.0, -2.0], &[1.0, -2.0, 3.0]).is_err());
        assert_eq!(differ(&[f32::NAN], &[f32::NAN]), Ok(()));
    }
}
