//! Choosing among kernels that do the same: what a device's profile prefers, unless tuning found another one to be faster, or
//! qualification found it to be wrong.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    ops::Range,
};

/// What a kernel is chosen for: everything that decides which variants there are, and which of them is fast.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Problem {
    /// Which kernels there are to choose from, such as `gemv`; variants of one name in one family are the same.
    pub family: &'static str,
    /// Formats and sizes, in words.
    pub shape: String,
}

impl Problem {
    /// The problem without its numbers: what is right for one of a kind should be for all.
    #[must_use]
    pub fn kind(&self) -> String {
        let number = |word: &&str| word.trim_end_matches(',').parse::<u64>().is_ok();
        let words = self.shape.split(' ').filter(|word| !number(word));
        [self.family].into_iter().chain(words).collect::<Vec<_>>().join(" ")
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.family, self.shape)
    }
}

/// What is known about the variants on a device, by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choices {
    /// The best variant of each problem that was tuned.
    pub tuned: BTreeMap<String, String>,
    /// Variants that gave wrong results: family and name.
    pub struck: BTreeSet<(String, String)>,
    /// Each problem takes the sound candidate of this number, as far as it has that many: a round of tuning.
    pub round: Option<usize>,
}

impl Choices {
    /// Which of the candidates to take; the first is what the profile prefers. One that is struck is taken only where all are.
    #[must_use]
    pub fn pick(&self, problem: &Problem, candidates: &[String]) -> usize {
        let struck = |name: &String| self.struck.contains(&(problem.family.to_owned(), name.clone()));
        let sound: Vec<usize> = (0..candidates.len()).filter(|i| !struck(&candidates[*i])).collect();
        if let Some(at) = self.round.and_then(|round| sound.get(round)) {
            return *at;
        }
        let tuned = self.tuned.get(&problem.to_string());
        let tuned = sound.iter().find(|i| tuned == Some(&candidates[**i]));
        tuned.or(sound.first()).copied().unwrap_or(0)
    }
}

/// A choice that a plan has made for a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// What for.
    pub problem: Problem,
    /// The names of the variants that there are; the first is what the profile prefers.
    pub candidates: Vec<String>,
    /// Which of them was taken.
    pub taken: usize,
    /// The kernel calls of the node, in the plan's numbering.
    pub calls: Range<usize>,
}

impl Choice {
    /// The name of the variant that was taken; nothing where there was none to take.
    #[must_use]
    pub fn variant(&self) -> &str {
        self.candidates.get(self.taken).map_or("", String::as_str)
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.problem, self.variant())
    }
}

#[cfg(test)]
mod tests {
    use super::{Choices, Problem};

    #[test]
    fn the_profile_is_followed_until_something_is_known() {
        let problem = Problem { family: "gemv", shape: "n 4".to_owned() };
        let names = ["a", "b", "c"].map(str::to_owned);
        let mut choices = Choices::default();
        assert_eq!(choices.pick(&problem, &names), 0);
        choices.tuned.insert("gemv n 4".to_owned(), "b".to_owned());
        assert_eq!(choices.pick(&problem, &names), 1);
        choices.struck.insert(("gemv".to_owned(), "b".to_owned()));
        assert_eq!(choices.pick(&problem, &names), 0);
        let rounds = |round| Choices { round: Some(round), ..choices.clone() }.pick(&problem, &names);
        assert_eq!([0, 1, 2].map(rounds), [0, 2, 0]);
        choices.struck.extend(names.iter().map(|n| ("gemv".to_owned(), n.clone())));
        assert_eq!(choices.pick(&problem, &names), 0);
    }
}
