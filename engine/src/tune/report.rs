//! What tuning found out, to be read and to be computed with.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;

use crate::record::Struck;

/// See the module. `Display` makes a Markdown table.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The device and its driver.
    pub device: String,
    /// Seconds that it took.
    pub seconds: f64,
    /// Rounds that were run, the one of the defaults included.
    pub rounds: usize,
    /// Whether all candidates had their turn.
    pub complete: bool,
    /// By problem.
    pub problems: Vec<Row>,
    /// All variants that are struck on this device.
    pub struck: Vec<Struck>,
}

/// A problem, and what is known of its variants.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What it is.
    pub problem: String,
    /// Nodes that have it in a chunk of prefill and in a step of decode.
    pub nodes: [usize; 2],
    /// The variant that the profile prefers.
    pub default: String,
    /// The one that is taken from now on.
    pub winner: String,
    /// Microseconds of a node, by variant.
    pub micros: BTreeMap<String, f64>,
    /// How many times faster the winner is than the default, timed in turns.
    pub gain: f64,
    /// Variants of it that are struck.
    pub struck: Vec<String>,
    /// Variants that no operator's case has, so that the model's logits alone speak for them.
    pub unproven: Vec<String>,
    /// Variants that had no turn.
    pub untried: Vec<String>,
}

impl Row {
    fn time(&self, variant: &str) -> f64 {
        self.micros.get(variant).copied().unwrap_or(0.0)
    }
}

impl Report {
    /// Milliseconds that the nodes of a phase take, 0 prefill and 1 decode: with the defaults, and with the winners.
    #[must_use]
    pub fn phase(&self, phase: usize) -> [f64; 2] {
        let sum = |of: &dyn Fn(&Row) -> f64| {
            self.problems.iter().map(|row| row.nodes[phase] as f64 * of(row)).sum::<f64>() / 1e3
        };
        [sum(&|row| row.time(&row.default)), sum(&|row| row.time(&row.winner))]
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { device, seconds, rounds, complete, problems, struck } = self;
        let end = if *complete { "all candidates" } else { "more candidates are left" };
        writeln!(f, "{device}: {rounds} rounds in {seconds:.1} s, {end}\n")?;
        writeln!(f, "| problem | nodes | default | µs | winner | µs | gain | others, µs | struck |")?;
        writeln!(f, "|---|---:|---|---:|---|---:|---:|---|---|")?;
        for row in problems {
            let Row { problem, nodes, default, winner, gain, .. } = row;
            let (before, after) = (row.time(default), row.time(winner));
            let mut others: Vec<(&String, &f64)> =
                row.micros.iter().filter(|(v, _)| *v != default && *v != winner).collect();
            others.sort_by(|a, b| a.1.total_cmp(b.1));
            let others: Vec<String> = others.iter().map(|(v, time)| format!("{v} {time:.1}")).collect();
            writeln!(
                f,
                "| {problem} | {} | {default} | {before:.1} | {winner} | {after:.1} | {gain:.2} | {} | {} |",
                nodes[0] + nodes[1],
                others.join(", "),
                row.struck.join(", ")
            )?;
        }
        for (phase, name) in ["prefill", "decode"].into_iter().enumerate() {
            let [before, after] = self.phase(phase);
            writeln!(
                f,
                "\n{name}: {before:.3} ms of these kernels with the defaults, {after:.3} ms with the winners"
            )?;
        }
        for Struck { family, variant, case, text } in struck {
            writeln!(f, "\nstruck: {family} {variant}: {case}: {text}")?;
        }
        let unproven = problems.iter().flat_map(|row| row.unproven.iter().map(move |v| (&row.problem, v)));
        unproven.clone().try_for_each(|(problem, variant)| {
            writeln!(f, "\nno case has {variant} ({problem}): the logits alone speak for it")
        })
    }
}
