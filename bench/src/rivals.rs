//! What other engines are said to reach on the GPUs of phones, with who said so; tokens a second.

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
        ["llama.cpp OpenCL", "8 Gen 2", "Qwen2.5-0.5B Q4_0, prompt 512"],
        [212.0, 0.0],
        "llama.cpp#10693",
    ),
    rival(
        "adreno-750",
        ["Transformer-Lite", "8 Gen 3", "ChatGLM2-6B FP4"],
        [121.0, 14.0],
        "the paper, arXiv:2403.20041",
    ),
    rival(
        "adreno-750",
        ["Transformer-Lite", "8 Gen 3", "Gemma-2B FP4"],
        [330.0, 30.0],
        "the paper, arXiv:2403.20041",
    ),
    rival(
        "adreno-750",
        ["LiteRT-LM", "S24 Ultra", "Gemma3-1B 4-bit a channel, 1024+256, clocks held"],
        [1876.5, 44.57],
        "LiteRT-LM's README, June 2025",
    ),
    rival(
        "adreno-750",
        ["LiteRT-LM", "S24 Ultra", "Gemma3n-E2B"],
        [816.4, 15.6],
        "LiteRT-LM's README, June 2025",
    ),
    rival(
        "adreno-750",
        ["LiteRT-LM", "S24 Ultra", "Gemma3n-E4B"],
        [548.0, 9.4],
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
        "adreno-750",
        ["MLC-LLM", "8 Gen 3", "Llama2-7B q4f16_1"],
        [0.0, 10.1],
        "mlc-llm#1896, 9.0 to 10.1",
    ),
    rival(
        "adreno-830",
        ["llama.cpp OpenCL", "S25", "Qwen2.5-1.5B Q4_0, prompt 128"],
        [615.2, 32.4],
        "hedone21/llm_rs2",
    ),
    rival(
        "adreno-830",
        ["llama.cpp OpenCL", "S25", "Qwen2.5-1.5B F16, prompt 128"],
        [202.8, 18.7],
        "hedone21/llm_rs2",
    ),
    rival(
        "adreno-830",
        ["llama.cpp OpenCL", "8 Elite", "Qwen2-1.5B Q8_0, prompt 512"],
        [148.5, 33.2],
        "llama.cpp#16469",
    ),
    rival(
        "adreno-840",
        ["LiteRT-LM", "S26 Ultra", "Gemma-4-E2B int4-mix"],
        [3808.0, 52.0],
        "ai.google.dev/edge/litert-lm/overview",
    ),
    rival(
        "adreno-840",
        ["LiteRT-LM 0.16 OpenCL", "S26", "Qwen2.5-1.5B int8"],
        [945.7, 21.8],
        "LiteRT-LM#1748",
    ),
    rival("adreno-840", ["ExecuTorch Vulkan 4w", "S26 Ultra", "Qwen3-1.7B"], [0.0, 41.3], "executorch#22968"),
    rival(
        "adreno-840",
        ["ExecuTorch Vulkan 4w", "S26 Ultra", "Qwen3-0.6B, prompt 41"],
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
        "adreno-840",
        ["llama.cpp OpenCL", "8 Elite Gen 5", "Qwen3-1.7B Q4_0"],
        [629.0, 28.1],
        "pocketpal#702",
    ),
    rival("mali-g710", ["LiteRT-LM", "Pixel 6 Pro", "Gemma-4-E2B, 256+256"], [204.8, 8.9], "jegly/Box#16"),
    rival(
        "mali-g710",
        ["LiteRT-LM", "D9000+", "Gemma-4-E2B, 1024+256"],
        [874.9, 19.16],
        "pt13762104.github.io, June 2026",
    ),
    rival(
        "mali-g715",
        ["WebLLM", "Pixel 8 Pro, Chrome", "Llama3.2-3B q4f16_1, prompt 148"],
        [5.4, 5.1],
        "web-llm#759",
    ),
    rival(
        "mali-g720",
        ["llama.cpp Vulkan", "Orion O6, panvk", "Qwen2.5-3B Q4_0, prompt 256"],
        [70.0, 0.0],
        "llama.cpp#17783",
    ),
    rival(
        "mali-g720",
        ["llama.cpp Vulkan", "D9300", "SmolLM2 Q4_K_M, 128+128, size not stated"],
        [162.3, 59.6],
        "llama.cpp#27163",
    ),
    rival("apple-a17", ["MLC-LLM", "iPhone 15 Pro", "CodeLlama-7B q3f16_1"], [56.0, 9.0], "mlc-llm#1359"),
    rival(
        "apple-a19",
        ["LiteRT-LM", "iPhone 17 Pro", "Gemma-4-E2B int4-mix"],
        [2878.0, 56.0],
        "ai.google.dev/edge/litert-lm/overview",
    ),
    rival(
        "apple-a19",
        ["MNN Metal", "iPhone 17 Pro class", "Qwen3.5-2B Q4, 512+128, no tensor API"],
        [953.0, 86.0],
        "MNN's ios-llm-bench.md",
    ),
    rival(
        "apple-a19",
        ["MNN Metal", "iPhone 17 Pro class", "Qwen3.5-2B Q4, 512+128, tensor API"],
        [1884.0, 86.0],
        "MNN's ios-llm-bench.md",
    ),
];
