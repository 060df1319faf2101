//! What must hold of every expression.
#![allow(clippy::expect_used, clippy::panic, reason = "failures of a test")]

mod trees;

use proptest::prelude::{Just, ProptestConfig, prop_assert, prop_assert_eq, proptest};
use proptest::strategy::Strategy;
use symbolic::{Bindings, EvalError, Expr, Substitution, parse};
use trees::{Tree, bind, symbols, trees, values};

fn read(text: &str) -> Expr {
    let known = symbols();
    parse(text, &mut |name| known.iter().find(|symbol| symbol.name() == name).expect("a known name").clone())
        .unwrap_or_else(|error| panic!("{error}"))
}

/// The value, where the form did not grow past its limits.
fn value(expr: &Expr, bindings: &Bindings) -> Option<i64> {
    match expr.eval(bindings) {
        Ok(value) => Some(value),
        Err(EvalError::Overflow) => None,
        Err(other) => panic!("{expr}: {other}"),
    }
}

/// The same tree with the operands of sums, products and extrema swapped, and differences written as sums.
fn rearranged(tree: &Tree) -> Tree {
    let swap = |a: &Tree, b: &Tree| (Box::new(rearranged(b)), Box::new(rearranged(a)));
    match tree {
        Tree::Add(a, b) => {
            let (b, a) = swap(a, b);
            Tree::Add(b, a)
        }
        Tree::Sub(a, b) => {
            let minus = Tree::Mul(Box::new(rearranged(b)), Box::new(Tree::Constant(-1)));
            Tree::Add(Box::new(minus), Box::new(rearranged(a)))
        }
        // a * (b + c) = a*c + a*b
        Tree::Mul(a, sum) if matches!(**sum, Tree::Add(..)) => {
            let Tree::Add(b, c) = &**sum else { unreachable!() };
            let product = |x: &Tree| Box::new(Tree::Mul(Box::new(rearranged(x)), Box::new(rearranged(a))));
            Tree::Add(product(c), product(b))
        }
        Tree::Mul(a, b) => {
            let (b, a) = swap(a, b);
            Tree::Mul(b, a)
        }
        Tree::FloorDiv(a, k) => Tree::FloorDiv(Box::new(rearranged(a)), *k),
        Tree::CeilDiv(a, k) => Tree::CeilDiv(Box::new(rearranged(a)), *k),
        Tree::Mod(a, k) => Tree::Mod(Box::new(rearranged(a)), *k),
        Tree::Min(a, b) => {
            let (b, a) = swap(a, b);
            Tree::Min(b, a)
        }
        Tree::Max(a, b) => {
            let (b, a) = swap(a, b);
            Tree::Max(b, a)
        }
        leaf => leaf.clone(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn normalising_keeps_the_value(tree in trees(), values in values()) {
        let expr = tree.expr();
        if let Some(value) = value(&expr, &bind(values)) {
            prop_assert_eq!(Some(i128::from(value)), tree.value(&values), "{}", expr);
        }
    }

    #[test]
    fn the_range_and_the_divisor_hold_for_the_value(tree in trees(), values in values()) {
        let expr = tree.expr();
        if let Some(value) = value(&expr, &bind(values)) {
            prop_assert!(expr.range().contains(value), "{} = {} outside {:?}", expr, value, expr.range());
            let divisor = expr.multiple_of();
            prop_assert!(if divisor == 0 { value == 0 } else { value % divisor == 0 }, "{} = {} not {}", expr, value, divisor);
        }
    }

    #[test]
    fn parse_inverts_display(tree in trees()) {
        let expr = tree.expr();
        if !expr.is_overflow() && expr.to_string().len() < 4096 {
            prop_assert_eq!(read(&expr.to_string()), expr);
        }
    }

    #[test]
    fn rearranged_trees_are_equal(tree in trees()) {
        let (straight, other) = (tree.expr(), rearranged(&tree).expr());
        prop_assert_eq!(straight, other);
    }

    #[test]
    fn rebuilding_changes_nothing(tree in trees()) {
        let expr = tree.expr();
        let identity = symbols().iter().fold(Substitution::new(), |all, one| all.with(one, one));
        prop_assert_eq!(expr.substitute(&identity), expr);
    }

    #[test]
    fn substitution_commutes_with_evaluation(tree in trees(), by in trees(), values in values()) {
        // `d` takes any value in -7..=7, so its replacement is kept there.
        let [.., d, _] = symbols();
        let by = by.expr().modulo(15) - 7;
        let bindings = bind(values);
        if let Some(inner) = value(&by, &bindings) {
            let replaced = tree.expr().substitute(&Substitution::new().with(&d, by));
            let outer = bindings.clone().with(&d, inner);
            if let (Some(left), Some(right)) = (value(&replaced, &bindings), value(&tree.expr(), &outer)) {
                prop_assert_eq!(left, right);
            }
        }
    }

    #[test]
    fn exact_division_inverts_multiplication(a in trees(), b in trees()) {
        let (a, b) = (a.expr(), b.expr());
        if let Some(quotient) = a.exact_div(&b) {
            prop_assert_eq!(&quotient * &b, a.clone());
        }
        let product = &a * &b;
        if !product.is_overflow() && b != Expr::ZERO {
            prop_assert_eq!(product.exact_div(&b), Some(a));
        }
    }

    #[test]
    fn a_ratio_holds(a in trees(), p in -6..=6_i64, q in -6..=6_i64) {
        let a = a.expr();
        if q != 0 && a != Expr::ZERO && !a.is_overflow() {
            let (up, down) = (&a * p, &a * q);
            let (x, y) = up.ratio(&down).expect("multiples of one expression");
            prop_assert!(y > 0 && x * q == y * p);
            prop_assert_eq!(up * y, down * x);
        }
    }

    #[test]
    fn proofs_never_lie((a, b) in pairs(), values in values()) {
        let (x, y) = (a.expr(), b.expr());
        if let (Some(left), Some(right)) = (value(&x, &bind(values)), value(&y, &bind(values))) {
            prop_assert!(!x.provably_le(&y) || left <= right, "{} <= {}: {} {}", x, y, left, right);
            prop_assert!(!x.provably_lt(&y) || left < right, "{} < {}: {} {}", x, y, left, right);
            prop_assert!(!x.provably_eq(&y) || left == right, "{} == {}: {} {}", x, y, left, right);
        }
    }

    #[test]
    fn any_text_gives_a_value_or_an_error(text in "[-a-d0-9+*/%(), .Mmodinaxflr\"]{0,60}") {
        let known = |name: &str| symbolic::Symbol::new(name);
        match parse(&text, &mut |name| known(name)) {
            Ok(expr) => prop_assert_eq!(parse(&expr.to_string(), &mut |name| known(name)), Ok(expr)),
            Err(error) => prop_assert!(error.column <= text.len() + 1),
        }
    }
}

/// Two trees that are comparable more often than two random ones: the second is the first and something more.
fn pairs() -> impl Strategy<Value = (Tree, Tree)> {
    (trees(), trees(), Just(())).prop_map(|(a, b, ())| {
        (a.clone(), Tree::Max(Box::new(Tree::Add(Box::new(a), Box::new(b.clone()))), Box::new(b)))
    })
}
