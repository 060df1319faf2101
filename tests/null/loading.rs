//! Loading, on devices that compute nothing: a packed file's matrices go up from where they lie, weights and pipelines are
//! brought at once, and what goes wrong on either side is told.

use std::{collections::HashSet, path::Path, sync::Arc};

use engine::{
    EngineError,
    gpu::{Gpu, GpuError, Progress},
    host::{Fit, GroupSize, WeightFormat},
    language::{LanguageModel, LanguageOptions, Phase},
    op::{Elem, LowerOptions, WeightPacking},
    open::ModelFile,
    passes::{PassOptions, WeightFormats},
    session::{LoadedModel, Session},
    weights::{DeviceBytes, WeightSource, device_bytes},
};
use tests::models;

const CHUNK: usize = 32;

fn options(gpu: &Gpu, activations: Elem) -> LanguageOptions {
    let format = WeightFormat::M0e4 { group: GroupSize::G32 };
    LanguageOptions {
        lower: LowerOptions { target: gpu.target(), activations },
        passes: PassOptions { formats: WeightFormats::uniform(format), fuse: true },
        context: 64,
        cache: Elem::F32,
        padding: false,
        all_logits: false,
    }
}

fn noop(profile: &str) -> Arc<Gpu> {
    Arc::new(Gpu::noop(devices::by_name(profile).unwrap()).unwrap())
}

/// A tiny model, packed into a folder.
fn packed(gpu: &Gpu, folder: &Path) -> ModelFile {
    let file = ModelFile::open(&models("tiny_llama")[0].join("model.onnx")).unwrap();
    let options = options(gpu, Elem::F32);
    let model = LanguageModel::recognise(file.graph.clone()).unwrap();
    let prepared = model.prepare(Phase::Decode, &options).unwrap();
    let out = folder.join("tiny.halfbyte");
    file.pack(&prepared.graph, &prepared.plan.weights, &options.passes.formats, &out, &|_, _| {}).unwrap();
    ModelFile::open(&out).unwrap()
}

fn load(
    gpu: &Arc<Gpu>,
    file: &ModelFile,
    source: &WeightSource,
    activations: Elem,
) -> Result<Arc<LoadedModel>, EngineError> {
    let model = LanguageModel::recognise(file.graph.clone()).unwrap();
    LoadedModel::load(gpu.clone(), &model, source, options(gpu, activations), CHUNK, &|_| {})
}

#[test]
fn packed_matrices_go_up_from_where_they_lie_in_the_file() {
    let (gpu, folder) = (noop("adreno-750"), tempfile::tempdir().unwrap());
    let file = packed(&gpu, folder.path());
    let WeightSource::Packed(packed) = &file.source else { panic!("{:?}", file.source) };
    let mapped = packed.file().unwrap();
    let model = LanguageModel::recognise(file.graph.clone()).unwrap();
    for phase in [Phase::Prefill { chunk: CHUNK }, Phase::Decode] {
        let prepared = model.prepare(phase, &options(&gpu, Elem::F32)).unwrap();
        let matrices =
            prepared.plan.weights.iter().filter(|w| matches!(w.packing, WeightPacking::Matrix { .. }));
        assert!(matrices.clone().count() >= 8);
        for wanted in matrices {
            let name = &prepared.graph.value(wanted.value).name;
            let bytes = device_bytes(&prepared.graph, wanted, &file.source, &|_| {}).unwrap();
            let DeviceBytes::Matrix(matrix) = bytes else { panic!("{name} is no matrix") };
            for part in [Some(matrix.weight()), matrix.scales()].into_iter().flatten() {
                assert!(mapped.place(part).is_some(), "{phase:?}: {name} is copied on its way to the device");
            }
        }
    }
}

#[test]
fn after_loading_all_weights_and_pipelines_are_there() {
    let (gpu, folder) = (noop("adreno-750"), tempfile::tempdir().unwrap());
    let file = packed(&gpu, folder.path());
    let model = load(&gpu, &file, &file.source, Elem::F32).unwrap();
    let made = gpu.counters().counts().pipelines;
    let specs: HashSet<_> =
        [false, true].iter().flat_map(|decode| &model.plan(*decode).calls).map(|call| &call.spec).collect();
    assert!(made >= specs.len() as u64, "{made} pipelines for {} kernels", specs.len());
    let mut session = Session::new(model.clone(), 64).unwrap();
    session.run(&[1, 2, 3]).unwrap();
    session.run(&[4]).unwrap();
    assert_eq!(gpu.counters().counts().pipelines, made, "pipelines were left to be made");
    let times = model.times();
    assert!(times.upload <= times.whole && times.pipelines <= times.whole && times.plan <= times.whole);
}

#[test]
fn progress_of_weights_and_pipelines_comes_to_its_end() {
    let (gpu, folder) = (noop("adreno-750"), tempfile::tempdir().unwrap());
    let file = packed(&gpu, folder.path());
    let ends = std::sync::Mutex::new((0, 0));
    let model = LanguageModel::recognise(file.graph.clone()).unwrap();
    let loaded =
        LoadedModel::load(gpu.clone(), &model, &file.source, options(&gpu, Elem::F32), CHUNK, &|told| {
            let mut ends = ends.lock().unwrap();
            match told {
                Progress::Weights { done, total } => ends.0 += u64::from(done == total),
                Progress::Pipelines { done, total } => ends.1 += u64::from(done == total),
            }
        });
    assert!(loaded.unwrap().weight_bytes() > 0);
    assert_eq!(*ends.lock().unwrap(), (1, 1));
}

#[test]
fn what_goes_wrong_with_weights_or_with_pipelines_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let gpu = noop("powervr-dxt");
    let file = packed(&gpu, folder.path());
    let error = load(&gpu, &file, &WeightSource::Model(Fit::MinMax), Elem::F32).unwrap_err();
    assert!(error.to_string().contains("is not at hand"), "{error}");
    // Planned for a device that has f16, on one that has not.
    let model = LanguageModel::recognise(file.graph.clone()).unwrap();
    let wrong = options(&noop("adreno-750"), Elem::F16);
    let error = LoadedModel::load(gpu.clone(), &model, &file.source, wrong, CHUNK, &|_| {}).unwrap_err();
    assert!(matches!(error, EngineError::Gpu(GpuError::Pipeline { .. })), "{error}");
    // Neither leaves the device unusable.
    load(&gpu, &file, &file.source, Elem::F32).unwrap();
}
