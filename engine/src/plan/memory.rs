//! The arena: roots that are never alive together share bytes. Offsets are expressions, proven disjoint for every
//! binding that the symbols' ranges allow; what cannot be proven is placed behind everything it might meet.

use serde::{Deserialize, Serialize};
use symbolic::{Bindings, Expr};

use super::{Port, touched};
use crate::{
    error::EngineError,
    op::{Root, RootKind, Step},
};

/// Bytes that a vec4 load must start on.
const VECTOR: i64 = 16;

/// Where one root lies and when it is alive.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// Index of the root.
    pub root: usize,
    /// First byte.
    pub offset: Expr,
    /// Bytes.
    pub size: Expr,
    /// First step that touches it.
    pub first: usize,
    /// Last step that touches it.
    pub last: usize,
}

/// The memory plan.
#[derive(Clone, Debug, Default)]
pub struct Arena {
    /// Places of the arena's roots, in the order of roots.
    pub places: Vec<Place>,
    /// Bytes in all.
    pub size: Expr,
}

/// [`Place`] in numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// The value's name.
    pub name: String,
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub bytes: u64,
    /// First step that touches it.
    pub first: usize,
    /// Last step that touches it.
    pub last: usize,
}

impl Arena {
    pub(super) fn new(roots: &[Root], steps: &[Step], inputs: &[Port], outputs: &[Port]) -> Self {
        let mut lives: Vec<Option<(usize, usize)>> = vec![None; roots.len()];
        let mut touch = |root: usize, at: usize| {
            let (first, last) = lives[root].unwrap_or((at, at));
            lives[root] = Some((first.min(at), last.max(at)));
        };
        for port in inputs {
            touch(port.view.root.0 as usize, 0);
        }
        for (at, step) in steps.iter().enumerate() {
            for root in touched(step) {
                touch(root.0 as usize, at);
                if matches!(step, Step::Fill { .. }) {
                    touch(root.0 as usize, 0);
                }
            }
        }
        for port in outputs {
            touch(port.view.root.0 as usize, steps.len());
        }
        let places: Vec<Place> = (0..roots.len())
            .filter(|i| roots[*i].kind == RootKind::Arena)
            .filter_map(|root| {
                let (first, last) = lives[root]?;
                Some(Place { root, offset: Expr::from(0), size: bytes(&roots[root]), first, last })
            })
            .collect();
        best(places)
    }

    /// The place of a root, if the arena holds it.
    #[must_use]
    pub fn place(&self, root: usize) -> Option<&Place> {
        self.places.binary_search_by_key(&root, |p| p.root).ok().map(|i| &self.places[i])
    }

    pub(super) fn lower_bound(&self, roots: &[Root], bindings: &Bindings) -> Result<u64, EngineError> {
        let last = self.places.iter().map(|p| p.last).max().unwrap_or(0);
        let mut change = vec![0i64; last + 2];
        for place in &self.places {
            let root = &roots[place.root];
            let size = root.len.eval(bindings)?.saturating_mul(root.elem.size() as i64);
            change[place.first] = change[place.first].saturating_add(size);
            change[place.last + 1] = change[place.last + 1].saturating_sub(size);
        }
        let alive = change.iter().scan(0i64, |sum, c| {
            *sum = sum.saturating_add(*c);
            Some(*sum)
        });
        Ok(alive.max().and_then(|n| u64::try_from(n).ok()).unwrap_or(0))
    }
}

fn bytes(root: &Root) -> Expr {
    let exact = &root.len * &Expr::from(root.elem.size() as i64);
    if exact.multiple_of() % 4 == 0 { exact } else { exact.align_up(4) }
}

/// Tries several orders of placement and keeps the smallest arena at a representative binding.
fn best(places: Vec<Place>) -> Arena {
    let sample = representative(&places);
    let sizes: Vec<i64> = places.iter().map(|p| p.size.eval(&sample).unwrap_or(i64::MAX)).collect();
    let mut order: Vec<usize> = (0..places.len()).collect();
    let mut found: Option<(i64, Arena)> = None;
    for rule in 0..3 {
        order.sort_by_key(|i| {
            let (size, life) = (sizes[*i], (places[*i].last - places[*i].first) as i64);
            match rule {
                0 => (-size, -life, *i),
                1 => (-size.saturating_mul(life + 1), -size, *i),
                _ => (-life, -size, *i),
            }
        });
        let arena = place_in(&order, places.clone(), &sample);
        let size = arena.size.eval(&sample).unwrap_or(i64::MAX);
        if found.as_ref().is_none_or(|(least, _)| size < *least) {
            found = Some((size, arena));
        }
    }
    found.map(|(_, arena)| arena).unwrap_or_default()
}

/// Each symbol at the top of its range, or at 1024 where the range is wide.
fn representative(places: &[Place]) -> Bindings {
    let mut sample = Bindings::new();
    for symbol in places.iter().flat_map(|p| p.size.symbols()) {
        let value = symbol.max().clamp(symbol.min(), symbol.min().max(1024));
        sample.set(symbol, value);
    }
    sample
}

fn place_in(order: &[usize], mut places: Vec<Place>, sample: &Bindings) -> Arena {
    let mut done: Vec<usize> = Vec::with_capacity(order.len());
    for &index in order {
        let met: Vec<usize> = done
            .iter()
            .copied()
            .filter(|d| places[*d].first <= places[index].last && places[index].first <= places[*d].last)
            .collect();
        places[index].offset = lowest_offset(&places, index, &met, sample);
        done.push(index);
    }
    let mut size = Expr::from(0);
    for place in &places {
        size = size.max(&end(place));
    }
    Arena { places, size: size.align_up(VECTOR) }
}

fn end(place: &Place) -> Expr {
    &place.offset + &place.size
}

/// The lowest start among 0 and the ends of what is alive at the same time that provably meets nothing.
fn lowest_offset(places: &[Place], index: usize, met: &[usize], sample: &Bindings) -> Expr {
    let align = vector_align(&places[index].size);
    let mut candidates: Vec<(i64, Expr)> = std::iter::once(Expr::from(0))
        .chain(met.iter().map(|m| aligned(&end(&places[*m]), align)))
        .map(|e| (e.eval(sample).unwrap_or(i64::MAX), e))
        .collect();
    candidates.sort_by_key(|c| c.0);
    candidates.dedup_by(|a, b| a.1 == b.1);
    let fits = |start: &Expr| {
        let stop = start + &places[index].size;
        met.iter().all(|m| {
            let other = &places[*m];
            stop.provably_le(&other.offset) || end(other).provably_le(start)
        })
    };
    if let Some((_, start)) = candidates.into_iter().find(|(_, start)| fits(start)) {
        return start;
    }
    let behind = met.iter().fold(Expr::from(0), |most, m| most.max(&end(&places[*m])));
    aligned(&behind, align)
}

/// Roots read in vectors have a size that is a multiple of the vector; they start on one.
fn vector_align(size: &Expr) -> i64 {
    let known = size.multiple_of();
    [VECTOR, 8].into_iter().find(|a| known % a == 0).unwrap_or(4)
}

fn aligned(offset: &Expr, align: i64) -> Expr {
    if offset.multiple_of() % align == 0 { offset.clone() } else { offset.align_up(align) }
}
