//! How often each pattern is fused in each exporter's models: in prefill and in decode, with padding and without. A
//! form that is not recognised any more fails here, before it is only a slow model.

use engine::{
    error::EngineError,
    graph::Node,
    host::WeightFormat,
    infer,
    language::{LanguageModel, LanguageOptions, Phase, Prepared},
    op::{Elem, LowerOptions, WeightPacking, WeightUse},
    open::ModelFile,
    passes::{self, PassOptions, Refusal, WeightFormats},
};
use symbolic::Substitution;

/// What fusion finds. What an exporter writes as one operator is not found: opset 23 has norms and rotary embedding.
const PATTERNS: [&str; 6] = ["RMSNorm", "Activation", "Gate", "RoPE", "Attention", "Unseen rows"];

/// Models of two layers.
const MODELS: [(&str, [usize; 6]); 106] = [
    ("architectures/bloom_dynamo20", [0, 2, 0, 0, 0, 0]),
    ("architectures/bloom_hf20", [0, 2, 0, 0, 0, 0]),
    ("architectures/bloom_optimum", [0, 2, 0, 0, 0, 0]),
    ("architectures/bloom_ts17", [0, 2, 0, 0, 0, 0]),
    ("architectures/falcon_dynamo20", [0, 0, 0, 4, 2, 0]),
    ("architectures/falcon_hf20", [0, 0, 0, 4, 2, 2]),
    ("architectures/falcon_ts17", [0, 2, 0, 4, 2, 0]),
    ("architectures/gemma2_dynamo20", [9, 0, 2, 4, 2, 0]),
    ("architectures/gemma2_genai_fp32", [0, 0, 2, 0, 2, 0]),
    ("architectures/gemma2_hf20", [9, 0, 2, 4, 2, 0]),
    ("architectures/gemma2_optimum", [9, 2, 2, 4, 2, 0]),
    ("architectures/gemma2_ts17", [9, 2, 2, 4, 2, 0]),
    ("architectures/gemma3_dynamo20", [13, 0, 2, 4, 2, 0]),
    ("architectures/gemma3_genai_fp32", [0, 0, 2, 0, 2, 0]),
    ("architectures/gemma3_hf20", [13, 0, 2, 4, 2, 2]),
    ("architectures/gemma3_optimum", [13, 2, 2, 4, 2, 0]),
    ("architectures/gemma3_ts17", [13, 2, 2, 4, 2, 0]),
    ("architectures/gemma_dynamo20", [5, 0, 2, 4, 2, 0]),
    ("architectures/gemma_genai_fp32", [0, 0, 2, 0, 2, 0]),
    ("architectures/gemma_hf20", [5, 0, 2, 4, 2, 2]),
    ("architectures/gemma_optimum", [5, 2, 2, 4, 2, 0]),
    ("architectures/gemma_ts17", [5, 2, 2, 4, 2, 0]),
    ("architectures/glm4_dynamo20", [9, 2, 2, 4, 2, 0]),
    ("architectures/glm4_hf20", [9, 2, 2, 4, 2, 2]),
    ("architectures/glm_dynamo20", [5, 2, 2, 4, 2, 0]),
    ("architectures/glm_hf20", [5, 2, 2, 4, 2, 2]),
    ("architectures/glm_optimum", [5, 2, 2, 4, 2, 0]),
    ("architectures/gpt2_dynamo20", [0, 2, 0, 0, 2, 0]),
    ("architectures/gpt2_hf20", [0, 2, 0, 0, 2, 2]),
    ("architectures/gpt2_optimum", [0, 2, 0, 0, 2, 0]),
    ("architectures/gpt2_ts17", [0, 2, 0, 0, 2, 0]),
    ("architectures/llama_dynamo20", [5, 2, 2, 4, 2, 0]),
    ("architectures/llama_genai_fp32", [0, 2, 2, 0, 2, 0]),
    ("architectures/llama_hf20", [5, 2, 2, 4, 2, 2]),
    ("architectures/llama_optimum", [5, 2, 2, 4, 2, 0]),
    ("architectures/llama_ts17", [5, 2, 2, 4, 2, 0]),
    ("architectures/mistral_dynamo20", [5, 2, 2, 4, 2, 0]),
    ("architectures/mistral_genai_fp32", [0, 2, 2, 0, 2, 0]),
    ("architectures/mistral_hf20", [5, 2, 2, 4, 2, 2]),
    ("architectures/mistral_optimum", [5, 2, 2, 4, 2, 0]),
    ("architectures/mistral_ts17", [5, 2, 2, 4, 2, 0]),
    ("architectures/mixtral_dynamo20", [5, 2, 2, 4, 2, 0]),
    ("architectures/mixtral_hf20", [5, 2, 2, 4, 2, 2]),
    ("architectures/mixtral_ts17", [5, 2, 2, 4, 2, 0]),
    ("architectures/olmo2_dynamo20", [9, 2, 2, 4, 2, 0]),
    ("architectures/olmo2_hf20", [9, 2, 2, 4, 2, 2]),
    ("architectures/olmo2_optimum", [9, 2, 2, 4, 2, 0]),
    ("architectures/olmo2_ts17", [9, 2, 2, 4, 2, 0]),
    ("architectures/phi3_dynamo20", [5, 2, 2, 4, 2, 0]),
    ("architectures/phi3_genai_fp32", [0, 2, 2, 0, 2, 0]),
    ("architectures/phi3_hf20", [5, 2, 2, 4, 2, 2]),
    ("architectures/phi3_long_dynamo20", [5, 2, 2, 4, 2, 0]),
    ("architectures/phi3_long_hf20", [5, 2, 2, 4, 2, 2]),
    ("architectures/phi3_long_optimum", [5, 2, 2, 4, 2, 0]),
    ("architectures/phi3_optimum", [5, 2, 2, 4, 2, 0]),
    ("architectures/phi3_ts17", [5, 2, 2, 4, 2, 0]),
    ("architectures/qwen2_dynamo20", [5, 2, 2, 4, 2, 0]),
    ("architectures/qwen2_genai_fp32", [0, 2, 2, 0, 2, 0]),
    ("architectures/qwen2_hf20", [5, 2, 2, 4, 2, 2]),
    ("architectures/qwen2_optimum", [5, 2, 2, 4, 2, 0]),
    ("architectures/qwen2_ts17", [5, 2, 2, 4, 2, 0]),
    ("architectures/qwen3_dynamo20", [9, 2, 2, 4, 2, 0]),
    ("architectures/qwen3_genai_fp32", [0, 2, 2, 0, 2, 0]),
    ("architectures/qwen3_hf20", [9, 2, 2, 4, 2, 2]),
    ("architectures/qwen3_moe_dynamo20", [9, 2, 2, 4, 2, 0]),
    ("architectures/qwen3_moe_hf20", [9, 2, 2, 4, 2, 2]),
    ("architectures/qwen3_moe_ts17", [9, 2, 2, 4, 2, 0]),
    ("architectures/qwen3_optimum", [9, 2, 2, 4, 2, 0]),
    ("architectures/qwen3_ts17", [9, 2, 2, 4, 2, 0]),
    ("architectures/smollm3_dynamo20", [5, 2, 2, 2, 2, 0]),
    ("architectures/smollm3_hf20", [5, 2, 2, 2, 2, 2]),
    ("architectures/smollm3_optimum", [5, 2, 2, 2, 2, 0]),
    ("architectures/smollm3_ts17", [5, 2, 2, 2, 2, 0]),
    ("architectures/stablelm_dynamo20", [0, 2, 2, 4, 2, 0]),
    ("architectures/stablelm_hf20", [0, 2, 2, 4, 2, 2]),
    ("architectures/stablelm_optimum", [0, 2, 2, 4, 2, 0]),
    ("architectures/stablelm_ts17", [0, 2, 2, 4, 2, 0]),
    ("caches/attention23", [0, 2, 2, 0, 2, 2]),
    ("caches/circular24", [0, 2, 2, 0, 0, 0]),
    ("caches/scatter24", [0, 2, 2, 0, 2, 2]),
    ("caches/scatter24_fixed", [0, 2, 2, 0, 2, 2]),
    ("caches/static20", [5, 2, 2, 4, 2, 2]),
    ("caches/static24", [5, 2, 2, 4, 2, 2]),
    ("dialects/gemma3_dynamo20", [13, 0, 2, 4, 2, 0]),
    ("dialects/gemma3_dynamo23", [0, 0, 2, 0, 2, 0]),
    ("dialects/llama_20", [5, 2, 2, 4, 2, 2]),
    ("dialects/llama_23", [0, 2, 2, 0, 2, 2]),
    ("dialects/llama_24", [5, 2, 2, 4, 2, 2]),
    ("dialects/llama_genai_graph", [0, 2, 2, 0, 2, 0]),
    ("dialects/llama_genai_int4", [0, 2, 2, 0, 2, 0]),
    ("dialects/llama_genai_int8", [0, 2, 2, 0, 2, 0]),
    ("dialects/llama_optimum", [5, 2, 2, 4, 2, 0]),
    ("dialects/llama_qdq_blocks", [5, 2, 2, 4, 2, 2]),
    ("dialects/llama_qdq_channels", [5, 2, 2, 4, 2, 2]),
    ("dialects/llama_webgpu", [0, 2, 2, 0, 2, 0]),
    ("dialects/phi3_20", [5, 2, 2, 4, 2, 2]),
    ("dialects/qwen2_20", [5, 2, 2, 4, 2, 2]),
    ("dialects/qwen3_23", [0, 2, 2, 0, 2, 2]),
    ("dialects/qwen3_genai_fp16", [0, 2, 2, 0, 2, 0]),
    ("dialects/qwen3_optimum", [9, 2, 2, 4, 2, 0]),
    ("tiny_llama/dynamo18", [5, 2, 2, 4, 2, 0]),
    ("tiny_llama/dynamo20", [5, 2, 2, 4, 2, 0]),
    ("tiny_llama/dynamo20_fp16", [5, 2, 2, 4, 2, 0]),
    ("tiny_llama/dynamo23", [0, 2, 2, 0, 2, 0]),
    ("tiny_llama/ts14", [5, 2, 2, 4, 2, 0]),
    ("tiny_llama/ts20", [5, 2, 2, 4, 2, 0]),
];

/// What is refused, why, and by which operator: BLOOM's scores are reshaped between their product and their sum with the
/// mask; a circular cache's mask is not linear in the slot.
const REFUSED: [(&str, &str, &str); 2] = [
    ("architectures/bloom_", "a sum has no product of queries and keys in it", " = Add("),
    ("caches/circular24", "which is not [batch, key] of integers", " = "),
];

/// What takes no padding on the left: nothing but a count of positions is made of the mask.
const UNPADDED: [&str; 13] = [
    "architectures/gemma2_genai_fp32",
    "architectures/gemma3_genai_fp32",
    "architectures/gemma_genai_fp32",
    "architectures/llama_genai_fp32",
    "architectures/mistral_genai_fp32",
    "architectures/phi3_genai_fp32",
    "architectures/qwen2_genai_fp32",
    "architectures/qwen3_genai_fp32",
    "caches/circular24",
    "dialects/llama_genai_graph",
    "dialects/llama_genai_int4",
    "dialects/llama_genai_int8",
    "dialects/qwen3_genai_fp16",
];

fn formats() -> PassOptions {
    PassOptions { formats: WeightFormats::uniform(WeightFormat::F32), fuse: true }
}

pub(crate) fn prepare(model: &LanguageModel, phase: Phase, padding: bool) -> Result<Prepared, EngineError> {
    let device = devices::Target::from_profile(devices::by_name("adreno-750").unwrap());
    let options = LanguageOptions {
        lower: LowerOptions { target: (&device).into(), activations: Elem::F32 },
        passes: formats(),
        context: 64,
        cache: Elem::F32,
        padding,
        all_logits: false,
    };
    model.prepare(phase, &options)
}

/// The names of all models, and the models.
pub(crate) fn models() -> impl Iterator<Item = (&'static str, LanguageModel)> {
    MODELS.iter().map(|(name, _)| (*name, model(name)))
}

fn model(name: &str) -> LanguageModel {
    let file =
        ModelFile::open(&tests::fixture(name).join("model.onnx")).unwrap_or_else(|e| panic!("{name}: {e}"));
    LanguageModel::recognise(file.graph).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// What one model's fusions are that they should not be.
fn differences(name: &str, counts: [usize; 6]) -> Vec<String> {
    let model = model(name);
    let mut wrong = Vec::new();
    for padding in [false, true] {
        for phase in [Phase::Prefill { chunk: 16 }, Phase::Decode] {
            let mut say = |text: String| wrong.push(format!("{name} {phase:?}, padding {padding}: {text}"));
            let refused = padding && UNPADDED.contains(&name);
            let Prepared { graph, report, .. } = match prepare(&model, phase, padding) {
                Ok(_) if refused => {
                    say("padding is not refused".to_owned());
                    continue;
                }
                Err(error) if refused && error.to_string().contains("would attend to padding") => continue,
                Err(error) => {
                    say(error.to_string());
                    continue;
                }
                Ok(prepared) => prepared,
            };
            let found = PATTERNS.map(|p| report.applied.get(p).copied().unwrap_or(0));
            if found != counts {
                say(format!("{found:?}, not {counts:?} of {PATTERNS:?}"));
            }
            let expected = |r: &&Refusal| {
                let fits = |(of, reason, line): &(&str, &str, &str)| {
                    name.starts_with(of) && r.reason.contains(reason) && r.line.contains(line)
                };
                REFUSED.iter().any(fits)
            };
            let (known, new): (Vec<_>, Vec<_>) = report.refused.iter().partition(expected);
            new.iter().for_each(|r| say(format!("{r:?}")));
            let scores = |n: &&Node| graph.fact(n.outputs[0]).is_some_and(|f| f.rank() > 2);
            let plain = graph.nodes.iter().filter(|n| ["Softmax", "MaskedAttention"].contains(&n.op.name()));
            let plain = plain.filter(scores);
            if plain.count() > known.len() {
                say("attention is left as it was".to_owned());
            }
        }
    }
    wrong
}

#[test]
fn every_form_is_fused_in_prefill_and_decode_with_padding_and_without() {
    let mut wrong = Vec::new();
    for group in ["architectures", "caches", "dialects", "tiny_llama"] {
        for folder in tests::models(group) {
            let name = format!("{group}/{}", folder.file_name().unwrap().to_string_lossy());
            match MODELS.iter().find(|(known, _)| *known == name) {
                Some((_, counts)) => wrong.extend(differences(&name, *counts)),
                None => wrong.push(format!("{name} has no row in MODELS")),
            }
        }
    }
    let gone = MODELS.iter().filter(|(name, _)| !tests::fixture(name).is_dir());
    wrong.extend(gone.map(|(name, _)| format!("{name} is no model any more")));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The matrices of a token's experts are multiplied where they lie: nothing gathers them.
#[test]
fn experts_are_not_gathered() {
    let (mut checked, mut wrong) = (0, Vec::new());
    let mixtures = MODELS.iter().filter(|(name, _)| name.contains("mixtral") || name.contains("moe"));
    for (name, _) in mixtures {
        let model = model(name);
        for phase in [Phase::Prefill { chunk: 16 }, Phase::Decode] {
            let Prepared { graph, report, plan, .. } = prepare(&model, phase, false).unwrap();
            let gathers = |n: &&Node| {
                let chosen = graph.fact(n.outputs[0]).is_some_and(|f| f.rank() == 3);
                chosen && n.op.name().starts_with("Gather") && n.op.name() != "GatherRows"
            };
            let gathers = graph.nodes.iter().filter(gathers).count();
            let plain = |w: &&WeightUse| matches!(w.packing, WeightPacking::Plain(_)) && w.k >= 1 << 10;
            let plain = plan.weights.iter().filter(plain).count();
            // Two layers, with a product before and one behind the activation.
            let found = (report.applied["Experts"], gathers, plain);
            if found != (4, 0, 0) {
                wrong.push(format!("{name} {phase:?}: {found:?}"));
            }
            checked += 1;
        }
    }
    assert!(checked == 12 && wrong.is_empty(), "{checked} {}", wrong.join("\n"));
}

/// Encoders and the decoders behind them, of two layers each: a decoder's have attention to the encoder besides.
#[test]
fn attention_of_encoders_and_their_decoders_is_fused() {
    let files = [
        ("encoders", "model.onnx", 2),
        ("encoder_decoders", "encoder_model.onnx", 2),
        ("encoder_decoders", "decoder_with_past_model.onnx", 4),
        ("encoder_decoders", "decoder_model_merged.onnx", 4),
    ];
    let mut wrong = Vec::new();
    for (group, file, layers) in files {
        for path in tests::models_with(group, file).iter().map(|folder| folder.join(file)) {
            let name = path.display();
            let mut graph = ModelFile::open(&path).unwrap_or_else(|e| panic!("{name}: {e}")).graph;
            let report = if file.starts_with("decoder") {
                let model = LanguageModel::recognise(graph).unwrap_or_else(|e| panic!("{name}: {e}"));
                prepare(&model, Phase::Decode, false).unwrap_or_else(|e| panic!("{name}: {e}")).report
            } else {
                passes::run(&mut graph, &formats()).unwrap_or_else(|e| panic!("{name}: {e}"))
            };
            let found = report.applied.get("Attention").copied().unwrap_or(0);
            if found != layers {
                wrong.push(format!("{name}: {found} of {layers}: {:#?}", report.refused));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What a run has symbols for is read as a formula, what has numbers as constants: both are to give the padding itself,
/// not a table of what to add to each score.
#[test]
fn the_padding_of_encoders_is_a_rule_with_symbols_and_with_numbers() {
    // TorchScript looks the mask up by a position in all rows, which only numbers take apart again.
    let is_table = |path: &str, sizes: Option<_>| path.contains("_ts17") && sizes.is_none();
    let mut wrong = Vec::new();
    for path in tests::models("encoders").iter().map(|folder| folder.join("model.onnx")) {
        for sizes in [None, Some([2, 9]), Some([1, 9]), Some([2, 1])] {
            let name = format!("{} {sizes:?}", path.display());
            let mut graph = ModelFile::open(&path).unwrap_or_else(|e| panic!("{name}: {e}")).graph;
            let mut put = Substitution::new();
            for input in &graph.inputs {
                let shape = &graph.fact(*input).unwrap().shape;
                for (size, number) in shape.iter().zip(sizes.into_iter().flatten()) {
                    put.set(size.as_symbol().unwrap(), number);
                }
            }
            infer::specialise(&mut graph, &put);
            infer::infer(&mut graph).unwrap_or_else(|e| panic!("{name}: {e}"));
            let mask = graph.inputs.iter().find(|i| graph.value(**i).name == "attention_mask");
            graph.flags.extend(mask.copied());
            passes::run(&mut graph, &formats()).unwrap_or_else(|e| panic!("{name}: {e}"));
            let fused = graph.nodes.iter().filter(|n| n.op.name() == "Attention");
            let found: Vec<_> = fused.map(|n| (n.input(3).is_some(), n.input(4).is_some())).collect();
            let table = is_table(&name, sizes);
            if found != [(!table, table); 2] {
                wrong.push(format!("{name}: padding, bias: {found:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
