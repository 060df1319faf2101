//! A fixed part of ONNX's own backend tests: a few of each operator, from the archive in the fixtures.

use tests::conformance::{Declined, Outcome, Runner, Summary, tests, unpack};

#[test]
fn onnx_tests_of_every_operator_pass() {
    let folder = tempfile::tempdir().unwrap();
    unpack(&std::fs::read(tests::fixture("onnx_tests.bin")).unwrap(), folder.path()).unwrap();
    let declined = Declined::read();
    let mut runner = Runner::new().unwrap();
    let mut summary = Summary::default();
    for test in tests(folder.path()).unwrap() {
        let outcome = Outcome::judge(&test, runner.run(&test), &declined);
        summary.add(test, outcome);
    }
    let passed = summary.passed().count();
    assert_eq!(summary.failed(), 0, "{passed} tests pass, these do not:\n{}", summary.failures());
    assert!(passed >= 200, "only {passed} tests");
}
