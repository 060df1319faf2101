//! Numbers of tokens as llama-bench takes them: lists and ranges.

use std::{fmt, str::FromStr};

/// Most numbers of one range, so that a slip of the hand does not ask for a year of measuring.
const MOST: usize = 1000;

/// One item of a list: a number, or `first-last`, `first-last+step` or `first-last*factor`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lengths(pub Vec<usize>);

/// Why a text is no item of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoLengths(String);

impl fmt::Display for NoLengths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: write a number, or first-last, first-last+step or first-last*factor", self.0)
    }
}

impl std::error::Error for NoLengths {}

impl FromStr for Lengths {
    type Err = NoLengths;

    fn from_str(text: &str) -> Result<Self, NoLengths> {
        let refused = |why: &str| NoLengths(format!("{text:?} {why}"));
        let number = |part: &str| part.trim().parse::<usize>().map_err(|_| refused("is no number of tokens"));
        let Some((first, rest)) = text.split_once('-') else { return Ok(Self(vec![number(text)?])) };
        let first = number(first)?;
        let (last, step, factor) = match (rest.split_once('+'), rest.split_once('*')) {
            (Some((last, step)), None) => (number(last)?, number(step)?, 1),
            (None, Some((last, factor))) => (number(last)?, 0, number(factor)?),
            (None, None) => (number(rest)?, 1, 1),
            (Some(_), Some(_)) => return Err(refused("has both a step and a factor")),
        };
        let next = |n: usize| n.checked_mul(factor)?.checked_add(step);
        if last < first {
            return Err(refused("ends before it begins"));
        }
        if next(first).is_none_or(|second| second <= first) {
            return Err(refused("does not get from its first number to its last"));
        }
        let mut all = vec![first];
        while let Some(n) = all.last().and_then(|n| next(*n)).filter(|n| *n <= last) {
            if all.len() == MOST {
                return Err(refused(&format!("has more than {MOST} numbers")));
            }
            all.push(n);
        }
        Ok(Self(all))
    }
}

/// All numbers of a list, each once, in its order.
#[must_use]
pub fn lengths(list: &[Lengths]) -> Vec<usize> {
    let mut all = Vec::new();
    for n in list.iter().flat_map(|item| &item.0) {
        if !all.contains(n) {
            all.push(*n);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::{Lengths, lengths};

    #[test]
    fn numbers_and_ranges() {
        let read = |text: &str| text.parse::<Lengths>().map(|l| l.0);
        assert_eq!(read("64"), Ok(vec![64]));
        assert_eq!(read("1-4"), Ok(vec![1, 2, 3, 4]));
        assert_eq!(read("64-256+64"), Ok(vec![64, 128, 192, 256]));
        assert_eq!(read("64-600*2"), Ok(vec![64, 128, 256, 512]));
        for wrong in ["", "x", "8-4", "0-8*2", "4-8*1", "4-8+0", "1-9+2*2", "1-100000", "-3"] {
            let text = read(wrong).unwrap_err().to_string();
            assert!(text.contains("first-last*factor"), "{text}");
        }
    }

    #[test]
    fn a_list_has_each_number_once() {
        let list: Vec<Lengths> = ["64", "0-2", "1", "64-128*2"].map(|t| t.parse().unwrap()).into();
        assert_eq!(lengths(&list), [64, 0, 1, 2, 128]);
    }
}
