//! The last word: defaults and the best candidates in turns, and what is kept of it.

use std::{collections::BTreeMap, sync::Arc};

use super::{Search, Taken, problems::Open};
use crate::{
    error::EngineError,
    record,
    tune::{
        Report, Row, Tuned,
        clock::{Samples, Timed},
    },
};

/// Turns of defaults and winners in the end, in both orders.
const TURNS: usize = 2;
/// A winner takes at most so much of the default's time.
const BETTER: f64 = 0.98;
/// A candidate that is better than the default.
pub(super) struct Won {
    variant: String,
    gain: f64,
}

impl Search<'_> {
    /// What is known of the time that a candidate takes.
    fn micros(&self, problem: &str, variant: &str) -> Option<f64> {
        let known = || self.record.problems.get(problem)?.micros.get(variant).copied();
        self.samples.micros(problem, variant).or_else(known).filter(|time| *time > 0.0)
    }

    /// Times the best candidates in turns with the defaults; those that stay better, and how many times faster they are.
    pub(super) fn settle(
        &mut self,
        base: &mut Timed,
        logits: &[f32],
    ) -> Result<BTreeMap<String, Won>, EngineError> {
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
    pub(super) fn finish(mut self, rounds: usize, won: &BTreeMap<String, Won>) -> Result<Tuned, EngineError> {
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
