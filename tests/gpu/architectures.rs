//! Tiny models of many architectures, by several exporters: the other runtime's logits for a prompt and the steps
//! behind it, whole, in chunks, and padded on the left.

use tests::{Choices, models};

use crate::models::{CLOSE, differences};

fn check(exporter: &str, least: usize) {
    let (mut count, mut wrong) = (0, Vec::new());
    for folder in models("architectures") {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !name.ends_with(exporter) {
            continue;
        }
        count += 1;
        for (which, chunk) in [("expected", 64), ("expected", 5), ("expected", 1), ("expected_padded", 64)] {
            if !folder.join(which).is_dir() {
                continue;
            }
            match differences(&folder, which, Choices::default(), chunk) {
                Ok((prefill, decode)) if prefill < CLOSE && decode < CLOSE => {}
                Ok((prefill, decode)) => {
                    wrong.push(format!("{name} {which} in {chunk}s: {prefill:.1e} and {decode:.1e} apart"));
                }
                Err(e) => wrong.push(format!("{name} {which}: {e}")),
            }
        }
    }
    assert!(count >= least, "{count} models of {exporter}, {least} were made");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn models_of_torch_export_give_the_other_runtimes_logits() {
    check("_dynamo20", 19);
}

#[test]
fn models_of_transformers_give_the_other_runtimes_logits() {
    check("_hf20", 19);
}

#[test]
fn models_of_torchscript_give_the_other_runtimes_logits() {
    check("_ts17", 16);
}

#[test]
fn models_of_optimum_give_the_other_runtimes_logits() {
    check("_optimum", 15);
}

#[test]
fn models_of_the_model_builder_give_the_other_runtimes_logits() {
    check("_genai_fp32", 8);
}
