//! Documents that are generated: `docs/operators.md` from the operator table, `docs/models.md` from the fixtures.
//! `UPDATE_DOCS=1 cargo nextest run -p tests --test null documents` writes them anew.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
};

use engine::ops::OPERATORS;
use tests::conformance::{tests, unpack};

/// Compares a document with what it should be, or writes it.
fn check(name: &str, wanted: &str) {
    let path = tests::root().join("docs").join(name);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, wanted).unwrap();
        return;
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == wanted,
        "docs/{name} is not what the tests generate; run: UPDATE_DOCS=1 cargo nextest run -p tests --test null documents"
    );
}

/// The operator files, in the order of the table.
fn files() -> Vec<String> {
    let entries = fs::read_dir(tests::root().join("engine/src/ops")).unwrap();
    let names = entries.map(|e| e.unwrap().path()).filter(|p| p.extension().is_some_and(|e| e == "rs"));
    let mut names: Vec<String> =
        names.filter_map(|p| Some(p.file_stem()?.to_str()?.to_owned())).filter(|n| n != "mod").collect();
    names.sort();
    names
}

#[test]
fn the_list_of_operators_is_that_of_the_table() {
    let folder = tempfile::tempdir().unwrap();
    unpack(&fs::read(tests::fixture("onnx_tests.bin")).unwrap(), folder.path()).unwrap();
    let mut kept: BTreeMap<String, usize> = BTreeMap::new();
    for test in tests(folder.path()).unwrap() {
        *kept.entry(test.operator).or_default() += 1;
    }
    let files = files();
    assert_eq!(files.len(), OPERATORS.len(), "the table has other files than the folder");
    let mut rows: BTreeMap<(&str, &str), (BTreeSet<String>, &str, usize)> = BTreeMap::new();
    for (operator, file) in OPERATORS.iter().zip(&files) {
        let cases = (operator.cases)().len();
        for name in operator.onnx {
            let row = rows.entry((name.domain, name.op_type)).or_insert((BTreeSet::new(), file, cases));
            row.0.insert(format!("{}–{}", name.versions.start(), name.versions.end()));
        }
    }
    let mut text = String::from(
        "# Operators\n\n\
         <!-- Generated: UPDATE_DOCS=1 cargo nextest run -p tests --test null documents -->\n\n\
         What an ONNX model may be made of. Floats of 16, 32 and 64 bits and bfloat16 are computed as the activations are \
         held, f32 or f16, those of 8 and 4 bits as f32; integers and booleans as 32 bits, except where they are shapes or indices known before the \
         run, which are exact 64-bit expressions. What is declined on purpose is in \
         [operators-declined.md](operators-declined.md).\n\n\
         *Cases* are those of the operator's file (several operators may share one), each run on the GPU and compared \
         with a reference in f64. *ONNX tests* are those of the package onnx 1.22.0 that `make test` runs; `make \
         conformance` runs all.\n\n\
         | operator | opset | file | cases | ONNX tests |\n|---|---|---|---:|---:|\n",
    );
    for ((domain, op_type), (versions, file, cases)) in rows {
        let name = if domain.is_empty() { op_type.to_owned() } else { format!("{domain}.{op_type}") };
        let versions: Vec<String> = versions.into_iter().collect();
        let onnx = kept.get(&name).copied().unwrap_or(0);
        writeln!(text, "| {name} | {} | `{file}.rs` | {cases} | {onnx} |", versions.join(", ")).unwrap();
    }
    check("operators.md", &text);
}

/// How a fixture's exporter is called in the document.
const EXPORTERS: [(&str, &str); 13] = [
    ("_dynamo18", "torch.export, opset 18"),
    ("_dynamo20_fp16", "torch.export, opset 20, fp16"),
    ("_dynamo20", "torch.export, opset 20"),
    ("_dynamo23", "torch.export, opset 23"),
    ("_ts14", "TorchScript, opset 14"),
    ("_ts17", "TorchScript, opset 17"),
    ("_ts20", "TorchScript, opset 20"),
    ("_20", "transformers, opset 20"),
    ("_hf20", "transformers, opset 20"),
    ("_23", "transformers, opset 23"),
    ("_24", "transformers, opset 24"),
    ("_optimum", "Optimum"),
    ("_webgpu", "transformers, ONNX Runtime's fusions"),
];

#[test]
fn the_list_of_models_is_that_of_the_fixtures() {
    let mut rows: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let groups = [
        ("tiny_llama", "llama_", "model.onnx"),
        ("dialects", "", "model.onnx"),
        ("architectures", "", "model.onnx"),
        ("encoders", "", "model.onnx"),
        ("encoder_decoders", "", "encoder_model.onnx"),
    ];
    for (group, family, file) in groups {
        for folder in tests::models_with(group, file) {
            let name = format!("{family}{}", folder.file_name().unwrap().to_string_lossy());
            let exporter =
                EXPORTERS.iter().find_map(|(end, exporter)| Some((name.strip_suffix(end)?, *exporter)));
            let genai = || name.split_once("_genai");
            let (model, exporter) = match exporter {
                Some((model, exporter)) => (model.to_owned(), exporter.to_owned()),
                None => {
                    let (model, form) =
                        genai().unwrap_or_else(|| panic!("{name} is by an exporter that has no name"));
                    (model.to_owned(), format!("onnxruntime-genai{}", form.replace('_', " ")))
                }
            };
            rows.entry(model).or_default().insert(exporter);
        }
    }
    let mut text = String::from(
        "# Models\n\n\
         <!-- Generated: UPDATE_DOCS=1 cargo nextest run -p tests --test null documents -->\n\n\
         Architectures and exporters of which a small model with random weights is held to ONNX Runtime's logits in \
         `make test`: a prompt whole, in chunks, and padded on the left, each with decode steps behind it. SmolLM2-135M \
         (a Llama) is checked with its real weights besides, by the five forms of PyTorch in fp32 and fp16. An exporter \
         that is not listed for an architecture was not tried, or cannot write it. BERT is an encoder: batches with padding \
         on either side. T5 is an encoder and a decoder: steps of the decoder, alone and in chunks.\n\n\
         | architecture | exporters |\n|---|---|\n",
    );
    for (model, exporters) in rows {
        let exporters: Vec<String> = exporters.into_iter().collect();
        writeln!(text, "| {model} | {} |", exporters.join("; ")).unwrap();
    }
    text.push_str(
        "\n## KV caches\n\nThe same Llama with its cache in each form that ONNX has, all kept in place:\n\n",
    );
    for folder in tests::models("caches") {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let what = match name.as_str() {
            "attention23" => "past and present of the operator Attention, opset 23",
            "scatter24" => {
                "TensorScatter into a cache of any length, Attention with the number of keys in use, opset 24"
            }
            "scatter24_fixed" => "the same with a length that the model fixes",
            "static20" => "transformers' StaticCache: ScatterND between transposes, opset 20",
            "static24" => "the same at opset 24",
            other => panic!("say in this test what the cache form {other:?} is"),
        };
        writeln!(text, "- {what}").unwrap();
    }
    text.push_str("- Concat of past and new positions: every model of the table\n");
    check("models.md", &text);
}
