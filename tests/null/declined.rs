//! The table of declined operators names what the engine does not have.

use engine::ops::OPERATORS;
use tests::conformance::Declined;

#[test]
fn no_declined_operator_is_in_the_table_of_operators() {
    let names = OPERATORS.iter().flat_map(|o| o.onnx);
    let ours: Vec<String> =
        names
            .map(|n| {
                if n.domain.is_empty() { n.op_type.to_owned() } else { format!("{}.{}", n.domain, n.op_type) }
            })
            .collect();
    let rows = Declined::read().rows;
    let both: Vec<_> = rows.iter().filter(|row| ours.contains(&row.what)).collect();
    assert!(both.is_empty(), "docs/operators-declined.md declines what the engine has: {both:?}");
    for row in &rows {
        assert!(!row.why.is_empty(), "docs/operators-declined.md gives no reason for {}", row.what);
        let twice = rows.iter().filter(|r| r.what == row.what).count();
        assert_eq!(twice, 1, "docs/operators-declined.md names {} twice", row.what);
    }
}
