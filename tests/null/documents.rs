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

/// Exporters, one column each.
const EXPORTERS: [&str; 5] = ["torch.export", "TorchScript", "Optimum", "onnxruntime-genai", "transformers"];

/// How the names of fixtures end: the exporter, and what else is said of it.
const FORMS: [(&str, usize, &str); 20] = [
    ("_dynamo18", 0, "opset 18"),
    ("_dynamo20_fp16", 0, "opset 20 fp16"),
    ("_dynamo20", 0, "opset 20"),
    ("_dynamo23", 0, "opset 23"),
    ("_ts14", 1, "opset 14"),
    ("_ts17", 1, "opset 17"),
    ("_ts20", 1, "opset 20"),
    ("_optimum", 2, "opset 18"),
    ("_genai_fp32", 3, "fp32"),
    ("_genai_fp16", 3, "fp16"),
    ("_genai_int4", 3, "int4"),
    ("_genai_int8", 3, "int8"),
    ("_genai_graph", 3, "int4, lengths on the GPU"),
    ("_20", 4, "opset 20"),
    ("_hf20", 4, "opset 20"),
    ("_23", 4, "opset 23"),
    ("_24", 4, "opset 24"),
    ("_webgpu", 4, "opset 20, ONNX Runtime's fusions"),
    ("_qdq_blocks", 4, "opset 21, quantised in blocks"),
    ("_qdq_channels", 4, "opset 21, quantised by channel"),
];

/// An exporter, models, and what is said of them.
type Note = (usize, &'static [&'static str], &'static str);

/// What is said of models that are tested.
const REMARKS: [Note; 2] = [
    (
        3,
        &["gemma2", "gemma3"],
        "caches of layers with a window keep the window only (sliding_window_cache of GroupQueryAttention)",
    ),
    (
        3,
        &["gemma3"],
        "the builder reads rope_type and rope_local_base_freq from config.rope_parameters, where transformers 5 has one \
         set for each kind of layer (KeyError in make_rope_init, also for gemma-3-1b-it); the fixture's config.json \
         states them there too",
    ),
];

/// What an exporter does not write, or not so that it can be run: exporter, models, why.
const FAILS: [Note; 8] = [
    (1, &["glm", "glm4"], TORCHSCRIPT_GLM),
    (2, &["glm4", "mixtral"], "Optimum 0.1.0 has no configuration for the architecture"),
    (2, &["falcon"], "Optimum's example of a cache has another number of heads than the model caches"),
    (
        2,
        &["qwen3_moe"],
        "Optimum traces a loop over the experts that gathers the tokens of each by NonZero: the sizes of tensors depend \
         on data",
    ),
    (
        3,
        &[
            "bert",
            "bloom",
            "falcon",
            "glm",
            "glm4",
            "gpt2",
            "mixtral",
            "olmo2",
            "qwen3_moe",
            "stablelm",
            "t5",
        ],
        "the model builder 0.18.0 does not support the architecture",
    ),
    (
        3,
        &["smollm3"],
        "the builder's SmolLM3Model.make_attention takes the rotary embedding out of attention where a layer has none; \
         make_attention_qk_rope then asks for position_ids, which make_attention_init removed: KeyError for every \
         checkpoint with such layers, as SmolLM3-3B; only a model whose no_rope_layers are all 1 is built",
    ),
    (1, &["phi3_long"], "torch fails on the choice of rotary factors: no aten::copy at opset 17"),
    (
        3,
        &["phi3_long"],
        "the builder chooses the table of short or long rotary factors by an If whose branches have different sizes, \
         which the engine refuses",
    ),
];

const TORCHSCRIPT_GLM: &str =
    "torch fails on the interleaved rotary embedding: AssertionError, all tensors must have the same rank";

#[test]
fn the_list_of_models_is_that_of_the_fixtures() {
    let mut rows: BTreeMap<String, [BTreeSet<&str>; EXPORTERS.len()]> = BTreeMap::new();
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
            let form = FORMS.iter().find_map(|(end, at, what)| Some((name.strip_suffix(end)?, *at, *what)));
            let (model, at, what) =
                form.unwrap_or_else(|| panic!("{name} is by an exporter that has no name"));
            rows.entry(model.to_owned()).or_default()[at].insert(what);
        }
    }
    let mut text = String::from(
        "# Models\n\n\
         <!-- Generated: UPDATE_DOCS=1 cargo nextest run -p tests --test null documents -->\n\n\
         Architectures and exporters of which a small model with random weights is held to ONNX Runtime's logits in \
         `make test`: a prompt whole, in chunks, token by token, and padded on the left (but not where the model makes \
         nothing of padding, as onnxruntime-genai's), each with decode steps behind it. BERT is an encoder: batches with \
         padding on either side. T5 is an encoder and a decoder: steps of the decoder, alone and in chunks. \
         SmolLM2-135M (a Llama) is checked with its real weights besides, by the five forms of PyTorch in fp32 and fp16. \
         phi3_long is a Phi-3 with the rotary factors of its 128k models. \
         A number is a note; – was not tried.\n\n",
    );
    writeln!(text, "| architecture | {} |\n|---|{}", EXPORTERS.join(" | "), "---|".repeat(EXPORTERS.len()))
        .unwrap();
    for (model, exporters) in rows {
        let cell = |(at, found): (usize, &BTreeSet<&str>)| {
            let notes: Vec<usize> = (1..)
                .zip(FAILS.iter().chain(&REMARKS))
                .filter(|(_, (of, models, _))| *of == at && models.contains(&model.as_str()))
                .map(|(number, _)| number)
                .collect();
            let fails = notes.iter().any(|n| *n <= FAILS.len());
            assert!(fails == found.is_empty() || notes.is_empty(), "{model} by {}: {notes:?}", EXPORTERS[at]);
            let what = match (fails, found.is_empty()) {
                (true, _) => "fails".to_owned(),
                (false, true) => "–".to_owned(),
                (false, false) => found.iter().copied().collect::<Vec<_>>().join("; "),
            };
            let numbers: Vec<String> = notes.iter().map(usize::to_string).collect();
            if numbers.is_empty() { what } else { format!("{what} ({})", numbers.join(", ")) }
        };
        let cells: Vec<String> = exporters.iter().enumerate().map(cell).collect();
        writeln!(text, "| {model} | {} |", cells.join(" | ")).unwrap();
    }
    text.push('\n');
    for (index, (_, _, why)) in FAILS.iter().chain(&REMARKS).enumerate() {
        writeln!(text, "{}. {why}", index + 1).unwrap();
    }
    text.push_str(
        "\nMixtures of experts are exported with transformers' `batched_mm`, which gathers the experts of each token. Its \
         `eager` experts cannot be exported by torch.export, nor its `grouped_mm` by torch.export or TorchScript; \
         transformers' own exporter writes `grouped_mm`, its default, with tensors whose sizes depend on data, and such a \
         model is refused with what to do.\n",
    );
    text.push_str(
        "\n## KV caches\n\nThe same Llama with its cache in each form that ONNX has, all kept in place:\n\n",
    );
    for folder in tests::models("caches") {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let what = match name.as_str() {
            "attention23" => "past and present of the operator Attention, opset 23",
            "circular24" => {
                "TensorScatter around and around into caches as long as the sliding window, opset 24 (a Mistral)"
            }
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
