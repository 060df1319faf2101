//! Tokens chosen on the device against the sampler on the CPU: from odd logits, by its distribution, and along whole texts.

use std::{ops::ControlFlow, sync::Arc};

use engine::{
    generate::Generator,
    op::Elem,
    sampler::{Sampler, Sampling},
    session::{LoadedModel, Session},
};
use tests::{Choices, Expected, gpu, load, models};

fn sampler(sampling: &Sampling) -> Sampler {
    Sampler::new(sampling.clone()).unwrap()
}

fn warm() -> Sampling {
    Sampling { temperature: 1.0, ..Sampling::default() }
}

/// Numbers that look random, with ties: few values, so that equal logits lie in many sections.
fn logits(count: usize, values: u32, seed: u32) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 8
    };
    (0..count).map(|_| (next() % values) as f32 * 0.125 - 20.0).collect()
}

#[test]
fn the_likeliest_token_is_the_samplers() {
    let (nan, inf) = (f32::NAN, f32::INFINITY);
    let mut cases: Vec<Vec<f32>> = vec![
        vec![1.0],
        vec![nan, -inf, -3.0],
        vec![-nan, 1.0, nan, 1.0],
        vec![5.0, inf, nan, -inf, inf],
        vec![0.0, -0.0],
        vec![-0.0, 0.0],
        vec![f32::MAX, f32::MIN],
        vec![-1.0; 1000],
        vec![-1e-40, -1e-41, -1e-42],
    ];
    cases.extend([63, 64, 65, 4097, 49_152, 128_256].map(|n| logits(n, 100, n as u32)));
    let penalised = Sampling { repetition_penalty: 1.7, ..Sampling::default() };
    for logits in cases {
        for sampling in [Sampling::default(), penalised.clone()] {
            let latest: Vec<u32> = (0..100).map(|i| i * 7 % logits.len() as u32).collect();
            // The likeliest are among the latest, twice.
            let best = sampler(&Sampling::default()).sample(&logits, &[]).unwrap();
            let history = [&latest[..], &[best, best, u32::MAX - 7]].concat();
            let wanted = sampler(&sampling).sample(&logits, &history).unwrap();
            let got = gpu().choose(&logits, Elem::F32, &mut sampler(&sampling), &history, 1).unwrap();
            let first = &logits[..logits.len().min(8)];
            assert_eq!(got, [Some(wanted)], "{} logits, {first:?}…, {sampling:?}", logits.len());
        }
    }
}

#[test]
fn half_precision_logits_are_compared_as_they_are() {
    for count in [1, 2, 77, 1001, 49_152] {
        // Eighths below 256 are halves.
        let rounded = logits(count, 2000, 5);
        for sampling in [
            Sampling::default(),
            Sampling { repetition_penalty: 1.3, ..Sampling::default() },
            Sampling { top_k: 1, ..warm() },
        ] {
            let best = sampler(&Sampling::default()).sample(&rounded, &[]).unwrap();
            let wanted = sampler(&sampling).sample(&rounded, &[best]).unwrap();
            let got = gpu().choose(&rounded, Elem::F16, &mut sampler(&sampling), &[best], 1).unwrap();
            assert_eq!(got, [Some(wanted)], "{count} logits, {sampling:?}");
        }
    }
}

#[test]
fn logits_without_a_number_are_an_error() {
    for sampling in [Sampling::default(), warm(), Sampling { top_k: 3, ..warm() }] {
        let broken = [f32::NAN, f32::NEG_INFINITY, f32::NAN];
        let error = gpu().choose(&broken, Elem::F32, &mut sampler(&sampling), &[], 1).unwrap_err();
        assert!(error.to_string().contains("none of the 3 logits"), "{error}");
    }
}

/// Shares of tokens in many draws; the sum over the tokens of (got - wanted)² / wanted.
fn chi_squared(draws: &[u32], wanted: &[f64]) -> f64 {
    let count = draws.len() as f64;
    let got = |token: usize| draws.iter().filter(|t| **t as usize == token).count() as f64;
    let part = |(token, share): (usize, &f64)| (got(token) - share * count).powi(2) / (share * count);
    wanted.iter().enumerate().filter(|(_, share)| **share > 0.0).map(part).sum()
}

/// What the sampler's filters leave of the softmax, by its own many draws in the long run: computed.
fn shares(logits: &[f32], keep: usize, temperature: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|a, b| logits[*b].total_cmp(&logits[*a]).then(a.cmp(b)));
    let mut weights = vec![0.0; logits.len()];
    for token in &order[..keep] {
        weights[*token] = (f64::from(logits[*token]) / temperature).exp();
    }
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|w| w / sum).collect()
}

#[test]
fn draws_follow_the_probabilities() {
    const DRAWS: usize = 800;
    // Three tokens in sections of one each, and behind them many that are unlikely together.
    let mut logits = vec![-4.0f32; 200];
    for (token, logit) in [(0, 0.5), (70, 1.5), (71, 1.0), (140, 0.0), (199, -0.5)] {
        logits[token] = logit;
    }
    let cases = [
        (Sampling { seed: 1, ..warm() }, shares(&logits, 200, 1.0)),
        (Sampling { seed: 2, temperature: 2.0, ..warm() }, shares(&logits, 200, 2.0)),
        (Sampling { seed: 3, top_k: 3, ..warm() }, shares(&logits, 3, 1.0)),
        // 4.48, 2.72, 1.65, 1, 0.61 and 195 of 0.018 are 14.0 in all: 0.6 of it is reached with the third.
        (Sampling { seed: 4, top_p: 0.6, ..warm() }, shares(&logits, 3, 1.0)),
        (Sampling { seed: 5, min_p: 0.2, ..warm() }, shares(&logits, 4, 1.0)),
    ];
    for (sampling, wanted) in cases {
        let draws = gpu().choose(&logits, Elem::F32, &mut sampler(&sampling), &[], DRAWS).unwrap();
        let draws: Vec<u32> = draws.into_iter().map(|d| d.expect("a choice")).collect();
        let kinds = wanted.iter().filter(|w| **w > 0.0).count() as f64;
        assert!(
            draws.iter().all(|d| wanted[*d as usize] > 0.0),
            "{sampling:?}: a token that is filtered out"
        );
        // Five standard deviations above the mean of chi-squared with kinds - 1 degrees of freedom.
        let most = kinds - 1.0 + 5.0 * (2.0 * kinds).sqrt();
        let found = chi_squared(&draws, &wanted);
        assert!(found < most, "{sampling:?}: chi-squared {found} of {kinds} tokens, at most {most}");
        let again = gpu().choose(&logits, Elem::F32, &mut sampler(&sampling), &[], 50).unwrap();
        assert!(again.iter().zip(&draws).all(|(a, b)| *a == Some(*b)), "{sampling:?}: equal seeds");
        let other = Sampling { seed: 99, ..sampling.clone() };
        let other = gpu().choose(&logits, Elem::F32, &mut sampler(&other), &[], 50).unwrap();
        assert!(other.iter().zip(&draws).any(|(a, b)| *a != Some(*b)), "{sampling:?}: another seed");
    }
}

#[test]
fn filters_that_reach_behind_the_list_are_left_to_the_cpu() {
    let flat = vec![1.0f32; 500];
    for (sampling, decided) in [
        (Sampling { top_p: 0.5, ..warm() }, false),
        (Sampling { top_p: 0.1, ..warm() }, true),
        (Sampling { min_p: 0.5, ..warm() }, false),
        (Sampling { top_k: 65, ..warm() }, false),
        (Sampling { top_k: 64, top_p: 0.9, ..warm() }, true),
        (Sampling { temperature: 1e-3, ..warm() }, false),
    ] {
        let got = gpu().choose(&flat, Elem::F32, &mut sampler(&sampling), &[], 1).unwrap();
        assert_eq!(got[0].is_some(), decided, "{sampling:?}");
    }
    let few = gpu().choose(&[1.0; 20], Elem::F32, &mut sampler(&Sampling { min_p: 0.1, ..warm() }), &[], 1);
    assert!(few.unwrap()[0].is_some(), "the list holds all there is");
}

fn ways() -> Vec<Sampling> {
    vec![
        Sampling::default(),
        Sampling { repetition_penalty: 1.5, repetition_window: 5, ..Sampling::default() },
        Sampling { top_k: 8, seed: 3, ..warm() },
        Sampling { top_p: 0.8, repetition_penalty: 1.2, seed: 4, ..warm() },
        Sampling { top_k: 100, seed: 5, ..warm() },
    ]
}

fn go(_: usize, _: usize) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// A text with everything that interrupts one: the end of an answer, another prompt, going back.
fn text(mut generator: Generator, prompt: &[u32]) -> Vec<u32> {
    let mut all = Vec::new();
    let mut next = |generator: &mut Generator, count: usize| {
        for _ in 0..count {
            all.push(generator.next_token().unwrap());
            assert_eq!(generator.session().past(), generator.history().len());
        }
    };
    assert!(generator.prompt(prompt, &mut go).unwrap().is_continue());
    next(&mut generator, 6);
    assert!(generator.prompt(&[5, 6, 7], &mut go).unwrap().is_continue());
    next(&mut generator, 4);
    let left = generator.rewind(generator.history().len() - 2);
    let rest: Vec<u32> = if left == 0 { prompt.to_vec() } else { vec![9] };
    assert!(generator.prompt(&rest, &mut go).unwrap().is_continue());
    generator.limit(5);
    next(&mut generator, 5);
    all
}

fn generator(model: &Arc<LoadedModel>, sampling: &Sampling, padding: usize) -> Generator {
    let mut session = Session::new(model.clone(), model.context().min(64)).unwrap();
    if padding > 0 {
        session.pad_left(padding).unwrap();
    }
    Generator::new(session, sampling.clone()).unwrap()
}

#[test]
fn texts_are_those_of_the_cpus_sampler() {
    for folder in models("tiny_llama").into_iter().chain(models("caches")) {
        let expected = Expected::read(&folder.join("expected"));
        for all_logits in [false, true] {
            let choices = Choices { all_logits, chunk: 5, ..Choices::default() };
            let model = load(&folder.join("model.onnx"), choices);
            for sampling in ways() {
                let device = text(generator(&model, &sampling, 0), &expected.prompt);
                let cpu = text(generator(&model, &sampling, 0).choosing_on_cpu(), &expected.prompt);
                assert_eq!(device, cpu, "{}, {sampling:?}", folder.display());
            }
        }
    }
}

#[test]
fn padded_texts_are_those_of_the_cpus_sampler() {
    let folder = &models("tiny_llama")[0];
    let expected = Expected::read(&folder.join("expected_padded"));
    let model = load(&folder.join("model.onnx"), Choices { padding: true, ..Choices::default() });
    for sampling in ways() {
        let of = |cpu: bool| {
            let generator = generator(&model, &sampling, expected.padding);
            let generator = if cpu { generator.choosing_on_cpu() } else { generator };
            text(generator, &expected.prompt)
        };
        assert_eq!(of(false), of(true), "{sampling:?}");
    }
}

#[test]
fn the_context_ends_where_it_did() {
    let model = load(&models("tiny_llama")[0].join("model.onnx"), Choices::default());
    for cpu in [false, true] {
        let generator =
            Generator::new(Session::new(model.clone(), 10).unwrap(), Sampling::default()).unwrap();
        let mut generator = if cpu { generator.choosing_on_cpu() } else { generator };
        let error = generator.next_token().unwrap_err().to_string();
        assert!(error.contains("no prompt"), "{error}");
        assert!(generator.prompt(&[3, 14, 15, 92, 65], &mut go).unwrap().is_continue());
        let tokens: Vec<u32> = (0..6).map(|_| generator.next_token().unwrap()).collect();
        for _ in 0..2 {
            let error = generator.next_token().unwrap_err().to_string();
            assert!(error.contains("context"), "{error}");
        }
        assert_eq!(generator.session().past(), 10);
        assert_eq!(generator.history()[5..], tokens[..5]);
    }
}
