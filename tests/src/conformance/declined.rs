//! What the engine does not do on purpose: the table in `docs/operators-declined.md`.

use std::fs;

use super::Test;

/// One name of the table, with the reason of its row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// An operator, with its domain if that is not ONNX's own, or tests: `test_…`, where `*` stands for anything.
    pub what: String,
    /// Why.
    pub why: String,
}

impl Row {
    /// Whether the row names tests and no operator.
    #[must_use]
    pub fn names_tests(&self) -> bool {
        self.what.starts_with("test_")
    }

    /// Whether the test is one of the row's, or is about its operator, or has it in its model.
    #[must_use]
    pub fn covers(&self, test: &Test) -> bool {
        if self.names_tests() {
            let name = test.name.rsplit('/').next().unwrap_or_default();
            return matches(&self.what, name);
        }
        test.operator == self.what || test.uses.contains(&self.what)
    }
}

/// The table.
#[derive(Clone, Debug)]
pub struct Declined {
    /// In the order of the document.
    pub rows: Vec<Row>,
}

impl Declined {
    /// Reads the document.
    ///
    /// # Panics
    /// When it is not there or has no table: the tests mean nothing without.
    #[must_use]
    pub fn read() -> Self {
        let path = crate::root().join("docs/operators-declined.md");
        let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let table = Self::parse(&text);
        assert!(!table.rows.is_empty(), "{} has no table", path.display());
        table
    }

    /// The rows of all tables in a Markdown text: names in backticks in the first column, the reason in the second.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut rows = Vec::new();
        for line in text.lines() {
            let Some((names, why)) =
                line.strip_prefix('|').and_then(|l| l.trim_end_matches('|').split_once('|'))
            else {
                continue;
            };
            let names = names.split('`').skip(1).step_by(2);
            rows.extend(names.map(|n| Row { what: n.to_owned(), why: why.trim().to_owned() }));
        }
        Self { rows }
    }

    /// The first row that covers the test.
    #[must_use]
    pub fn find(&self, test: &Test) -> Option<&Row> {
        self.rows.iter().find(|row| row.covers(test))
    }
}

/// Whether a text fits a pattern in which `*` stands for anything.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, tail)) => text.strip_prefix(head).is_some_and(|rest| {
            rest.char_indices().any(|(i, _)| matches(tail, &rest[i..])) || matches(tail, "")
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::{Declined, matches};

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, text, want) in [
            ("test_if", "test_if", true),
            ("test_if", "test_if_seq", false),
            ("test_if*", "test_if", true),
            ("test_*_FLOAT4", "test_cast_FLOAT_to_FLOAT4", true),
            ("test_*_FLOAT4", "test_cast_FLOAT4_to_FLOAT", false),
            ("test_*FLOAT4*", "test_cast_FLOAT4_to_FLOAT", true),
            ("*", "", true),
        ] {
            assert_eq!(matches(pattern, text), want, "{pattern} {text}");
        }
    }

    #[test]
    fn a_row_may_have_several_names() {
        let text = "# Title\n\n| what | why |\n|---|---|\n| `A`, `test_b*` | a reason |\n| `C` | another |\n";
        let rows: Vec<_> = Declined::parse(text).rows.into_iter().map(|r| (r.what, r.why)).collect();
        let wanted = [("A", "a reason"), ("test_b*", "a reason"), ("C", "another")];
        assert_eq!(rows, wanted.map(|(a, b)| (a.to_owned(), b.to_owned())));
    }
}
