//! What leaves 64 bits or grows without end becomes the overflow value, and stays it.

use symbolic::{Bindings, EvalError, Expr, Substitution, Symbol};

#[test]
fn overflow_propagates() {
    let a = Expr::from(Symbol::new("a"));
    let lost = Expr::from(i64::MAX) + 1;
    let results = [
        lost.clone(),
        Expr::from(i64::MAX) * 2,
        -Expr::from(i64::MIN),
        &a * i64::MAX * 2,
        Expr::from(u64::MAX),
        &lost - &lost,
        &lost * Expr::ZERO,
        &lost * &a,
        lost.floor_div(2),
        lost.modulo(2),
        lost.min(&a),
        a.max(&lost),
        a.floor_div(0),
        a.ceil_div(-1),
        a.modulo(0),
        a.substitute(&Substitution::new().with(&Symbol::new("a"), lost.clone())),
        [a.clone(), lost.clone()].iter().sum(),
    ];
    for (position, result) in results.iter().enumerate() {
        assert!(result.is_overflow(), "{position}: {result}");
        assert_eq!(result.eval(&Bindings::new()), Err(EvalError::Overflow));
        assert!(!result.provably_eq(result) && !result.provably_le(&a) && result.exact_div(&a).is_none());
    }
    let large = Expr::from(i64::MAX) + &a - &a + Expr::from(Symbol::new("b")) * Expr::ZERO;
    assert_eq!(large, Expr::from(i64::MAX), "a sum that fits is no overflow");
}

#[test]
fn evaluation_checks_everything() {
    let (a, paged) =
        (Symbol::new("a").with_range(0, i64::MAX), Symbol::new("p").with_range(0, 256).with_divisor(64));
    let cube = Expr::from(&a) * Expr::from(&a) * Expr::from(&a);
    assert_eq!(cube.eval(&Bindings::new().with(&a, 2_000_000)), Ok(8_000_000_000_000_000_000));
    assert_eq!(cube.eval(&Bindings::new().with(&a, 3_000_000)), Err(EvalError::Overflow));
    assert_eq!(cube.eval(&Bindings::new()), Err(EvalError::Unbound(a)));
    for value in [-64, 63, 320] {
        let outside = EvalError::OutsideFacts { symbol: paged.clone(), value };
        assert_eq!(Expr::from(&paged).eval(&Bindings::new().with(&paged, value)), Err(outside));
    }
}

#[test]
fn growth_ends() {
    let (a, b) = (Expr::from(Symbol::new("a")), Expr::from(Symbol::new("b")));
    // Each of these would double, square or deepen for ever.
    let steps: [fn(&Expr, &Expr, &Expr) -> Expr; 5] = [
        |e, a, b| (e * a + b).modulo(7) * e.floor_div(3),
        |e, a, b| e * (a + b + 1),
        |e, a, _| (e * e).min(&(a * 3 - e)),
        |e, a, b| (e * a).floor_div(5).max(&(b * e.modulo(11))),
        |e, a, b| (e.modulo(1_000_003) * a + b).modulo(1_000_033),
    ];
    for (position, step) in steps.iter().enumerate() {
        let grown = (0..300).fold(&a + 1, |e, _| step(&e, &a, &b));
        assert!(grown.is_overflow(), "{position}: {grown}");
    }
    let hard = |n: i64| {
        Expr::from(Symbol::new(&format!("s{n}"))) * (&a * n - &b) + a.floor_div(n + 2) - b.modulo(n + 3)
    };
    let greatest = (0..400).fold(Expr::ZERO, |e, n| e.max(&hard(n)));
    assert!(greatest.is_overflow(), "{greatest}");
    let many: Expr = (0..10_000).map(|n| Expr::from(Symbol::new(&n.to_string()))).take(3000).sum();
    assert!(many.is_overflow());
}
