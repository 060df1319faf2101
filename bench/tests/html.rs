//! Reports as a page: it holds the data and loads nothing, and a browser draws it at any width.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test")]

use std::{
    path::Path,
    process::{Command, Output},
};

use bench::{Profile, Report, Sensors, html};

/// A phone and its numbers, all of them made up.
fn phone() -> Report {
    serde_json::from_str(include_str!("reports/phone.json")).unwrap()
}

/// A report with as little in it as there can be, and odd names.
fn odd() -> Report {
    let mut report = phone();
    report.device.name = "</script><script>{{data}} & \"a very long name\" ".repeat(4);
    report.device.subgroups = None;
    report.program.commit = None;
    report.program.optimised = false;
    report.memory.process_peak_bytes = None;
    (report.peaks, report.sustained, report.profile) = (None, None, None);
    report.sensors = Sensors::default();
    report.choices.clear();
    report.maps.clear();
    report.device.features.clear();
    report.qualified.struck = vec!["linear <coop>: [64, 64]: 3 is not 4".to_owned()];
    report.measurements.truncate(2);
    for measurement in &mut report.measurements {
        measurement.rate.mean = f64::NAN;
        measurement.rate.sd = f64::INFINITY;
        measurement.rates.clear();
        (measurement.first_token_ms, measurement.token_ms) = (None, None);
        measurement.heat.iter_mut().for_each(|reading| reading.values.clear());
    }
    report
}

/// One without measurements, whose profile has no kernels and no name.
fn bare() -> Report {
    let mut report = odd();
    report.device.name.clear();
    report.measurements.clear();
    report.profile = Some(Profile { gpu_clock: false, phases: Vec::new() });
    report
}

/// What stands in the element of the data.
fn data(page: &str) -> serde_json::Value {
    let (_, rest) = page.split_once(r#"<script type="application/json" id="data">"#).unwrap();
    serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
}

#[test]
fn a_page_holds_the_data_and_loads_nothing() {
    let reports = [phone(), odd(), bare()];
    let page = html(&reports);
    assert_eq!(data(&page), serde_json::to_value(&reports).unwrap());
    for load in ["http://", "https://", "src=", "@import", "url(", "import("] {
        assert!(!page.contains(load), "the page has {load}");
    }
    assert!(page.contains("default-src 'none'"));
}

#[test]
fn names_cannot_end_the_data() {
    let page = html(&[odd()]);
    assert_eq!(page.matches("</script>").count(), 2);
    assert_eq!(data(&page)[0]["device"]["name"], odd().device.name);
}

#[test]
fn a_browser_draws_pages_at_any_width() {
    let folder = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/report_screenshots.sh");
    let pages = [
        ("one", vec![phone()], 17),
        ("five", vec![phone(), odd(), phone(), bare(), phone()], 22),
        ("odd", vec![odd()], 2),
        ("bare", vec![bare()], 2),
        ("none", Vec::new(), 0),
    ];
    for (name, reports, charts) in pages {
        let path = folder.path().join(format!("{name}.html"));
        std::fs::write(&path, html(&reports)).unwrap();
        let Output { status, stdout, stderr } = Command::new(&script).arg(&path).output().unwrap();
        let [said, error] = [stdout, stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        if status.code() == Some(3) {
            println!("skipped: {error}");
            return;
        }
        assert!(status.success(), "{name}: {said}{error}");
        let drawn = said.matches(&format!("charts={charts}\n")).count();
        assert_eq!(drawn, 2, "{name} should have {charts} charts at both widths: {said}");
    }
}
