//! Models of our own generator: with the weights of exported ones they give the other runtime's logits, with noise they are
//! as finite as trained ones, and the noise is what the host computes.

use bench::models::Architecture;
use engine::{
    host::{GroupSize, Noise, PackedWeight, WeightFormat},
    op::Elem,
    session::Session,
};
use tests::{
    Choices, Expected, gpu, largest_difference, load_on,
    tiny::{CHATGLM, TINY, with_weights_of},
};

use crate::models::CLOSE;

#[test]
fn with_the_weights_of_exported_models_they_give_the_other_runtimes_logits() {
    let mut wrong = Vec::new();
    for (fixture, architecture) in TINY.iter().chain([&CHATGLM]) {
        let file = with_weights_of(fixture, architecture);
        for which in ["expected", "expected_padded"] {
            let expected = Expected::read(&tests::fixture(fixture).join(which));
            let choices = Choices { padding: expected.padding > 0, ..Choices::default() };
            let mut session = Session::new(load_on(&gpu(), &file, choices).unwrap(), 64).unwrap();
            if expected.padding > 0 {
                session.pad_left(expected.padding).unwrap();
            }
            let prefill = session.run(&expected.prompt).unwrap();
            let decode: Vec<f32> =
                expected.decode_tokens.iter().flat_map(|t| session.run(&[*t]).unwrap()).collect();
            let seen = expected.padding * architecture.vocabulary;
            let prefill = largest_difference(&prefill[seen..], &expected.prefill_logits[seen..]);
            let decode = largest_difference(&decode, &expected.decode_logits);
            if prefill > CLOSE || decode > CLOSE {
                wrong.push(format!("{fixture} {which}: {prefill:.1e} and {decode:.1e} apart"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn deviation(values: &[f32]) -> f32 {
    let square = values.iter().map(|v| v * v).sum::<f32>();
    (square / values.len() as f32).sqrt()
}

/// Logits of noise are as large as those of a model that has just been made: about 1.
#[test]
fn noise_keeps_activations_finite_and_the_same_seed_makes_the_same() {
    for (name, tiny) in TINY.iter().chain([&CHATGLM]) {
        let architecture = Architecture { hidden: 64, ..tiny.clone() };
        let run = |seed: u64, format: WeightFormat| {
            let file = architecture.open(name, seed).unwrap();
            let activations = if gpu().target().f16 { Elem::F16 } else { Elem::F32 };
            let choices = Choices { format, activations, ..Choices::default() };
            let mut session = Session::new(load_on(&gpu(), &file, choices).unwrap(), 64).unwrap();
            let mut logits = session.run(&[1, 2, 3, 4, 5]).unwrap();
            logits.extend(session.run(&[6]).unwrap());
            logits
        };
        let format = WeightFormat::M0e4 { group: GroupSize::G32 };
        let first = run(1, format);
        let size = deviation(&first);
        assert!((0.2..5.0).contains(&size), "{name}: logits of size {size}");
        assert_eq!(run(1, format), first, "{name}");
        assert!(largest_difference(&run(2, format), &first) > 0.1, "{name}");
    }
}

#[test]
fn noise_is_packed_as_weights_are() {
    for format in WeightFormat::ALL {
        // Neither whole blocks of rows nor, for halves, whole words.
        let (n, k) = (1030, if format == WeightFormat::F16 { 255 } else { 264 });
        let noise = Noise::new(7, "a matrix", format, k);
        let (weight, scales) = gpu().noise("a matrix", format, (n, k), noise).unwrap();
        let read =
            |buffer: &engine::gpu::Buffer, size: usize| gpu().read(buffer, 0, size as u64).unwrap().into();
        let weight = read(&weight, format.weight_bytes(n, k).unwrap());
        let scales = scales.map(|scales| read(&scales, format.scales_bytes(n, k).unwrap()));
        let packed = PackedWeight::new(format, n, k, weight, scales).unwrap();
        if format.group().is_some() {
            let words = packed.weight().as_chunks::<4>().0;
            let there = 4 * (n / 4) * (k / format.weights_per_word());
            for (index, word) in words[..there].iter().enumerate() {
                assert_eq!(u32::from_le_bytes(*word), noise.word(index as u32), "{format} word {index}");
            }
        }
        let all: Vec<f32> = (0..n).flat_map(|row| packed.unpack_row(row).unwrap()).collect();
        let (size, mean) = (deviation(&all) * (k as f32).sqrt(), all.iter().sum::<f32>() / all.len() as f32);
        assert!((0.98..1.02).contains(&size), "{format}: {size} times what it should be");
        assert!(mean.abs() * (k as f32).sqrt() < 0.02, "{format}: the mean is {mean}");
        let padding: Vec<&[u8; 4]> = packed
            .weight()
            .as_chunks::<4>()
            .0
            .iter()
            .skip(4 * (n / 4) * k.div_ceil(format.weights_per_word()))
            .collect();
        assert!(padding.iter().enumerate().all(|(i, word)| i % 4 < n % 4 || **word == [0; 4]), "{format}");
    }
}

#[test]
fn a_matrix_that_one_dispatch_does_not_fill_is_filled_to_its_end() {
    let (format, n, k) = (WeightFormat::Affine8 { group: GroupSize::G32 }, 1 << 14, 2056);
    let bytes = format.weight_bytes(n, k).unwrap() as u64;
    let piece = 32 << 20;
    assert!(bytes > piece);
    let noise = Noise::new(7, "large", format, k);
    let (weight, _) = gpu().noise("large", format, (n, k), noise).unwrap();
    for start in [piece - 16, bytes - 32] {
        let read = gpu().read(&weight, start, 32).unwrap();
        let words: Vec<u32> = read.as_chunks::<4>().0.iter().map(|w| u32::from_le_bytes(*w)).collect();
        let first = (start / 4) as u32;
        assert_eq!(words, (first..first + 8).map(|index| noise.word(index)).collect::<Vec<_>>());
    }
}
