//! What a memory planner asks of two sizes, and exact quotients that shapes ask for.
#![allow(clippy::panic, reason = "failures of a test")]

use symbolic::{Expr, Symbol, parse};

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
