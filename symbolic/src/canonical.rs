//! The canonical form: a sum of coefficient x product of atoms, sorted, merged, without zeros, and bounded in size.
//!
//! Terms are in graded lexicographic order, greatest first. It is a monomial order, so polynomial division can use it.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::Expr;
use crate::expr::{Atom, Form};

/// Most nodes in one expression, counted as a tree. Shared parts count each time: they are walked each time.
const MAX_SIZE: usize = 4096;
/// Deepest nesting of divisions, remainders, minima and maxima, so that walks fit any stack.
const MAX_DEPTH: u32 = 64;

/// A sum with at least one term that is not constant.
#[derive(PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Sum {
    pub terms: Box<[Term]>,
    pub constant: i64,
    size: usize,
    depth: u32,
}

/// `coefficient * product(atoms)`; the coefficient is not 0, the atoms are sorted and not empty; powers repeat the atom.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Term {
    pub coefficient: i64,
    pub atoms: Box<[Atom]>,
}

/// Collects terms in any order; [`Terms::finish`] makes the canonical expression.
#[derive(Default)]
pub(crate) struct Terms {
    collected: Vec<(i128, Vec<Atom>)>,
    constant: i128,
    overflow: bool,
}

impl Terms {
    pub fn push(&mut self, coefficient: i128, atoms: Vec<Atom>) {
        if atoms.is_empty() {
            match self.constant.checked_add(coefficient) {
                Some(sum) => self.constant = sum,
                None => self.overflow = true,
            }
        } else {
            self.collected.push((coefficient, atoms));
        }
    }

    /// Adds `factor * expr`.
    pub fn push_expr(&mut self, factor: i128, expr: &Expr) {
        self.overflow |= expr.is_overflow();
        for (coefficient, atoms) in expr.all_terms() {
            match factor.checked_mul(i128::from(coefficient)) {
                Some(product) => self.push(product, atoms.to_vec()),
                None => self.overflow = true,
            }
        }
    }

    pub fn finish(mut self) -> Expr {
        self.collected.iter_mut().for_each(|(_, atoms)| atoms.sort_unstable());
        self.collected.sort_unstable_by(|a, b| compare_monomials(&a.1, &b.1));
        let mut terms: Vec<(i128, Vec<Atom>)> = Vec::with_capacity(self.collected.len());
        for (coefficient, atoms) in self.collected {
            match terms.last_mut() {
                Some(last) if last.1 == atoms => match last.0.checked_add(coefficient) {
                    Some(sum) => last.0 = sum,
                    None => return Expr::OVERFLOW,
                },
                _ => terms.push((coefficient, atoms)),
            }
        }
        let narrow = |(coefficient, atoms): (i128, Vec<Atom>)| {
            i64::try_from(coefficient).map(|coefficient| Term { coefficient, atoms: atoms.into() })
        };
        let terms: Result<Box<[Term]>, _> =
            terms.into_iter().filter(|term| term.0 != 0).map(narrow).collect();
        match (terms, i64::try_from(self.constant)) {
            (Ok(terms), Ok(constant)) if !self.overflow => bounded(terms, constant),
            _ => Expr::OVERFLOW,
        }
    }
}

fn bounded(terms: Box<[Term]>, constant: i64) -> Expr {
    if terms.is_empty() {
        return Expr::from(constant);
    }
    let atoms = || terms.iter().flat_map(|term| &*term.atoms);
    let size = atoms().map(Atom::size).fold(1 + terms.len(), usize::saturating_add);
    let depth = atoms().map(Atom::depth).max().unwrap_or(0);
    if size > MAX_SIZE || depth > MAX_DEPTH {
        return Expr::OVERFLOW;
    }
    Expr(Form::Sum(Arc::new(Sum { terms, constant, size, depth })))
}

/// Higher degree first; within a degree, the more of the least atom first.
pub(crate) fn compare_monomials(a: &[Atom], b: &[Atom]) -> Ordering {
    b.len().cmp(&a.len()).then_with(|| a.cmp(b))
}

impl Ord for Atom {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Symbol { symbol: a, divisor: j }, Self::Symbol { symbol: b, divisor: k }) => {
                a.cmp(b).then(j.cmp(k))
            }
            (Self::FloorDiv(a, j), Self::FloorDiv(b, k)) | (Self::Mod(a, j), Self::Mod(b, k)) => {
                a.compare_forms(b).then(j.cmp(k))
            }
            (Self::Min(a), Self::Min(b)) | (Self::Max(a), Self::Max(b)) => {
                a.iter().map(|one| &one.0).cmp(b.iter().map(|one| &one.0))
            }
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Atom {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Atom {
    /// Symbols come first in a product: `Display` relies on it.
    fn rank(&self) -> u8 {
        match self {
            Self::Symbol { .. } => 0,
            Self::FloorDiv(..) => 1,
            Self::Mod(..) => 2,
            Self::Min(_) => 3,
            Self::Max(_) => 4,
        }
    }

    fn size(&self) -> usize {
        match self {
            Self::Symbol { .. } => 1,
            Self::FloorDiv(of, _) | Self::Mod(of, _) => 1 + of.size(),
            Self::Min(of) | Self::Max(of) => of.iter().map(Expr::size).fold(1, usize::saturating_add),
        }
    }

    fn depth(&self) -> u32 {
        match self {
            Self::Symbol { .. } => 0,
            Self::FloorDiv(of, _) | Self::Mod(of, _) => 1 + of.depth(),
            Self::Min(of) | Self::Max(of) => 1 + of.iter().map(Expr::depth).max().unwrap_or(0),
        }
    }
}

impl Expr {
    fn size(&self) -> usize {
        match &self.0 {
            Form::Sum(sum) => sum.size,
            _ => 1,
        }
    }

    fn depth(&self) -> u32 {
        match &self.0 {
            Form::Sum(sum) => sum.depth,
            _ => 0,
        }
    }

    /// Every term that is not zero, the constant last with no atoms.
    pub(crate) fn all_terms(&self) -> impl Iterator<Item = (i64, &[Atom])> {
        let constant = self.constant_term();
        let last = (constant != 0).then_some((constant, &[][..]));
        self.terms().iter().map(|term| (term.coefficient, &*term.atoms)).chain(last)
    }

    pub(crate) fn plus(&self, factor: i128, other: &Expr) -> Expr {
        if let (Some(a), Some(b)) = (self.constant(), other.constant()) {
            let sum =
                factor.checked_mul(i128::from(b)).and_then(|product| product.checked_add(i128::from(a)));
            return sum.and_then(|sum| i64::try_from(sum).ok()).map_or(Self::OVERFLOW, Self::from);
        }
        let mut terms = Terms::default();
        terms.push_expr(1, self);
        terms.push_expr(factor, other);
        terms.finish()
    }

    pub(crate) fn times(&self, other: &Expr) -> Expr {
        if self.is_overflow() || other.is_overflow() || self.terms().len() * other.terms().len() > MAX_SIZE {
            return Self::OVERFLOW;
        }
        let mut terms = Terms::default();
        for (a, left) in self.all_terms() {
            for (b, right) in other.all_terms() {
                terms.push(i128::from(a) * i128::from(b), [left, right].concat());
            }
        }
        terms.finish()
    }

    /// `self / divisor` for a divisor of every coefficient, the constant rounded down.
    pub(crate) fn shrink(&self, divisor: i64) -> Expr {
        let mut terms = Terms { overflow: self.is_overflow(), ..Terms::default() };
        for term in self.terms() {
            terms.push(i128::from(term.coefficient / divisor), term.atoms.to_vec());
        }
        terms.push(i128::from(self.constant_term().div_euclid(divisor)), Vec::new());
        terms.finish()
    }
}
