//! Weight formats on the device: kernels against plain floats of the same values, packed files against packing at load.

use std::path::Path;

use engine::{
    graph::Constant,
    host::{Fit, GroupSize, HostTensor, WeightFormat},
    language::{LanguageModel, Phase},
    op::{Elem, WeightPacking},
    open::ModelFile,
    passes::WeightFormats,
    session::Session,
    weights::{DeviceBytes, WeightSource, device_bytes},
};
use tests::{Choices, Expected, gpu, language_options, largest_difference, load, load_on, models};

const M0E4: WeightFormat = WeightFormat::M0e4 { group: GroupSize::G32 };

/// Logits of the prompt and of the decode steps, one after the other.
fn logits(file: &ModelFile, folder: &Path, choices: Choices) -> Vec<f32> {
    let expected = Expected::read(&folder.join("expected"));
    let mut session = Session::new(load_on(&gpu(), file, choices).unwrap(), 64).unwrap();
    let mut all = session.run(&expected.prompt).unwrap();
    all.extend(expected.decode_tokens.iter().flat_map(|t| session.run(&[*t]).unwrap()));
    all
}

/// The matrices of a model become the values that a format keeps of them; how many were replaced.
fn dequantise(file: &mut ModelFile, format: WeightFormat) -> usize {
    // Fused, matrices are merged; each is packed by its own rows then too.
    let choices = Choices { format, fuse: false, ..Choices::default() };
    let model = LanguageModel::recognise(file.graph.clone()).unwrap();
    let prepared = model.prepare(Phase::Decode, &language_options(&gpu(), choices)).unwrap();
    let source = WeightSource::Model(Fit::Search);
    let mut replaced = 0;
    for wanted in &prepared.plan.weights {
        let WeightPacking::Matrix { transposed, .. } = wanted.packing else { continue };
        let DeviceBytes::Matrix(packed) = device_bytes(&prepared.graph, wanted, &source, &|_| {}).unwrap()
        else {
            panic!("a matrix is packed as one");
        };
        let (n, k) = (packed.n(), packed.k());
        let rows: Vec<f32> = (0..n).flat_map(|row| packed.unpack_row(row).unwrap()).collect();
        let tensor = if transposed {
            let columns: Vec<f32> =
                (0..k).flat_map(|j| (0..n).map(move |i| (i, j))).map(|(i, j)| rows[i * k + j]).collect();
            HostTensor::from_f32(vec![k, n], &columns).unwrap()
        } else {
            HostTensor::from_f32(vec![n, k], &rows).unwrap()
        };
        let name = &prepared.graph.value(wanted.value).name;
        let id = file.graph.find(name).unwrap();
        file.graph.value_mut(id).constant = Some(Constant::Host(tensor));
        replaced += 1;
    }
    replaced
}

#[test]
fn kernels_compute_with_the_values_that_a_format_keeps() {
    for name in ["dynamo20", "ts20"] {
        let folder = tests::fixture("tiny_llama").join(name);
        let file = ModelFile::open(&folder.join("model.onnx")).unwrap();
        let exact = logits(&file, &folder, Choices::default());
        for format in WeightFormat::ALL {
            let got = logits(&file, &folder, Choices { format, ..Choices::default() });
            let mut rounded = ModelFile::open(&folder.join("model.onnx")).unwrap();
            assert_eq!(
                dequantise(&mut rounded, format),
                16,
                "{name} {format}: 7 a layer, the table, the head"
            );
            let want = logits(&rounded, &folder, Choices::default());
            let difference = largest_difference(&got, &want);
            assert!(difference < 1e-4, "{name} {format}: {difference} from plain floats of the same values");
            let lost = largest_difference(&want, &exact);
            assert_eq!(
                lost > 0.0,
                format != WeightFormat::F32,
                "{name} {format}: rounding changes logits by {lost}"
            );
        }
    }
}

/// Packs a model and opens what was written.
fn packed(file: &ModelFile, formats: WeightFormats, folder: &Path) -> ModelFile {
    let model = LanguageModel::recognise(file.graph.clone()).unwrap();
    let mut options = language_options(&gpu(), Choices::default());
    options.passes.formats = formats;
    let prepared = model.prepare(Phase::Decode, &options).unwrap();
    let out = folder.join("packed.halfbyte");
    let bytes = file.pack(&prepared.graph, &prepared.plan.weights, &formats, &out, &|_, _| {}).unwrap();
    assert_eq!(std::fs::metadata(&out).unwrap().len(), bytes);
    let opened = ModelFile::open(&out).unwrap();
    assert_eq!(opened.formats, Some(formats));
    opened
}

#[test]
fn a_packed_file_of_every_export_gives_the_same_logits() {
    for folder in models("tiny_llama") {
        let file = ModelFile::open(&folder.join("model.onnx")).unwrap();
        let choices = Choices { format: M0E4, ..Choices::default() };
        let place = tempfile::tempdir().unwrap();
        let opened = packed(&file, WeightFormats::uniform(M0E4), place.path());
        let (got, want) = (logits(&opened, &folder, choices), logits(&file, &folder, choices));
        assert!(
            got == want,
            "{}: packing changes logits by {}",
            folder.display(),
            largest_difference(&got, &want)
        );
    }
}

#[test]
fn a_packed_file_of_every_format_gives_the_same_logits() {
    let folder = tests::fixture("tiny_llama/dynamo20");
    let file = ModelFile::open(&folder.join("model.onnx")).unwrap();
    for format in [WeightFormat::F32, WeightFormat::F16, WeightFormat::Affine8 { group: GroupSize::G64 }] {
        let choices = Choices { format, ..Choices::default() };
        let place = tempfile::tempdir().unwrap();
        let opened = packed(&file, WeightFormats::uniform(format), place.path());
        let (got, want) = (logits(&opened, &folder, choices), logits(&file, &folder, choices));
        assert!(got == want, "{format}: packing changes logits by {}", largest_difference(&got, &want));
    }
}

#[test]
fn a_packed_file_refuses_formats_that_it_does_not_hold() {
    let folder = tests::fixture("tiny_llama/dynamo20");
    let file = ModelFile::open(&folder.join("model.onnx")).unwrap();
    let place = tempfile::tempdir().unwrap();
    let opened = packed(&file, WeightFormats::uniform(M0E4), place.path());
    let error = load_on(&gpu(), &opened, Choices::default()).unwrap_err().to_string();
    assert!(error.contains("the packed file holds") && error.contains("pack again"), "{error}");
}

#[test]
fn half_precision_activations_with_four_bit_weights_come_close() {
    if !gpu().target().f16 {
        println!("skipped: this GPU has no f16");
        return;
    }
    let folder = tests::fixture("tiny_llama/dynamo20");
    let expected = Expected::read(&folder.join("expected"));
    for format in [M0E4, WeightFormat::Affine8 { group: GroupSize::G32 }, WeightFormat::F16] {
        let run = |activations| {
            let model =
                load(&folder.join("model.onnx"), Choices { format, activations, ..Choices::default() });
            let mut session = Session::new(model, 64).unwrap();
            let mut all = session.run(&expected.prompt).unwrap();
            all.extend(expected.decode_tokens.iter().flat_map(|t| session.run(&[*t]).unwrap()));
            all
        };
        let (half, single) = (run(Elem::F16), run(Elem::F32));
        let difference = largest_difference(&half, &single);
        let largest = single.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
        assert!(
            difference > 0.0 && difference < 5e-3 * largest,
            "{format}: {difference} on logits up to {largest}"
        );
    }
}
