//! Each rule of the canonical form: the form it gives, and its value on all small numbers.
#![allow(clippy::panic, reason = "failures of a test")]

use symbolic::{Bindings, Expr, Substitution, Symbol, parse};

fn symbol(name: &str) -> Symbol {
    match name {
        "even" => Symbol::new(name).with_divisor(2),
        "page" => Symbol::new(name).with_divisor(64),
        "bit" => Symbol::new(name).with_range(0, 1),
        "digit" => Symbol::new(name).with_range(0, 9),
        "any" => Symbol::new(name).with_range(-1000, 1000),
        _ => Symbol::new(name),
    }
}

#[test]
fn forms() {
    let table = [
        // sums and products
        ("b + a", "a + b"),
        ("(a + b)*(a - b)", "a**2 - b**2"),
        ("2*(a + 3) - 6", "2*a"),
        ("a - a", "0"),
        ("1 - a", "-a + 1"),
        // constants and multiples leave a quotient
        ("(4*a + 8*b + 9)//4", "a + 2*b + 2"),
        ("(a + 9)//4", "(a + 1)//4 + 2"),
        ("(a - 1)//4", "(a + 3)//4 - 1"),
        ("(5*a)//4", "a//4 + a"),
        ("a//1", "a"),
        ("(6*a + 5)//4", "a//2 + a + 1"),
        // common factors
        ("(6*a + 4*b + 3)//8", "(3*a + 2*b + 1)//4"),
        ("(6*a + 4*b + 3) % 8", "2*((3*a + 2*b + 1) % 4) + 1"),
        // nesting
        ("(a//4)//8", "a//32"),
        ("(a//4 + 3)//8", "(a + 12)//32"),
        ("(a//4 + b)//8", "(a + 4*b)//32"),
        ("(a % 12) % 4", "a % 4"),
        // rounding up, in every spelling
        ("-(-a//4)", "(a + 3)//4"),
        ("ceildiv(a, 4)", "(a + 3)//4"),
        ("ceil(a/4)", "(a + 3)//4"),
        ("4*ceil(even/2)", "2*even"),
        // divisors
        ("page//64*64", "page"),
        ("page % 32", "0"),
        ("(page + 5) % 64", "5"),
        ("page//128", "(page//64)//2"),
        ("(page*even)//128", "(page//64)*(even//2)"),
        // ranges
        ("digit//10", "0"),
        ("digit % 10", "digit"),
        ("(digit + 20) % 10", "digit"),
        ("(digit - 10)//10", "-1"),
        ("(a % 8)//8", "0"),
        // extrema
        ("Max(a, a + 1, 0)", "a + 1"),
        ("Min(a, a + 1, 5)", "Min(5, a)"),
        ("Max(b, Max(a, b), a)", "Max(a, b)"),
        ("Max(4*a, 8*b)", "4*Max(a, 2*b)"),
        ("Max(4*Max(a, b), 8*c)", "4*Max(a, b, 2*c)"),
        ("-Max(-a, -b)", "-Max(-a, -b)"),
        ("Max(0, a)", "a"),
        ("Max(1, a)", "Max(1, a)"),
        ("Max(bit, digit, 9)", "9"),
    ];
    for (written, form) in table {
        let read = |text: &str| parse(text, &mut symbol).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(read(written), read(form), "{written}");
    }
}

#[test]
fn division_rules_on_all_small_numbers() {
    let (x, y) = (Symbol::new("x").with_range(-9, 9), Symbol::new("y").with_range(-6, 6).with_divisor(3));
    let (ex, ey) = (Expr::from(&x), Expr::from(&y));
    for (a, b, c) in small(-4..=4, -3..=3, -5..=5) {
        let sum = &ex * a + &ey * b + c;
        for (j, k) in (1..=6).flat_map(|j| (1..=6).map(move |k| (j, k))) {
            let nested = [
                sum.floor_div(j).floor_div(k),
                sum.ceil_div(j).floor_div(k),
                (sum.floor_div(j) - &ex).modulo(k),
                sum.modulo(j).modulo(k),
                (sum.modulo(j) * a + &ex).floor_div(k),
            ];
            for (vx, vy) in (-9..=9).step_by(3).flat_map(|vx| [-6, -3, 0, 3, 6].map(|vy| (vx, vy))) {
                let value = a * vx + b * vy + c;
                let (down, up, rest) = (value.div_euclid(j), -(-value).div_euclid(j), value.rem_euclid(j));
                let expected = [
                    down.div_euclid(k),
                    up.div_euclid(k),
                    (down - vx).rem_euclid(k),
                    rest.rem_euclid(k),
                    (rest * a + vx).div_euclid(k),
                ];
                let bindings = Bindings::new().with(&x, vx).with(&y, vy);
                for (expr, expected) in nested.iter().zip(expected) {
                    assert_eq!(expr.eval(&bindings), Ok(expected), "{expr} at {vx}, {vy}");
                }
            }
        }
    }
}

#[test]
fn extremum_rules_on_all_small_numbers() {
    let (x, y) = (Symbol::new("x").with_range(-3, 3), Symbol::new("y").with_range(0, 2));
    let (ex, ey) = (Expr::from(&x), Expr::from(&y));
    for (a, b, c) in small(-2..=2, -2..=2, -3..=3) {
        let (left, right) = (&ex * a + c, &ey * b);
        let (least, greatest) = (left.min(&right), left.max(&right));
        let scaled = (greatest.clone() * b).max(&(&ex * a)).min(&least);
        for (vx, vy) in (-3..=3).flat_map(|vx| (0..=2).map(move |vy| (vx, vy))) {
            let (l, r) = (a * vx + c, b * vy);
            let bindings = Bindings::new().with(&x, vx).with(&y, vy);
            assert_eq!(least.eval(&bindings), Ok(l.min(r)));
            assert_eq!(greatest.eval(&bindings), Ok(l.max(r)));
            let expected = (l.max(r) * b).max(a * vx).min(l.min(r));
            assert_eq!(scaled.eval(&bindings), Ok(expected), "{scaled} at {vx}, {vy}");
        }
    }
}

/// The range of a linear form is exact, its remainder and quotient are within one step of exact.
#[test]
fn ranges_of_linear_forms_are_exact() {
    let (x, y) = (Symbol::new("x").with_range(-5, 7), Symbol::new("y").with_range(-7, 10).with_divisor(3));
    for (a, b, c) in small(-4..=4, -4..=4, -5..=5) {
        let sum = Expr::from(&x) * a + Expr::from(&y) * b + c;
        let values = (-5..=7).flat_map(|vx| (-2..=3).map(move |vy| a * vx + b * 3 * vy + c));
        let range = sum.range();
        assert_eq!((range.min, range.max), (values.clone().min(), values.max()), "{sum}");
    }
}

#[test]
fn powers_are_bounded_by_magnitude() {
    let x = Expr::from(Symbol::new("x").with_range(-3, 2));
    assert_eq!((&x * &x).range(), symbolic::Range { min: Some(0), max: Some(9) });
    assert_eq!((&x * &x * &x).range(), symbolic::Range { min: Some(-27), max: Some(18) });
}

#[test]
fn one_name_with_two_divisors_is_never_mixed_up() {
    let (plain, paged) = (Symbol::new("s"), Symbol::new("s").with_divisor(64));
    let sum = Expr::from(&plain) + Expr::from(&paged);
    assert_eq!(sum.eval(&Bindings::new().with(&plain, 128)), Ok(256));
    assert_eq!(sum.substitute(&Substitution::new().with(&plain, 64)), Expr::from(128));
    assert_eq!(sum.symbols().count(), 1);
}

fn small(
    a: std::ops::RangeInclusive<i64>,
    b: std::ops::RangeInclusive<i64>,
    c: std::ops::RangeInclusive<i64>,
) -> impl Iterator<Item = (i64, i64, i64)> {
    a.flat_map(move |a| b.clone().map(move |b| (a, b)))
        .flat_map(move |(a, b)| c.clone().map(move |c| (a, b, c)))
}
