//! Encoders: any model on named tensors, batches with padding on either side, against the other runtime.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use engine::{
    gpu::Gpu,
    host::{HostTensor, WeightFormat},
    infer_once::OnceOptions,
    op::Elem,
    open::ModelFile,
    passes::{PassOptions, WeightFormats},
    tensor_session::TensorSession,
};
use tests::{gpu, largest_difference, models, tensors};

use crate::models::CLOSE;

const CASES: [&str; 3] = ["whole", "padded_left", "padded_right"];

pub(crate) fn open(gpu: Arc<Gpu>, path: &Path) -> TensorSession {
    let passes = PassOptions { formats: WeightFormats::uniform(WeightFormat::F32), fuse: true };
    let file = ModelFile::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    TensorSession::new(gpu, file, OnceOptions { passes, activations: Elem::F32 })
}

/// The inputs of a case that the model takes.
fn given(session: &TensorSession, case: &Path) -> BTreeMap<String, HostTensor> {
    let mut all = tensors(&case.join("give"));
    all.retain(|name, _| session.inputs().any(|i| i == name));
    all
}

fn differences(outputs: &[(String, HostTensor)], case: &Path) -> f32 {
    let want = tensors(&case.join("want"));
    assert_eq!(outputs.len(), want.len(), "{}", case.display());
    let each = outputs.iter().map(|(name, found)| {
        assert_eq!(found.shape(), want[name].shape(), "{} {name}", case.display());
        largest_difference(&found.to_f32s(), &want[name].to_f32s())
    });
    each.fold(0.0, f32::max)
}

#[test]
fn encoders_give_the_other_runtimes_outputs() {
    for folder in models("encoders") {
        let mut session = open(gpu(), &folder.join("model.onnx"));
        for case in CASES.map(|c| folder.join(c)) {
            let outputs = session.run(&given(&session, &case)).unwrap();
            let difference = differences(&outputs, &case);
            assert!(difference < CLOSE, "{}: {difference} apart", case.display());
            eprintln!("{} {} dispatches {difference}", case.display(), session.dispatches());
        }
    }
}
