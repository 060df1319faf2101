//! `run`, `chat`, `quantize`, `bench` on a tiny model whose greedy tokens are known from another runtime.

use std::{fs, io::Write, process::Stdio};

use crate::{finish, models, program, refuse, succeed, text};

const F32: [&str; 4] = ["--format", "f32", "--embedding", "f32"];

#[test]
fn run_gives_the_tokens_that_torch_gives() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::language(folder.path());
    let prompt = folder.path().join("prompt");
    fs::write(&prompt, models::expected("prompt_ids.npy")).unwrap();
    let wanted = models::expected("greedy_tokens.npy");
    let wanted = String::from_utf8(wanted).unwrap();
    let count = wanted.len().to_string();
    let args =
        [&["run", text(&model), "--raw", "--prompt-file", text(&prompt), "-n", &count][..], &F32].concat();
    assert_eq!(succeed(&args), format!("{wanted}\n"));
    for chunk in ["1", "5"] {
        assert_eq!(
            succeed(&[&args[..], &["--chunk", chunk]].concat()),
            format!("{wanted}\n"),
            "chunk {chunk}"
        );
    }

    let packed = folder.path().join("tiny.halfbyte");
    let said = succeed(&[&["quantize", text(&model), "-o", text(&packed)][..], &F32].concat());
    assert!(said.contains("layers f32, embedding f32"), "{said}");
    let said =
        succeed(&["run", text(&packed), "--raw", "--prompt-file", text(&prompt), "-n", &count, "--json"]);
    let json: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(json["text"], wanted);
    assert_eq!(json["ended"], "length");
    assert_eq!(json["prefill"]["tokens"], 12);
    assert_eq!(json["decode"]["tokens"], wanted.len() - 1);

    let stop = &wanted[4..6];
    let said = succeed(&[&args[..], &["--stop", stop]].concat());
    assert_eq!(said, format!("{}\n", &wanted[..4]));

    fs::write(
        folder.path().join("generation_config.json"),
        format!("{{\"eos_token_id\": {}}}", wanted.as_bytes()[7]),
    )
    .unwrap();
    assert_eq!(succeed(&args), format!("{}\n", &wanted[..7]));
}

#[test]
fn an_answer_ends_where_the_context_does() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::language(folder.path());
    let json = succeed(&["run", text(&model), "--prompt", "Hello", "--context", "24", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["prefill"]["tokens"], "(user: Hello)(".len());
    assert_eq!((json["ended"].as_str(), json["tokens"].as_u64()), (Some("context"), Some(24 - 14 + 1)));
}

#[test]
fn chat_runs_only_what_is_new() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::language(folder.path());
    let mut child = program()
        .args(["chat", text(&model), "-n", "4", "--figures"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = b"one\ntwo\n/reset\none\n/quit\nnever\n";
    child.stdin.take().unwrap().write_all(lines).unwrap();
    let output = child.wait_with_output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{err}");
    let cached = |line: &&str| line.contains("were in the cache");
    let turns: Vec<&str> = err.lines().filter(cached).collect();
    assert_eq!(turns.len(), 3, "{err}");
    assert!(turns[0].starts_with("[0 tokens"), "{err}");
    // Three generated tokens were run; the template puts "assistant: " before them in the next turn, so only the first
    // turn's prompt can be kept.
    assert!(turns[1].starts_with("[12 tokens"), "{err}");
    assert!(turns[2].starts_with("[11 tokens") && turns[2].contains("prefill 1 tokens"), "{err}");
}

#[test]
fn seeds_repeat() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::language(folder.path());
    let with = |seed| {
        let args =
            ["run", text(&model), "--prompt", "x", "-n", "8", "--temperature", "2", "--seed", seed, "--json"];
        let json: serde_json::Value = serde_json::from_str(&succeed(&args)).unwrap();
        json["text"].as_str().unwrap().to_owned()
    };
    assert_eq!(with("1"), with("1"));
    assert_ne!(with("1"), with("2"));
}

#[test]
fn bench_measures_what_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::language(folder.path());
    let args = ["bench", text(&model), "--prefill", "8", "--decode", "4", "--depth", "0,16", "--repeat", "2"];
    let table = succeed(&args);
    for row in ["| pp8 |", "| pp8 @ d16 |", "| tg4 |", "| tg4 @ d16 |"] {
        assert_eq!(table.matches(row).count(), 2, "{table}");
    }
    let json: serde_json::Value = serde_json::from_str(&succeed(&[&args[..], &["--json"]].concat())).unwrap();
    let lines = json["measurements"].as_array().unwrap();
    assert_eq!(lines.len(), 4);
    assert!(lines.iter().all(|l| l["rate"]["median"].as_f64().unwrap() > 0.0), "{json}");
    assert!(lines.iter().all(|l| l["copied_bytes_per_token"] == 0.0), "{json}");
    let positive = |l: &serde_json::Value| l.as_f64().unwrap() > 0.0;
    assert!(
        lines.iter().all(|l| positive(&l["cpu_ms_per_token"]) && positive(&l["submit_ms"]["longest"])),
        "{json}"
    );
    let (prefill, decode) = (&lines[0], &lines[2]);
    let first = &prefill["first_token_ms"]["median"];
    assert!(positive(first) && decode["first_token_ms"].is_null(), "{json}");
    assert_eq!((&decode["token_ms"]["count"], &decode["rate"]["count"]), (&8.into(), &2.into()), "{json}");
    assert!(positive(&decode["of_read"]) && positive(&prefill["of_arithmetic"]), "{json}");
    let uncut = succeed(&[&args[..], &["--max-submit-ms", "0"]].concat());
    assert!(uncut.contains("| tg4 @ d16 |"), "{uncut}");
}

#[test]
fn bench_writes_a_row_for_each_test() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::language(folder.path());
    let args = ["bench", text(&model), "-p", "2-4*2", "-n", "2", "-r", "1", "-o"];
    let said = |format| succeed(&[&args[..], &[format]].concat());
    let csv = said("csv");
    assert_eq!(csv.lines().count(), 4, "{csv}");
    assert!(csv.starts_with("build_commit,"), "{csv}");
    let rows: Vec<serde_json::Value> =
        said("jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let tests: Vec<_> = rows.iter().map(|row| (&row["n_prompt"], &row["n_gen"])).collect();
    let number = serde_json::Value::from;
    assert_eq!(tests, [(&number(2), &number(0)), (&number(4), &number(0)), (&number(0), &number(2))]);
    assert!(rows.iter().all(|row| row["avg_ts"].as_f64().unwrap() > 0.0), "{rows:?}");
    let sql = said("sql");
    assert_eq!(sql.matches("INSERT INTO halfbyte_bench").count(), 3, "{sql}");
    refuse(&[&args[..4], &["-d", "9-1"]].concat(), 2, &["ends before it begins", "first-last+step"]);
}

#[test]
fn bench_tells_operators_and_a_long_run_and_compares_reports() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::language(folder.path());
    let file = |name: &str| folder.path().join(name);
    let (trace, report) = (file("trace.json"), file("report.json"));
    let work = ["bench", text(&model), "-p", "4", "-n", "2", "-r", "2", "--json"];
    let more = ["--sustained", "200ms", "--rest", "10ms", "--profile", "--trace", text(&trace)];
    let said = succeed(&[&work[..], &more].concat());
    fs::write(&report, &said).unwrap();
    let json: serde_json::Value = serde_json::from_str(&said).unwrap();
    let list = |value: &serde_json::Value| value.as_array().unwrap().clone();
    let decode = &json["profile"]["phases"][1];
    let calls = list(&decode["calls"]).len();
    let sum = |of: &str| list(&decode[of]).iter().map(|one| one["calls"].as_u64().unwrap()).sum::<u64>();
    assert_eq!((sum("operators"), sum("kernels")), (calls as u64, calls as u64), "{decode}");
    assert!(list(&decode["operators"]).iter().any(|one| one["layer"] == 1), "{decode}");
    assert!(!list(&json["sustained"]["samples"]).is_empty() && json["sustained"]["test"] == "tg2", "{json}");
    assert!(list(&json["maps"]).iter().all(|map| !list(&map["slots"]).is_empty()), "{json}");
    let traced: serde_json::Value = serde_json::from_str(&fs::read_to_string(&trace).unwrap()).unwrap();
    let spans = list(&traced["traceEvents"]).into_iter().filter(|event| event["ph"] == "X").count();
    assert!(spans > calls, "{spans} {calls}");

    let same = succeed(&["bench", "compare", text(&report), text(&report)]);
    assert!(same.contains("nothing is slower by more than 5.0 %"), "{same}");
    let slow = file("slow.json");
    let mut slower = json.clone();
    let median = slower["measurements"][1]["rate"]["median"].as_f64().unwrap();
    slower["measurements"][1]["rate"]["median"] = (median * 0.9).into();
    fs::write(&slow, slower.to_string()).unwrap();
    let said = finish(program().args(["bench", "compare", text(&report), text(&slow)]));
    assert!(said.code == Some(1) && said.out.contains("| 0.900 | slower |"), "{said:?}");
    assert!(said.err.contains("1 slower"), "{said:?}");
    succeed(&["bench", "compare", text(&report), text(&slow), "--margin", "15"]);
    slower["schema"] = 0.into();
    fs::write(&slow, slower.to_string()).unwrap();
    refuse(&["bench", "compare", text(&report), text(&slow)], 1, &["a report of form 0", "--json"]);
    refuse(&["bench", "compare", text(&report), text(&trace)], 1, &["no report"]);
}

#[test]
fn bench_compares_two_sets_of_options_in_turns() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::language(folder.path());
    let work = ["bench", text(&model), "-p", "0", "-n", "2", "-r", "24", "--ab"];
    let json: serde_json::Value =
        serde_json::from_str(&succeed(&[&work[..], &["", "--slow-by 2900", "--json"]].concat())).unwrap();
    let round = &json["rounds"][0];
    assert_eq!((&round["test"], &round["ratio"]["verdict"]), (&"tg2".into(), &"slower".into()), "{json}");
    assert!(round["ratio"]["high"].as_f64().unwrap() < 0.5, "{json}");
    refuse(&[&work[..6], &["-r", "3", "--ab", "", ""]].concat(), 2, &["--repeat 24 at least"]);
    refuse(&[&work[..], &["", "--frobnicate"]].concat(), 2, &["--frobnicate"]);
}

#[test]
fn bench_watches_frames_beside_prompts() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::language(folder.path());
    let said = succeed(&["bench", text(&model), "-p", "16", "-n", "0", "--ui", "300ms"]);
    assert!(said.contains("| nothing |") && said.contains("| pp16 uncut"), "{said}");
}

#[test]
fn a_disk_that_is_full_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::language(folder.path());
    let target = folder.path().join("out").join("tiny.halfbyte");
    fs::create_dir(target.parent().unwrap()).unwrap();
    let line = format!(
        "trap '' XFSZ; ulimit -f 8; exec {} quantize {} -o {}",
        env!("CARGO_BIN_EXE_halfbyte"),
        text(&model),
        text(&target)
    );
    let said = finish(std::process::Command::new("bash").args(["-c", &line]));
    crate::refused(&said, 1, &["tiny.halfbyte cannot be written", "nothing is left of it"]);
    assert_eq!(fs::read_dir(target.parent().unwrap()).unwrap().count(), 0);
}
