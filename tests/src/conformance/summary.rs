//! What came of all tests, by operator, judged by the table of what is declined.

use std::{collections::BTreeMap, fmt::Write as _};

use super::{Declined, Test, Verdict};

/// A verdict in the light of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As it should be.
    Passed,
    /// Refused, as the table says, for the reason there.
    Declined(String),
    /// Neither right nor declined, or declined and not refused.
    Failed(String),
}

impl Outcome {
    /// A declined test has to be refused: one that passes should leave the table, and a wrong result is never right.
    #[must_use]
    pub fn judge(test: &Test, verdict: Verdict, declined: &Declined) -> Self {
        match (verdict, declined.find(test)) {
            (Verdict::Passed, None) => Self::Passed,
            (Verdict::Passed, Some(row)) => Self::Failed(format!("passes, but {:?} is declined", row.what)),
            (Verdict::Refused(_), Some(row)) => Self::Declined(row.why.clone()),
            (Verdict::Refused(text) | Verdict::Wrong(text), _) => Self::Failed(text),
        }
    }
}

/// Tests with their outcomes.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    done: Vec<(Test, Outcome)>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    passed: usize,
    declined: usize,
    failed: usize,
}

impl Counts {
    fn add(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Passed => self.passed += 1,
            Outcome::Declined(_) => self.declined += 1,
            Outcome::Failed(_) => self.failed += 1,
        }
    }

    fn row(&self, name: &str) -> String {
        let Self { passed, declined, failed } = self;
        format!("| {name} | {} | {passed} | {declined} | {failed} |\n", passed + declined + failed)
    }
}

impl Summary {
    /// Takes the next test's outcome.
    pub fn add(&mut self, test: Test, outcome: Outcome) {
        self.done.push((test, outcome));
    }

    /// How many tests failed.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.done.iter().filter(|(_, o)| matches!(o, Outcome::Failed(_))).count()
    }

    /// The tests that passed.
    pub fn passed(&self) -> impl Iterator<Item = &Test> {
        self.done.iter().filter(|(_, o)| *o == Outcome::Passed).map(|(test, _)| test)
    }

    /// Patterns of the table that fit none of the tests.
    #[must_use]
    pub fn stale(&self, declined: &Declined) -> Vec<String> {
        let rows = declined.rows.iter().filter(|row| row.names_tests());
        rows.filter(|row| !self.done.iter().any(|(t, _)| row.covers(t))).map(|row| row.what.clone()).collect()
    }

    /// Markdown: counts by group and by operator, plain and expanded, and the reasons for what is declined.
    #[must_use]
    pub fn table(&self) -> String {
        let mut out = String::from("| tests | | passed | declined | failed |\n|---|---:|---:|---:|---:|\n");
        let group = |t: &Test| t.name.split('/').next().unwrap_or_default().to_owned();
        out.extend(self.count(group).iter().map(|(name, counts)| counts.row(name)));
        out += "\n| operator | tests | passed | declined | failed |\n|---|---:|---:|---:|---:|\n";
        let form = |t: &Test| format!("{}{}", t.operator, if t.expanded { " (expanded)" } else { "" });
        out.extend(self.count(form).iter().map(|(name, counts)| counts.row(name)));
        let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
        for (_, outcome) in &self.done {
            if let Outcome::Declined(why) = outcome {
                *reasons.entry(why).or_default() += 1;
            }
        }
        out += "\n| declined, because | tests |\n|---|---:|\n";
        for (why, count) in reasons {
            let _ = writeln!(out, "| {why} | {count} |");
        }
        out
    }

    /// Markdown: the failing tests by operator, those with the same words together.
    #[must_use]
    pub fn failures(&self) -> String {
        let mut operators: BTreeMap<&str, BTreeMap<String, Vec<&str>>> = BTreeMap::new();
        for (test, outcome) in &self.done {
            if let Outcome::Failed(text) = outcome {
                let words = operators.entry(&test.operator).or_default();
                words.entry(without_names(text)).or_default().push(&test.name);
            }
        }
        let mut out = String::new();
        for (operator, words) in operators {
            let _ = writeln!(out, "### {operator}: {}\n", words.values().map(Vec::len).sum::<usize>());
            for (text, tests) in words {
                let _ = writeln!(out, "- {text}\n  {}: {}", tests.len(), tests.join(", "));
            }
            out.push('\n');
        }
        out
    }

    fn count(&self, key: impl Fn(&Test) -> String) -> BTreeMap<String, Counts> {
        let mut counts: BTreeMap<String, Counts> = BTreeMap::new();
        for (test, outcome) in &self.done {
            counts.entry(key(test)).or_default().add(outcome);
        }
        counts
    }
}

/// The text with the names of nodes left out, so that the same refusal reads the same in all tests.
fn without_names(text: &str) -> String {
    let pieces = text.split("such as \"").flat_map(|p| p.split("node \""));
    let mut out = String::new();
    for (index, piece) in pieces.enumerate() {
        if index == 0 {
            out += piece;
        } else {
            out += piece.split_once('"').map_or(piece, |(_, rest)| rest);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Declined, Outcome, Summary, Test, Verdict, without_names};

    fn test(name: &str, operator: &str, uses: &[&str]) -> Test {
        let uses = uses.iter().map(|u| (*u).to_owned()).collect();
        Test { name: name.into(), folder: "".into(), operator: operator.into(), expanded: false, uses }
    }

    #[test]
    fn what_is_declined_has_to_be_refused_and_nothing_else() {
        let declined = Declined::parse("| `Unique`, `test_if_seq`, `test_gone*` | why |");
        let (refused, wrong) = (Verdict::Refused("no".into()), Verdict::Wrong("bad".into()));
        let why = Outcome::Declined("why".into());
        let (no, bad) = (Outcome::Failed("no".into()), Outcome::Failed("bad".into()));
        let mut summary = Summary::default();
        for covered in
            [test("node/test_u", "Unique", &["Unique"]), test("node/test_m", "(node)", &["Add", "Unique"])]
        {
            assert_eq!(Outcome::judge(&covered, refused.clone(), &declined), why);
            assert_eq!(Outcome::judge(&covered, wrong.clone(), &declined), bad);
            let passed = Outcome::judge(&covered, Verdict::Passed, &declined);
            assert!(matches!(&passed, Outcome::Failed(text) if text.contains("Unique")));
            summary.add(covered, passed);
        }
        let other = test("node/test_if", "If", &["If", "Add"]);
        assert_eq!(Outcome::judge(&other, refused.clone(), &declined), no);
        assert_eq!(Outcome::judge(&other, Verdict::Passed, &declined), Outcome::Passed);
        summary.add(other, Outcome::Passed);
        let named = test("node/test_if_seq", "If", &["If"]);
        assert_eq!(Outcome::judge(&named, refused, &declined), why);
        summary.add(named, why);
        assert_eq!(summary.failed(), 2);
        assert_eq!(summary.stale(&declined), ["test_gone*"]);
        assert!(summary.table().contains("| If | 2 | 1 | 1 | 0 |"), "{}", summary.table());
    }

    #[test]
    fn refusals_of_nodes_with_other_names_read_alike() {
        assert_eq!(
            without_names("plan > node \"a\" (Add) > no"),
            without_names("plan > node \"b\" (Add) > no")
        );
        assert_ne!(
            without_names("plan > node \"a\" (Add) > no"),
            without_names("plan > node \"a\" (Sub) > no")
        );
    }
}
