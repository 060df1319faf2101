//! What other engines are said to reach on phones, with who said so; tokens a second.

use serde::Serialize;

/// A published measurement of someone else's.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Rival {
    /// Our profile for the GPU.
    pub profile: &'static str,
    /// Program and backend.
    pub engine: &'static str,
    /// Phone or chip.
    pub device: &'static str,
    /// Model, weights, and lengths where they are told.
    pub model: &'static str,
    /// Prompt tokens a second.
    pub prefill: Option<f64>,
    /// Generated tokens a second.
    pub decode: Option<f64>,
    /// Where it is published.
    pub source: &'static str,
}

const fn rival(
    profile: &'static str,
    [engine, device, model]: [&'static str; 3],
    [prefill, decode]: [f64; 2],
    source: &'static str,
) -> Rival {
    const fn known(rate: f64) -> Option<f64> {
        if rate > 0.0 { Some(rate) } else { None }
    }
    Rival { profile, engine, device, model, prefill: known(prefill), decode: known(decode), source }
}

/// By GPU; 0 is what was not published.
pub const RIVALS: &[Rival] = &[
    rival("adreno-740", ["MediaPipe LLM", "Tab S9", "Gemma3-1B"], [0.0, 52.4], "dodo13114arch's blog"),
    rival(
        "adreno-740",
        ["llama.cpp OpenCL", "8 Gen 2", "Qwen2.5-0.5B Q4_0"],
        [212.0, 0.0],
        "llama.cpp#10693",
    ),
    rival(
        "adreno-750",
        ["LiteRT-LM", "S24 Ultra", "Gemma3-1B 4-bit, 1024+256"],
        [1876.5, 44.57],
        "LiteRT-LM's README, June 2025",
    ),
    rival(
        "adreno-750",
        ["llama.cpp OpenCL", "Xiaomi 14", "Llama-1B Q4_0, 128+32"],
        [327.8, 23.1],
        "llama.cpp#10693",
    ),
    rival("adreno-750", ["MLC-LLM", "8 Gen 3", "Llama2-7B q4f16_0"], [0.0, 12.5], "mlc-ai/relax#319"),
    rival("adreno-750", ["MLC-LLM", "Xiaomi 14", "Llama2-7B q4f16_1"], [7.0, 10.0], "mlc-llm#1359"),
    rival(
        "adreno-830",
        ["llama.cpp OpenCL", "S25", "Qwen2.5-1.5B Q4_0, prompt 128"],
        [615.2, 32.4],
        "hedone21/llm_rs2",
    ),
    rival("adreno-830", ["llama.cpp OpenCL", "8 Elite", "Qwen2-1.5B Q8_0"], [148.5, 33.2], "llama.cpp#16469"),
    rival(
        "adreno-840",
        ["LiteRT-LM", "S26 Ultra", "Gemma-4-E2B int4-mix"],
        [3808.0, 52.0],
        "ai.google.dev/edge/litert-lm/overview",
    ),
    rival(
        "adreno-840",
        ["ExecuTorch Vulkan 4w", "S26 Ultra", "Qwen3-0.6B"],
        [1568.0, 98.0],
        "executorch#22968",
    ),
    rival(
        "adreno-840",
        ["llama.cpp OpenCL", "8 Elite Gen 5", "Gemma3-1B Q4_0"],
        [999.1, 47.7],
        "pocketpal#702",
    ),
    rival(
        "mali-g710",
        ["LiteRT-LM", "D9000+", "Gemma-4-E2B, 1024+256"],
        [874.9, 19.16],
        "pt13762104.github.io, June 2026",
    ),
    rival(
        "mali-g720",
        ["llama.cpp Vulkan", "D9300", "SmolLM2 Q4_K_M, 128+128, size not stated"],
        [162.3, 59.6],
        "llama.cpp#27163",
    ),
    rival(
        "apple-a19",
        ["LiteRT-LM", "iPhone 17 Pro", "Gemma-4-E2B int4-mix"],
        [2878.0, 56.0],
        "ai.google.dev/edge/litert-lm/overview",
    ),
    rival(
        "apple-a19",
        ["MNN Metal", "iPhone 17 Pro class", "Qwen3.5-2B Q4, 512+128"],
        [1884.0, 86.0],
        "MNN's ios-llm-bench.md",
    ),
];
