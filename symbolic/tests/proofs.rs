//! What a memory planner asks of two sizes, and exact quotients that shapes ask for.
#![allow(clippy::panic, reason = "failures of a test")]

use symbolic::{Bindings, Expr, Range, Symbol, parse};

fn read(text: &str) -> Expr {
    let mut symbol = |name: &str| match name {
        "batch" | "seq" => Symbol::new(name).with_range(1, 512),
        "past" => Symbol::new(name).with_range(0, 8192),
        _ => Symbol::new(name),
    };
    parse(text, &mut symbol).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn known_orders() {
    let table = [
        ("past", "past + seq"),
        ("64*batch*seq", "576*batch*seq"),
        ("past", "seq*past"),
        ("batch*seq", "batch*512"),
        ("batch*(past + seq)", "batch*8704"),
        ("n", "256*ceildiv(n, 256)"),
        ("256*(n//256)", "n"),
        ("n % 16", "n"),
        ("n//2", "n"),
        ("ceildiv(n, 256)", "ceildiv(n + m, 256)"),
        ("256*ceildiv(n, 256) + m", "256*ceildiv(n + 7, 256) + 2*m"),
        ("n//8", "n//4"),
        ("n", "Max(n, m)"),
        ("Min(n, m)", "n"),
        ("Max(n, m)", "n + m"),
        ("Max(n, m)", "Max(n, m, k)"),
        ("Max(n, m) + k", "Max(n + k, m + k)"),
        ("Max(4*n, 2*m)", "4*Max(n, m)"),
    ];
    for (less, more) in table {
        let (less, more) = (read(less), read(more));
        assert!(less.provably_le(&more), "{less} <= {more}");
        assert!(!more.provably_lt(&less), "{more} < {less}");
        assert!(less.provably_lt(&(&more + 1)), "{less} < {more} + 1");
    }
    assert!(read("Max(n + k, m + k)").provably_eq(&read("Max(n, m) + k")));
    assert!(!read("n").provably_le(&read("m")));
    assert!(!read("n").provably_eq(&read("m")));
}

#[test]
fn exact_quotients() {
    let table = [
        ("batch*seq*576", "batch*seq*64", Some("9")),
        ("(past + seq)*12", "past + seq", Some("12")),
        ("(past + seq)*(batch + 3)*8", "2*batch + 6", Some("4*past + 4*seq")),
        ("n*n - m*m", "n - m", Some("n + m")),
        ("(n//2)*m*6", "3*(n//2)", Some("2*m")),
        ("0", "n", Some("0")),
        ("n", "0", None),
        ("n", "2", None),
        ("3*n", "2*n", None),
        ("n", "m", None),
        ("n*n + 1", "n + 1", None),
    ];
    for (dividend, divisor, quotient) in table {
        assert_eq!(read(dividend).exact_div(&read(divisor)), quotient.map(read), "{dividend} / {divisor}");
    }
}

#[test]
fn ratios() {
    let table = [
        ("6*n + 4*m", "9*n + 6*m", Some((2, 3))),
        ("n", "-2*n", Some((-1, 2))),
        ("0", "n", Some((0, 1))),
        ("n", "0", None),
        ("n + 1", "n", None),
        ("n + 1", "2*n + 1", None),
    ];
    for (a, b, ratio) in table {
        assert_eq!(read(a).ratio(&read(b)), ratio, "{a} : {b}");
    }
}

/// Every order claimed between a quotient, a remainder or an extremum and a linear form holds for all values.
#[test]
fn claims_about_one_symbol_hold_everywhere() {
    let x = Symbol::new("x").with_range(-2, 13);
    let ex = Expr::from(&x);
    let mut claims = 0;
    for (k, shift) in (2..=4).flat_map(|k| (-2..=3).map(move |shift| (k, shift))) {
        let inner = &ex * 3 + shift;
        let quotient = inner.floor_div(k);
        let atoms = [quotient.clone(), inner.modulo(k), quotient.max(&(&ex - 1)), (&ex * 2).min(&inner)];
        let factors = (-2..=2).flat_map(|c| (-3..=3).map(move |a| (c, a)));
        for (atom, (c, a)) in atoms.iter().flat_map(|atom| factors.clone().map(move |factor| (atom, factor)))
        {
            let left = atom * c * k;
            for right in (-4..=4).map(|d| &ex * a + d) {
                let value = |expr: &Expr, at| expr.eval(&Bindings::new().with(&x, at)).unwrap();
                let below = (-2..=13).all(|at| value(&left, at) <= value(&right, at));
                let claimed = left.provably_le(&right);
                assert!(below || !claimed, "{left} <= {right}");
                claims += u32::from(claimed);
            }
        }
    }
    assert!(claims > 1000, "only {claims} claims");
}

#[test]
fn extrema_are_bounded_by_both_sides() {
    let bounds = |text| {
        let Range { min, max } = read(text).range();
        (min, max)
    };
    assert_eq!(bounds("Max(past, 3*seq)"), (Some(3), Some(8192)));
    assert_eq!(bounds("Min(past, 3*seq)"), (Some(0), Some(1536)));
    assert_eq!(bounds("Max(past - 10, -seq)"), (Some(-10), Some(8182)));
}
