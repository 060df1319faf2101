//! Tiny models that exporters wrote, as architectures of our own generator, and their weights under its names.

use std::{collections::BTreeMap, path::Path};

use bench::models::{Activation, Architecture, HeadsNorm, Rope, Sliding};
use engine::{
    graph::Constant,
    host::HostTensor,
    import::host_tensor,
    open::{ModelFile, map},
};
use onnx_import::{FolderFiles, LeaveAbsent, Model, Tensor, import};

/// What `scripts/oracle/architectures.py` makes of every architecture.
const BASE: Architecture = Architecture {
    layers: 2,
    hidden: 32,
    heads: 4,
    kv_heads: 2,
    head_dim: 8,
    feed_forward: 64,
    vocabulary: 128,
    positions: 256,
    epsilon: 1e-6,
    ..Architecture::LLAMA
};

const GEMMA: Architecture = Architecture {
    head_dim: 16,
    activation: Activation::GeluTanh,
    tied: true,
    embedding_scale: Some(5.656_854),
    ..BASE
};

const GLM: Architecture = Architecture {
    head_dim: 16,
    epsilon: 1.562_5e-7,
    rope: Rope { width: 8, interleaved: true, ..Architecture::LLAMA.rope },
    heads_bias: true,
    fused_gate: true,
    ..BASE
};

/// Fixtures, and what they are.
pub const TINY: [(&str, Architecture); 9] = [
    ("architectures/llama_dynamo20", BASE),
    (
        "architectures/mistral_dynamo20",
        Architecture {
            epsilon: 1e-6,
            sliding: Some(Sliding { window: 8, every: usize::MAX, theta: 10_000.0 }),
            ..BASE
        },
    ),
    ("architectures/qwen2_dynamo20", Architecture { heads_bias: true, ..BASE }),
    (
        "architectures/qwen3_dynamo20",
        Architecture { head_dim: 16, heads_norm: Some(HeadsNorm::BehindPositions), ..BASE },
    ),
    ("architectures/gemma_dynamo20", GEMMA),
    (
        "architectures/gemma2_dynamo20",
        Architecture {
            norms_behind: true,
            sliding: Some(Sliding { window: 8, every: 2, theta: 10_000.0 }),
            attention_softcap: Some(5.0),
            logits_softcap: Some(3.0),
            ..GEMMA
        },
    ),
    (
        "architectures/gemma3_dynamo20",
        Architecture {
            rope: Rope { theta: 1e6, ..Architecture::LLAMA.rope },
            sliding: Some(Sliding { window: 8, every: 2, theta: 10_000.0 }),
            heads_norm: Some(HeadsNorm::BeforePositions),
            norms_behind: true,
            ..GEMMA
        },
    ),
    (
        "architectures/phi3_dynamo20",
        Architecture { epsilon: 1e-5, fused_heads: true, fused_gate: true, ..BASE },
    ),
    ("architectures/glm_dynamo20", GLM),
];

/// ChatGLM2 is GLM whose queries, keys and values are one matrix.
pub const CHATGLM: (&str, Architecture) =
    ("architectures/glm_dynamo20", Architecture { fused_heads: true, ..GLM });

/// The parameters of a model in the order of their first use.
fn parameters(model: &Model) -> Vec<(&str, &Tensor)> {
    let graph = &model.graph;
    let mut found: Vec<(&str, &Tensor)> = Vec::new();
    for id in graph.nodes.iter().flat_map(|node| node.inputs.iter().flatten()) {
        let value = &graph[*id];
        let Some(tensor) = &value.data else { continue };
        let known = found.iter().any(|(name, _)| *name == value.name);
        let counts = tensor.dtype == onnx_import::DataType::F32 && !tensor.dims.is_empty();
        if counts && !known && !value.name.contains("inv_freq") {
            found.push((&value.name, tensor));
        }
    }
    found
}

/// The weights of a fixture under the names that the generator gives them. Both models use those of one shape in one order.
fn weights(fixture: &str, of: &Architecture) -> BTreeMap<String, HostTensor> {
    let folder = crate::fixture(fixture);
    let bytes = map(&folder.join("model.onnx")).unwrap();
    let read = |path: &Path| map(path);
    let exported = import(bytes, &mut FolderFiles::new(&folder, read)).unwrap();
    let ours = import(of.onnx(fixture), &mut LeaveAbsent).unwrap();
    let mut open = parameters(&exported);
    let mut all = BTreeMap::new();
    for (name, wanted) in parameters(&ours) {
        let at = open.iter().position(|(_, tensor)| tensor.dims == wanted.dims);
        let (_, tensor) = open.remove(at.unwrap_or_else(|| panic!("{fixture}: nothing is like {name}")));
        all.insert(name.to_owned(), host_tensor(tensor).unwrap());
    }
    // Of a tied table there may be a copy for the head.
    let copies = usize::from(of.tied);
    assert!(
        open.len() <= copies,
        "{fixture}: {:?} are left",
        open.iter().map(|(n, _)| n).collect::<Vec<_>>()
    );
    all
}

/// Columns of matrices `[k, n]`, or elements of vectors, one behind the other.
fn joined(parts: &[&HostTensor]) -> HostTensor {
    let (last, k) =
        (parts[0].shape().len() - 1, if parts[0].shape().len() == 2 { parts[0].shape()[0] } else { 1 });
    let data: Vec<(Vec<f32>, usize)> = parts.iter().map(|p| (p.to_f32s(), p.shape()[last])).collect();
    let row = |row: usize| data.iter().flat_map(move |(all, n)| all[row * n..(row + 1) * n].to_vec());
    let values: Vec<f32> = (0..k).flat_map(row).collect();
    let mut shape = parts[0].shape().to_vec();
    shape[last] = data.iter().map(|(_, n)| n).sum();
    HostTensor::from_f32(shape, &values).unwrap()
}

/// A model of our own generator that has a fixture's weights.
#[must_use]
pub fn with_weights_of(fixture: &str, of: &Architecture) -> ModelFile {
    let apart =
        if fixture.contains("glm") { Architecture { fused_heads: false, ..of.clone() } } else { of.clone() };
    let mut weights = weights(fixture, &apart);
    if of.fused_heads && !apart.fused_heads {
        for layer in 0..of.layers {
            for kind in ["weight", "bias"] {
                let part =
                    |name: &str| &weights[&format!("model.layers.{layer}.self_attn.{name}_proj.{kind}")];
                let all = joined(&[part("q"), part("k"), part("v")]);
                weights.insert(format!("model.layers.{layer}.self_attn.qkv_proj.{kind}"), all);
            }
        }
    }
    let mut file = of.open(fixture, 0).unwrap_or_else(|e| panic!("{fixture}: {e}"));
    for value in &mut file.graph.values {
        if let Some(tensor) = weights.get(&value.name) {
            value.constant = Some(Constant::Host(tensor.clone()));
        }
    }
    file
}
