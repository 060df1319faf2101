//! The operators `+ - *` by value, by reference and with `i64`, and sums and products of iterators.

use std::iter::{Product, Sum};
use std::ops::{Add, AddAssign, Mul, MulAssign, Neg, Sub, SubAssign};

use crate::Expr;

macro_rules! operator {
    ($trait:ident, $method:ident, $assign_trait:ident, $assign_method:ident, $compute:expr) => {
        operator!($trait, $method, $compute, Expr, Expr);
        operator!($trait, $method, $compute, Expr, &Expr);
        operator!($trait, $method, $compute, &Expr, Expr);
        operator!($trait, $method, $compute, &Expr, &Expr);
        operator!($trait, $method, $compute, Expr, i64);
        operator!($trait, $method, $compute, &Expr, i64);
        operator!($trait, $method, $compute, i64, Expr);
        operator!($trait, $method, $compute, i64, &Expr);

        impl<T> $assign_trait<T> for Expr
        where
            for<'a> &'a Expr: $trait<T, Output = Expr>,
        {
            fn $assign_method(&mut self, other: T) {
                *self = $trait::$method(&*self, other);
            }
        }
    };
    ($trait:ident, $method:ident, $compute:expr, $left:ty, $right:ty) => {
        impl $trait<$right> for $left {
            type Output = Expr;

            fn $method(self, other: $right) -> Expr {
                let compute: fn(&Expr, &Expr) -> Expr = $compute;
                compute(&Expr::from(self), &Expr::from(other))
            }
        }
    };
}

operator!(Add, add, AddAssign, add_assign, |a, b| a.plus(1, b));
operator!(Sub, sub, SubAssign, sub_assign, |a, b| a.plus(-1, b));
operator!(Mul, mul, MulAssign, mul_assign, Expr::times);

impl Neg for &Expr {
    type Output = Expr;

    fn neg(self) -> Expr {
        Expr::ZERO.plus(-1, self)
    }
}

impl Neg for Expr {
    type Output = Expr;

    fn neg(self) -> Expr {
        -&self
    }
}

impl Sum for Expr {
    fn sum<I: Iterator<Item = Expr>>(iter: I) -> Expr {
        iter.fold(Expr::ZERO, |all, one| all + one)
    }
}

impl<'a> Sum<&'a Expr> for Expr {
    fn sum<I: Iterator<Item = &'a Expr>>(iter: I) -> Expr {
        iter.fold(Expr::ZERO, |all, one| all + one)
    }
}

impl Product for Expr {
    fn product<I: Iterator<Item = Expr>>(iter: I) -> Expr {
        iter.fold(Expr::ONE, |all, one| all * one)
    }
}

impl<'a> Product<&'a Expr> for Expr {
    fn product<I: Iterator<Item = &'a Expr>>(iter: I) -> Expr {
        iter.fold(Expr::ONE, |all, one| all * one)
    }
}
