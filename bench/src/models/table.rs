//! Sizes of known models, as the config.json of each states them.

use super::{
    Named,
    architecture::{Activation, Architecture, HeadsNorm, Rope, Sliding, Stretch},
};

const GEMMA: Architecture = Architecture {
    epsilon: 1e-6,
    activation: Activation::GeluTanh,
    tied: true,
    vocabulary: 256_000,
    ..Architecture::LLAMA
};

/// Qwen 1.5: Llama with biases.
const QWEN: Architecture = Architecture {
    positions: 32_768,
    epsilon: 1e-6,
    rope: theta(1e6),
    heads_bias: true,
    ..Architecture::LLAMA
};

const QWEN3: Architecture = Architecture {
    kv_heads: 8,
    head_dim: 128,
    vocabulary: 151_936,
    positions: 40_960,
    epsilon: 1e-6,
    rope: theta(1e6),
    heads_norm: Some(HeadsNorm::BehindPositions),
    tied: true,
    ..Architecture::LLAMA
};

const LLAMA32: Architecture = Architecture {
    kv_heads: 8,
    feed_forward: 8192,
    vocabulary: 128_256,
    positions: 131_072,
    rope: Rope {
        stretch: Some(Stretch { factor: 32.0, low: 1.0, high: 4.0, original: 8192.0 }),
        ..theta(500_000.0)
    },
    tied: true,
    ..Architecture::LLAMA
};

const fn theta(theta: f64) -> Rope {
    Rope { theta, width: 0, interleaved: false, stretch: None }
}

/// All of them. The names in `source` are those of the Hugging Face hub.
pub(super) const NAMED: &[Named] = &[
    Named {
        name: "smollm2-135m",
        source: "HuggingFaceTB/SmolLM2-135M-Instruct",
        architecture: Architecture {
            layers: 30,
            hidden: 576,
            heads: 9,
            kv_heads: 3,
            head_dim: 64,
            feed_forward: 1536,
            vocabulary: 49_152,
            positions: 8192,
            rope: theta(100_000.0),
            tied: true,
            ..Architecture::LLAMA
        },
    },
    Named {
        name: "llama2-7b",
        source: "meta-llama/Llama-2-7b-hf",
        architecture: Architecture {
            layers: 32,
            hidden: 4096,
            heads: 32,
            kv_heads: 32,
            head_dim: 128,
            feed_forward: 11_008,
            vocabulary: 32_000,
            positions: 4096,
            ..Architecture::LLAMA
        },
    },
    Named {
        name: "llama3.2-1b",
        source: "meta-llama/Llama-3.2-1B",
        architecture: Architecture { layers: 16, hidden: 2048, heads: 32, head_dim: 64, ..LLAMA32 },
    },
    Named {
        name: "llama3.2-3b",
        source: "meta-llama/Llama-3.2-3B",
        architecture: Architecture { layers: 28, hidden: 3072, heads: 24, head_dim: 128, ..LLAMA32 },
    },
    Named {
        name: "gemma-2b",
        source: "google/gemma-2b",
        architecture: Architecture {
            layers: 18,
            hidden: 2048,
            heads: 8,
            kv_heads: 1,
            head_dim: 256,
            feed_forward: 16_384,
            positions: 8192,
            embedding_scale: Some(45.254_833), // sqrt(hidden)
            ..GEMMA
        },
    },
    Named {
        name: "gemma3-1b",
        source: "google/gemma-3-1b-it",
        architecture: Architecture {
            layers: 26,
            hidden: 1152,
            heads: 4,
            kv_heads: 1,
            head_dim: 256,
            feed_forward: 6912,
            vocabulary: 262_144,
            positions: 32_768,
            rope: theta(1e6),
            sliding: Some(Sliding { window: 512, every: 6, theta: 10_000.0 }),
            heads_norm: Some(HeadsNorm::BeforePositions),
            norms_behind: true,
            embedding_scale: Some(33.941_124), // sqrt(hidden)
            ..GEMMA
        },
    },
    Named {
        name: "qwen1.5-4b",
        source: "Qwen/Qwen1.5-4B",
        architecture: Architecture {
            layers: 40,
            hidden: 2560,
            heads: 20,
            kv_heads: 20,
            head_dim: 128,
            feed_forward: 6912,
            vocabulary: 151_936,
            rope: theta(5e6),
            ..QWEN
        },
    },
    Named {
        name: "qwen1.5-14b",
        source: "Qwen/Qwen1.5-14B",
        architecture: Architecture {
            layers: 40,
            hidden: 5120,
            heads: 40,
            kv_heads: 40,
            head_dim: 128,
            feed_forward: 13_696,
            vocabulary: 152_064,
            ..QWEN
        },
    },
    Named {
        name: "qwen3-0.6b",
        source: "Qwen/Qwen3-0.6B",
        architecture: Architecture { layers: 28, hidden: 1024, heads: 16, feed_forward: 3072, ..QWEN3 },
    },
    Named {
        name: "qwen3-1.7b",
        source: "Qwen/Qwen3-1.7B",
        architecture: Architecture { layers: 28, hidden: 2048, heads: 16, feed_forward: 6144, ..QWEN3 },
    },
    Named {
        name: "qwen3-4b",
        source: "Qwen/Qwen3-4B",
        architecture: Architecture { layers: 36, hidden: 2560, heads: 32, feed_forward: 9728, ..QWEN3 },
    },
    Named {
        name: "chatglm2-6b",
        source: "THUDM/chatglm2-6b",
        architecture: Architecture {
            layers: 28,
            hidden: 4096,
            heads: 32,
            kv_heads: 2,
            head_dim: 128,
            feed_forward: 13_696,
            vocabulary: 65_024,
            positions: 32_768,
            rope: Rope { width: 64, interleaved: true, ..theta(10_000.0) },
            fused_heads: true,
            heads_bias: true,
            fused_gate: true,
            ..Architecture::LLAMA
        },
    },
    // Its rotary frequencies are those of its first 4096 positions, which are not stretched.
    Named {
        name: "phi-4-mini",
        source: "microsoft/Phi-4-mini-instruct",
        architecture: Architecture {
            layers: 32,
            hidden: 3072,
            heads: 24,
            kv_heads: 8,
            head_dim: 128,
            feed_forward: 8192,
            vocabulary: 200_064,
            positions: 4096,
            rope: Rope { width: 96, ..theta(10_000.0) },
            fused_heads: true,
            fused_gate: true,
            tied: true,
            ..Architecture::LLAMA
        },
    },
];
