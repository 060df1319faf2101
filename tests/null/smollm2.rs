//! The plans of the graph that PyTorch exported from SmolLM2-135M, without its weights.

use std::{process::Command, sync::OnceLock};

use engine::{
    host::{GroupSize, WeightFormat},
    language::{LanguageModel, LanguageOptions, Phase, Prepared, Symbols},
    op::{Elem, LowerOptions, RootKind, Slot, WeightPacking, WeightPart, WeightUse},
    open::ModelFile,
    passes::{PassOptions, WeightFormats},
    plan::{Plan, Work},
};
use symbolic::Bindings;

const CHUNK: usize = 512;
const CONTEXT: usize = 8192;
const LAYERS: usize = 30;
const FORMATS: [WeightFormat; 2] = [WeightFormat::F32, WeightFormat::M0e4 { group: GroupSize::G32 }];
const PHASES: [Phase; 2] = [Phase::Prefill { chunk: CHUNK }, Phase::Decode];
const PREFILLS: [(usize, usize); 4] = [(1, 0), (64, 0), (512, 0), (512, 1000)];
const DECODES: [(usize, usize); 3] = [(1, 0), (1, 100), (1, 2000)];

fn model() -> &'static LanguageModel {
    static MODEL: OnceLock<LanguageModel> = OnceLock::new();
    MODEL.get_or_init(|| {
        let packed = tests::root().join("demo/smollm2/graph.onnx.gz");
        let unpacked = Command::new("gzip").arg("-dc").arg(&packed).output().unwrap();
        assert!(
            unpacked.status.success(),
            "{}: {}",
            packed.display(),
            String::from_utf8_lossy(&unpacked.stderr)
        );
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("graph.onnx");
        std::fs::write(&path, unpacked.stdout).unwrap();
        LanguageModel::recognise(ModelFile::inspect(&path).unwrap().graph).unwrap()
    })
}

fn prepare(target: &devices::Target, phase: Phase, format: WeightFormat) -> Prepared {
    let options = LanguageOptions {
        lower: LowerOptions { target: target.into(), activations: activations(target) },
        passes: PassOptions { formats: WeightFormats::uniform(format), fuse: true },
        context: CONTEXT,
        cache: activations(target),
        padding: false,
        all_logits: false,
    };
    model()
        .prepare(phase, &options)
        .unwrap_or_else(|e| panic!("{} {phase:?} {format}: {e}", target.profile.name))
}

fn activations(target: &devices::Target) -> Elem {
    if target.f16 == devices::F16::None { Elem::F32 } else { Elem::F16 }
}

fn any_target() -> devices::Target {
    devices::Target::from_profile(devices::profiles().next().unwrap())
}

fn bindings((seq, past): (usize, usize)) -> Bindings {
    let symbols = Symbols::new(CHUNK, CONTEXT);
    Bindings::new()
        .with(&symbols.seq, seq as i64)
        .with(&symbols.past, past as i64)
        .with(&symbols.capacity, CONTEXT as i64)
}

fn sizes(phase: Phase) -> &'static [(usize, usize)] {
    if phase == Phase::Decode { &DECODES } else { &PREFILLS }
}

/// Kernels that may touch the cache: those that make keys and values, and attention. None of them copies.
fn uses_cache_only_to_compute(plan: &Plan, what: &str) {
    let mut touched = 0;
    for call in &plan.calls {
        let cache = call.slots.iter().any(|slot| match slot {
            Slot::View(view) => matches!(plan.roots[view.root.0 as usize].kind, RootKind::Cache(_)),
            Slot::Weight { .. } => false,
        });
        if cache {
            touched += 1;
            let kernel = call.spec.kernel();
            let computes = ["linear_", "rope", "attention_"].iter().any(|k| kernel.starts_with(k));
            assert!(computes, "{what}: {} touches the cache for node {:?}", call.spec, call.node);
        }
    }
    // Keys and values are made by one.
    assert!(touched >= 2 * LAYERS, "{what}: {touched} calls touch the cache");
}

#[test]
fn everything_is_fused_and_the_cache_is_not_copied() {
    for format in FORMATS {
        for phase in PHASES {
            let prepared = prepare(&any_target(), phase, format);
            let what = format!("{phase:?} {format}");
            let report = &prepared.report;
            assert!(report.refused.is_empty(), "{what}: {:#?}", report.refused);
            for (pattern, count) in [
                ("Attention", LAYERS),
                ("RMSNorm", 2 * LAYERS + 1),
                ("RoPE", 2 * LAYERS),
                ("Gate", LAYERS),
                ("Residual", 2 * LAYERS),
                ("Linear", 7 * LAYERS + 2),
                ("Gated product", LAYERS),
                ("Product of heads", LAYERS),
                ("Norm of a product", 2 * LAYERS + 1),
            ] {
                assert_eq!(report.applied.get(pattern), Some(&count), "{what}: {pattern}");
            }
            uses_cache_only_to_compute(&prepared.plan, &what);
        }
    }
}

/// Heads with their positions, attention and what brings its parts together, its output, and two for the rest of a layer;
/// beside the layers there are the embedding, the table of rotations, and the head.
#[test]
fn a_layer_of_a_decode_step_is_six_dispatches() {
    for format in FORMATS {
        let plan = prepare(&any_target(), Phase::Decode, format).plan;
        let others = plan.calls.len() - 6 * LAYERS;
        assert!(others <= 8, "{format}: {} dispatches, {others} beside the layers", plan.calls.len());
    }
}

/// What a token costs is its weights: nothing reads them twice, and what else is moved is little beside them.
#[test]
fn a_token_reads_each_weight_once() {
    for format in FORMATS {
        let plan = prepare(&any_target(), Phase::Decode, format).plan;
        let whole = |w: &WeightUse| match w.packing {
            WeightPacking::Plain(_) => w.bytes(WeightPart::Weight, 1),
            WeightPacking::Matrix { .. } => {
                w.bytes(WeightPart::Weight, w.n) + w.bytes(WeightPart::Scales, w.n)
            }
        };
        let weights: u64 = plan.weights.iter().map(whole).sum();
        let numbers = bindings((1, 0));
        let traffic: u64 = (0..plan.calls.len()).map(|call| plan.traffic(call, &numbers).unwrap()).sum();
        // Of the table of embeddings, which is the output head too, one row more.
        let once = weights..weights + weights / 10;
        assert!(once.contains(&traffic), "{format}: {traffic} bytes moved, {weights} of weights");
        let work: Work = (0..plan.calls.len()).map(|call| plan.work(call, &numbers).unwrap()).sum();
        // Two for each weight, and some for norms and attention.
        let matrices: usize = plan.weights.iter().filter(|w| w.n > 1).map(|w| w.n * w.k).sum();
        let products = 2 * matrices as u64;
        assert!(
            (products..products + products / 50).contains(&work.flops),
            "{format}: {} operations",
            work.flops
        );
    }
}

#[test]
fn the_arena_is_within_five_per_cent_of_its_lower_bound() {
    for format in FORMATS {
        for phase in PHASES {
            let plan = prepare(&any_target(), phase, format).plan;
            for size in sizes(phase) {
                let numbers = bindings(*size);
                let (arena, bound) =
                    (plan.arena_bytes(&numbers).unwrap(), plan.lower_bound(&numbers).unwrap());
                assert!(bound > 0);
                let ratio = arena as f64 / bound as f64;
                assert!(
                    ratio <= 1.05,
                    "{phase:?} {format} at {size:?}: {arena} bytes, {ratio} of the bound {bound}"
                );
            }
        }
    }
}

#[test]
fn every_profile_plans_it() {
    let mut profiles = 0;
    for profile in devices::profiles() {
        let target = devices::Target::from_profile(profile);
        for phase in PHASES {
            let plan = prepare(&target, phase, FORMATS[1]).plan;
            for size in sizes(phase) {
                let bound = plan.bind(&bindings(*size), u64::from(target.offset_alignment()));
                let bound = bound.unwrap_or_else(|e| panic!("{} {phase:?} at {size:?}: {e}", profile.name));
                for (call, numbers) in plan.calls.iter().zip(&bound.calls) {
                    for slot in &numbers.slots {
                        let place = format!("{} {phase:?} at {size:?}: node {:?}", profile.name, call.node);
                        assert!(slot.size <= target.max_binding(), "{place} binds {} bytes", slot.size);
                        assert_eq!(
                            slot.offset % u64::from(target.offset_alignment()),
                            0,
                            "{place} is not aligned"
                        );
                    }
                }
            }
        }
        profiles += 1;
    }
    assert!(profiles >= 7, "only {profiles} profiles");
}
