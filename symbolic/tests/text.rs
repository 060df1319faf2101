//! Text of exporters, read and written, and text that is wrong.
#![allow(clippy::panic, reason = "failures of a test")]

use symbolic::{Expr, ParseProblem, Symbol, parse};

fn plain(text: &str) -> Result<Expr, symbolic::ParseError> {
    parse(text, &mut |name| Symbol::new(name))
}

#[test]
fn exporters_text() {
    let table = [
        ("s36 + s70", "s36 + s70"),
        ("past_sequence_length + sequence_length", "past_sequence_length + sequence_length"),
        ("2*s0", "2*s0"),
        ("s0//2", "s0//2"),
        ("(s0+1)//4", "(s0 + 1)//4"),
        ("Mod(s1,4)", "Mod(s1, 4)"),
        ("s1 % 4", "Mod(s1, 4)"),
        ("Min(a,b)", "Min(a, b)"),
        ("Max(1, s0)", "Max(1, s0)"),
        ("floor(s0/2)", "s0//2"),
        ("floor(s0/2 - 1/2) + 1", "(s0 + 1)//2"),
        ("ceiling(s0/8)", "(s0 + 7)//8"),
        ("FloorDiv(s0, 4)*3", "3*(s0//4)"),
        ("s0**2 - 1", "s0*s0 - 1"),
        ("2*s0/2", "s0"),
        ("-s0//2", "-((s0 + 1)//2)"),
        ("a - b//2 - c", "-(b//2) + a - c"),
        ("a - (b - (c - 1))", "a - b + c - 1"),
        ("unk__0", "unk__0"),
        ("input.ids_dim", "input.ids_dim"),
        ("\"batch size\" + 1", "\"batch size\" + 1"),
        ("-2**2*s0", "-4*s0"),
        (" 7 ", "7"),
        ("-9223372036854775808", "-9223372036854775808"),
    ];
    for (written, read) in table {
        let expr = plain(written).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(plain(read), Ok(expr.clone()), "{written}");
        assert_eq!(plain(&expr.to_string()), Ok(expr.clone()), "{written} as {expr}");
    }
    assert_eq!(plain("sequence_length+past_sequence_length").unwrap().to_string(), table[1].0);
}

#[test]
fn any_name_survives() {
    for name in ["", "a b", "1", "a-b", "\"", "\\", "é.x", "Max", "名", "a\"\\\"b"] {
        let expr = Expr::from(Symbol::new(name)) * 2 + 1;
        assert_eq!(plain(&expr.to_string()), Ok(expr), "{name:?}");
    }
}

#[test]
fn extreme_coefficients_survive() {
    let (a, b) = (Expr::from(Symbol::new("a")), Expr::from(Symbol::new("b")));
    for coefficient in [i64::MIN, i64::MIN + 1, i64::MAX] {
        for expr in [&a * coefficient, &a + &b * coefficient, &a + coefficient] {
            assert_eq!(plain(&expr.to_string()), Ok(expr.clone()), "{expr}");
        }
    }
}

#[test]
fn wrong_text_says_where() {
    let table = [
        ("", "column 1 of ``: expected a name, a number or `(`, found the end"),
        ("s0 + + ", "column 8 of `s0 + + `: expected a name, a number or `(`, found the end"),
        ("s0 s1", "column 4 of `s0 s1`: expected an operator or the end, found `s`"),
        ("(s0", "column 4 of `(s0`: expected an operator or `)`, found the end"),
        ("2*\"x", "column 5 of `2*\"x`: expected a closing `\"`, found the end"),
        ("é?", "column 2 of `é?`: expected an operator or the end, found `?`"),
        ("s0/2", "column 5 of `s0/2`: the division may leave a fraction: write `//`, floor(..) or ceil(..)"),
        ("s0//s1", "column 7 of `s0//s1`: expected a constant in 1..=9223372036854775807, found `s1`"),
        ("s0 % 0", "column 7 of `s0 % 0`: expected a constant in 1..=9223372036854775807, found `0`"),
        (
            "a + log(s0)",
            "column 5 of `a + log(s0)`: `log` is not a function; known are floor, ceil, Mod, Min, Max, FloorDiv and CeilDiv",
        ),
        ("Mod(s0)", "column 8 of `Mod(s0)`: `Mod` cannot take 1 arguments"),
        (
            "99999999999999999999",
            "column 21 of `99999999999999999999`: the result does not fit 64 bits, or is too large a formula",
        ),
    ];
    for (text, message) in table {
        assert_eq!(plain(text).unwrap_err().to_string(), message);
    }
}

#[test]
fn hostile_text_is_refused() {
    let problem = |text: String| plain(&text).unwrap_err().problem;
    assert_eq!(problem("(".repeat(1000)), ParseProblem::TooDeep);
    assert_eq!(problem("floor(".repeat(500)), ParseProblem::TooDeep);
    assert_eq!(problem("a+".repeat(5000)), ParseProblem::TooLong);
    assert_eq!(
        problem(format!("({}1)**16", "a+b*c+d+".repeat(100).replace("d+", "d*c+"))),
        ParseProblem::Overflow
    );
    assert_eq!(
        problem(format!("{}(", "-".repeat(4000))),
        ParseProblem::Expected { expected: "a name, a number or `(`", found: None }
    );
    let sum: String = (0..400).map(|n| format!("a{n}+")).collect();
    assert_eq!(problem(format!("({sum}1)**4")), ParseProblem::Overflow);
}
