//! Matrices whose codes lie in textures: models give what they give with buffers, whole and in pieces, packed and of noise.

use bench::models::Architecture;
use devices::WeightMemory::{Buffer, Texture};
use engine::{
    host::{GroupSize, WeightFormat},
    op::{WeightPacking, WeightPart},
    open::ModelFile,
    session::{LoadedModel, Session},
};
use tests::{Choices, Expected, gpu, load_on, tiny::TINY};

const M0E4: WeightFormat = WeightFormat::M0e4 { group: GroupSize::G32 };
const AFFINE: WeightFormat = WeightFormat::Affine8 { group: GroupSize::G32 };

/// Matrices in textures, and in buffers, of the plan of decoding.
fn matrices(model: &LoadedModel) -> (usize, usize) {
    let all = model.plan(true).weights.iter();
    let matrices = all.filter(|w| matches!(w.packing, WeightPacking::Matrix { .. }));
    let (textures, buffers): (Vec<_>, Vec<_>) =
        matrices.partition(|w| w.texels(WeightPart::Weight).is_some());
    (textures.len(), buffers.len())
}

/// Logits of a prompt and of decode steps, and how many matrices lie in textures and in buffers.
fn run(file: &ModelFile, choices: Choices, prompt: &[u32], steps: &[u32]) -> (Vec<f32>, (usize, usize)) {
    let model = load_on(&gpu(), file, choices).unwrap();
    let mut session = Session::new(model.clone(), 64).unwrap();
    let mut logits = session.run(prompt).unwrap();
    logits.extend(steps.iter().flat_map(|token| session.run(&[*token]).unwrap()));
    (logits, matrices(&model))
}

#[test]
fn models_give_the_same_logits_whole_and_in_pieces() {
    // Merged products, biases, a tied head, experts; of the last two, what is looked up stays in buffers.
    for (name, looked_up) in [
        ("tiny_llama/dynamo20", 1),
        ("architectures/qwen2_dynamo20", 1),
        ("architectures/gemma_dynamo20", 1),
        ("architectures/mixtral_hf20", 5),
    ] {
        let folder = tests::fixture(name);
        let expected = Expected::read(&folder.join("expected"));
        let file = ModelFile::open(&folder.join("model.onnx")).unwrap();
        for format in [M0E4, AFFINE] {
            let of = |weights, max_binding| {
                let choices = Choices { format, weights, max_binding, ..Choices::default() };
                run(&file, choices, &expected.prompt, &expected.decode_tokens)
            };
            let (wanted, (none, all)) = of(Buffer, None);
            assert_eq!(none, 0);
            for max_binding in [None, Some(256)] {
                let (logits, (textures, buffers)) = of(Texture, max_binding);
                assert!(logits == wanted, "{name} {format} {max_binding:?}: other logits");
                assert_eq!((textures + buffers, buffers), (all, looked_up), "{name} {format}");
            }
        }
    }
}

#[test]
fn noise_is_the_same() {
    let (name, tiny) = &TINY[0];
    // Rows of texels that are copied one by one, and together.
    for hidden in [64, 256] {
        let architecture = Architecture { hidden, ..tiny.clone() };
        let file = architecture.open(name, 1).unwrap();
        let of = |weights| {
            let choices = Choices { format: M0E4, weights, ..Choices::default() };
            run(&file, choices, &[1, 2, 3, 4, 5], &[6])
        };
        let ((wanted, _), (logits, (textures, _))) = (of(Buffer), of(Texture));
        assert!(textures > 0 && logits == wanted, "rows of {hidden}: other logits");
    }
}
