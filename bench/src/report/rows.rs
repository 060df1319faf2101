//! A report as flat rows, one for each test with everything in it, for spreadsheets and databases. Columns that llama-bench
//! has too have its names.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::{Map, Value};

use super::{Kind, Measurement, Report};

/// The table of the SQL.
const TABLE: &str = "halfbyte_bench";

/// A test with what it was taken on and under.
#[derive(Clone, Debug, Serialize)]
pub struct Row<'a> {
    build_commit: Option<&'a str>,
    build_version: &'a str,
    build_optimised: bool,
    system: &'a str,
    backends: &'a str,
    gpu_info: &'a str,
    driver: &'a str,
    profile: &'a str,
    f16: &'a str,
    limits: String,
    features: String,
    model_filename: &'a str,
    model_type: &'a str,
    model_size: u64,
    model_n_params: u64,
    activations: &'a str,
    type_kv: &'a str,
    n_batch: usize,
    context: usize,
    max_submit_ms: f64,
    repetitions: usize,
    n_prompt: usize,
    n_gen: usize,
    n_depth: usize,
    test_time: &'a str,
    avg_ns: f64,
    stddev_ns: f64,
    avg_ts: f64,
    stddev_ts: f64,
    median_ts: f64,
    min_ts: f64,
    max_ts: f64,
    samples_ts: String,
    first_token_ms: Option<f64>,
    token_ms_median: Option<f64>,
    token_ms_p5: Option<f64>,
    token_ms_p95: Option<f64>,
    dispatches_per_token: f64,
    bytes_per_token: f64,
    flops_per_token: f64,
    copied_bytes_per_token: f64,
    of_read: Option<f64>,
    of_arithmetic: Option<f64>,
    peak_read_bytes_per_second: Option<f64>,
    peak_f32_flops: Option<f64>,
    cpu_ms_per_token: f64,
    submit_ms_median: f64,
    submit_ms_longest: f64,
    hottest_c_before: Option<f64>,
    hottest_c_after: Option<f64>,
    start_kind: &'a str,
    start_seconds: f64,
    cache_bytes: u64,
    arena_bytes: u64,
    process_peak_bytes: Option<u64>,
    choices: String,
    variants_sound: usize,
    variants_struck: String,
}

impl Report {
    /// Its rows.
    #[must_use]
    pub fn rows(&self) -> Vec<Row<'_>> {
        self.measurements.iter().map(|m| self.row(m)).collect()
    }

    fn row<'a>(&'a self, m: &'a Measurement) -> Row<'a> {
        let Self { program, device, model, settings, start, memory, peaks, qualified, .. } = self;
        let nanoseconds: Vec<f64> = m.rates.iter().map(|rate| m.tokens as f64 * 1e9 / rate).collect();
        let nanoseconds = crate::Statistics::of(&nanoseconds);
        let of = |kind: Kind| if m.kind == kind { m.tokens } else { 0 };
        let choices: Map<String, Value> =
            self.choices.iter().map(|c| (c.problem.clone(), c.variant.clone().into())).collect();
        Row {
            build_commit: program.commit.as_deref(),
            build_version: &program.version,
            build_optimised: program.optimised,
            system: &program.system,
            backends: &device.backend,
            gpu_info: &device.name,
            driver: &device.driver,
            profile: &device.profile,
            f16: &device.f16,
            limits: json(&device.limits),
            features: json(&device.features),
            model_filename: &model.name,
            model_type: &model.format,
            model_size: memory.weights_bytes,
            model_n_params: model.parameters,
            activations: &settings.activations,
            type_kv: &settings.kv_cache,
            n_batch: settings.chunk,
            context: settings.context,
            max_submit_ms: settings.max_submit_ms,
            repetitions: settings.repetitions,
            n_prompt: of(Kind::Prefill),
            n_gen: of(Kind::Decode),
            n_depth: m.depth,
            test_time: &m.began,
            avg_ns: nanoseconds.map_or(0.0, |ns| ns.mean),
            stddev_ns: nanoseconds.map_or(0.0, |ns| ns.sd),
            avg_ts: m.rate.mean,
            stddev_ts: m.rate.sd,
            median_ts: m.rate.median,
            min_ts: m.rate.least,
            max_ts: m.rate.greatest,
            samples_ts: json(&m.rates),
            first_token_ms: m.first_token_ms.map(|t| t.median),
            token_ms_median: m.token_ms.map(|t| t.median),
            token_ms_p5: m.token_ms.map(|t| t.p5),
            token_ms_p95: m.token_ms.map(|t| t.p95),
            dispatches_per_token: m.dispatches_per_token,
            bytes_per_token: m.bytes_per_token,
            flops_per_token: m.flops_per_token,
            copied_bytes_per_token: m.copied_bytes_per_token,
            of_read: m.of_read,
            of_arithmetic: m.of_arithmetic,
            peak_read_bytes_per_second: peaks.map(|p| p.read),
            peak_f32_flops: peaks.map(|p| p.f32),
            cpu_ms_per_token: m.cpu_ms_per_token,
            submit_ms_median: m.submit_ms.median,
            submit_ms_longest: m.submit_ms.longest,
            hottest_c_before: self.sensors.hottest(&m.heat[0]),
            hottest_c_after: self.sensors.hottest(&m.heat[1]),
            start_kind: &start.kind,
            start_seconds: start.seconds,
            cache_bytes: memory.cache_bytes,
            arena_bytes: memory.arena_bytes,
            process_peak_bytes: memory.process_peak_bytes,
            choices: Value::Object(choices).to_string(),
            variants_sound: qualified.sound,
            variants_struck: json(&qualified.struck),
        }
    }
}

/// Lists and the like are one column, as JSON.
fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// A row's columns with their values, in order.
fn columns(row: &Row<'_>) -> Map<String, Value> {
    match serde_json::to_value(row) {
        Ok(Value::Object(columns)) => columns,
        _ => Map::new(),
    }
}

/// One object a line.
#[must_use]
pub fn jsonl(rows: &[Row<'_>]) -> String {
    rows.iter().map(|row| json(row) + "\n").collect()
}

/// With a line of names, quoted as RFC 4180 says.
#[must_use]
pub fn csv(rows: &[Row<'_>]) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        // A vector takes all that is written, and rows are flat.
        let _ = writer.serialize(row);
    }
    writer.into_inner().ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
}

/// A table, made where it is not there, and its rows.
#[must_use]
pub fn sql(rows: &[Row<'_>]) -> String {
    let mut text = String::new();
    let Some(first) = rows.first().map(columns) else { return text };
    let types = first.iter().map(|(name, value)| format!("  {name} {}", sql_type(name, value)));
    let _ =
        writeln!(text, "CREATE TABLE IF NOT EXISTS {TABLE} (\n{}\n);", types.collect::<Vec<_>>().join(",\n"));
    for row in rows {
        let row = columns(row);
        let names: Vec<&str> = row.keys().map(String::as_str).collect();
        let values: Vec<String> = row.values().map(sql_value).collect();
        let _ = writeln!(text, "INSERT INTO {TABLE} ({}) VALUES ({});", names.join(", "), values.join(", "));
    }
    text
}

fn sql_type(name: &str, value: &Value) -> &'static str {
    match value {
        Value::Bool(_) => "INTEGER",
        Value::Number(n) if n.is_u64() => "INTEGER",
        Value::Number(_) => "REAL",
        // What may be absent is a number, but for the commit.
        Value::Null if name != "build_commit" => "REAL",
        _ => "TEXT",
    }
}

fn sql_value(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Bool(b) => u8::from(*b).to_string(),
        Value::Number(n) => n.to_string(),
        Value::String(text) => format!("'{}'", text.replace('\'', "''")),
        other => format!("'{}'", other.to_string().replace('\'', "''")),
    }
}

#[cfg(test)]
mod tests {
    use super::{sql_type, sql_value};
    use serde_json::json;

    #[test]
    fn texts_are_quoted_and_what_is_absent_is_null() {
        assert_eq!(sql_value(&json!("it's")), "'it''s'");
        assert_eq!(sql_value(&json!(null)), "NULL");
        assert_eq!((sql_value(&json!(true)), sql_value(&json!(1.5))), ("1".to_owned(), "1.5".to_owned()));
        let types = ["a", "build_commit"].map(|name| sql_type(name, &json!(null)));
        assert_eq!(types, ["REAL", "TEXT"]);
    }
}
