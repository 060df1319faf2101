//! Random syntax trees with a direct evaluation in `i128`, to hold `Expr` against.

use proptest::prelude::{BoxedStrategy, Just, Strategy, prop_oneof};
use symbolic::{Bindings, Expr, Symbol};

/// An expression as written, nothing simplified.
#[derive(Clone, Debug)]
pub enum Tree {
    Constant(i64),
    Symbol(usize),
    Add(Box<Tree>, Box<Tree>),
    Sub(Box<Tree>, Box<Tree>),
    Mul(Box<Tree>, Box<Tree>),
    FloorDiv(Box<Tree>, i64),
    CeilDiv(Box<Tree>, i64),
    Mod(Box<Tree>, i64),
    Min(Box<Tree>, Box<Tree>),
    Max(Box<Tree>, Box<Tree>),
}

/// The symbols that trees use: ranges around, below and above 0, and divisors.
pub fn symbols() -> [Symbol; 5] {
    [
        Symbol::new("a").with_range(0, 20),
        Symbol::new("b").with_range(1, 9),
        Symbol::new("c").with_range(0, 40).with_divisor(4),
        Symbol::new("d").with_range(-7, 7),
        Symbol::new("e").with_range(-12, 30).with_divisor(6),
    ]
}

/// Values that agree with the facts of [`symbols`].
pub fn values() -> impl Strategy<Value = [i64; 5]> {
    (0..=20_i64, 1..=9_i64, 0..=10_i64, -7..=7_i64, -2..=5_i64)
        .prop_map(|(a, b, c, d, e)| [a, b, 4 * c, d, 6 * e])
}

pub fn bind(values: [i64; 5]) -> Bindings {
    symbols().iter().zip(values).collect()
}

pub fn trees() -> BoxedStrategy<Tree> {
    let divisor = || prop_oneof![1..=8_i64, Just(12), Just(64)];
    let leaf = prop_oneof![(-9..=9_i64).prop_map(Tree::Constant), (0..5_usize).prop_map(Tree::Symbol)];
    let grow = move |inner: BoxedStrategy<Tree>| {
        let pair = (inner.clone(), inner.clone()).prop_map(|(a, b)| (Box::new(a), Box::new(b))).boxed();
        let over = (inner.prop_map(Box::new), divisor()).boxed();
        prop_oneof![
            3 => pair.clone().prop_map(|(a, b)| Tree::Add(a, b)),
            3 => pair.clone().prop_map(|(a, b)| Tree::Sub(a, b)),
            2 => pair.clone().prop_map(|(a, b)| Tree::Mul(a, b)),
            2 => over.clone().prop_map(|(a, k)| Tree::FloorDiv(a, k)),
            1 => over.clone().prop_map(|(a, k)| Tree::CeilDiv(a, k)),
            2 => over.prop_map(|(a, k)| Tree::Mod(a, k)),
            1 => pair.clone().prop_map(|(a, b)| Tree::Min(a, b)),
            1 => pair.prop_map(|(a, b)| Tree::Max(a, b)),
        ]
    };
    leaf.prop_recursive(5, 24, 2, move |inner| grow(inner.boxed())).boxed()
}

impl Tree {
    pub fn expr(&self) -> Expr {
        match self {
            Self::Constant(value) => Expr::from(*value),
            Self::Symbol(index) => Expr::from(&symbols()[*index]),
            Self::Add(a, b) => a.expr() + b.expr(),
            Self::Sub(a, b) => a.expr() - b.expr(),
            Self::Mul(a, b) => a.expr() * b.expr(),
            Self::FloorDiv(a, k) => a.expr().floor_div(*k),
            Self::CeilDiv(a, k) => a.expr().ceil_div(*k),
            Self::Mod(a, k) => a.expr().modulo(*k),
            Self::Min(a, b) => a.expr().min(&b.expr()),
            Self::Max(a, b) => a.expr().max(&b.expr()),
        }
    }

    /// The value, `None` if it leaves `i128`.
    pub fn value(&self, values: &[i64; 5]) -> Option<i128> {
        let both = |a: &Tree, b: &Tree| Some((a.value(values)?, b.value(values)?));
        match self {
            Self::Constant(value) => Some((*value).into()),
            Self::Symbol(index) => Some(values[*index].into()),
            Self::Add(a, b) => both(a, b).and_then(|(a, b)| a.checked_add(b)),
            Self::Sub(a, b) => both(a, b).and_then(|(a, b)| a.checked_sub(b)),
            Self::Mul(a, b) => both(a, b).and_then(|(a, b)| a.checked_mul(b)),
            Self::FloorDiv(a, k) => a.value(values).map(|a| a.div_euclid((*k).into())),
            Self::CeilDiv(a, k) => a.value(values).map(|a| -(-a).div_euclid((*k).into())),
            Self::Mod(a, k) => a.value(values).map(|a| a.rem_euclid((*k).into())),
            Self::Min(a, b) => both(a, b).map(|(a, b)| a.min(b)),
            Self::Max(a, b) => both(a, b).map(|(a, b)| a.max(b)),
        }
    }
}
