//! Measurements and saved reports as pages.

use std::{fs, path::Path};

use crate::{models, refuse, succeed, text};

#[test]
fn measurements_become_a_page_and_saved_reports_too() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::language(folder.path());
    let [page, saved] = ["page.html", "saved.json"].map(|name| folder.path().join(name));
    let args = ["bench", text(&model), "-p", "4", "-n", "2", "-r", "1", "--json", "--html", text(&page)];
    let json = succeed(&args);
    assert!(fs::read_to_string(&page).unwrap().contains(r#""tokens":4"#));
    fs::write(&saved, json).unwrap();
    let phone = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bench/tests/reports/phone.json");
    succeed(&["bench", "report", text(&saved), text(&phone), "-o", text(&page)]);
    let both = fs::read_to_string(&page).unwrap();
    assert_eq!(both.matches(r#"{"schema":"#).count(), 2);
    assert_eq!(succeed(&["bench", "report", text(&saved), text(&phone)]), both);
}

#[test]
fn what_is_no_report_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("odd.json");
    refuse(&["bench", "report", text(&path)], 1, &["odd.json", "No such file"]);
    fs::write(&path, "[]").unwrap();
    refuse(&["bench", "report", text(&path)], 1, &["odd.json", "no report", "bench … --json"]);
    let phone = include_str!("../../../bench/tests/reports/phone.json");
    fs::write(&path, phone.replacen(r#""schema":1"#, r#""schema":9"#, 1)).unwrap();
    refuse(&["bench", "report", text(&path)], 1, &["odd.json", "form 9"]);
    refuse(&["bench", "report"], 2, &[]);
}
