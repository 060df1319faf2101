//! Every device profile on the noop backend: what it would refuse is an error, and nothing else is.

use devices::{F16, by_name, profiles};
use shaders::{KernelSpec, compile};

use super::{Clock, Gpu, GpuError, OpenOptions};

fn noop(name: &str) -> Gpu {
    Gpu::noop(by_name(name).expect("a known profile")).expect("noop opens")
}

#[test]
fn every_profile_opens_and_makes_pipelines() {
    for profile in profiles() {
        let gpu = Gpu::noop(profile).expect(profile.name);
        let target = gpu.target();
        assert_eq!(target.max_binding, gpu.offers().max_binding(), "{}", profile.name);
        assert_eq!(target.f16, profile.f16.value != F16::None, "{}", profile.name);
        let elems: &[&str] = if target.f16 { &["f32", "f16"] } else { &["f32"] };
        for elem in elems {
            let spec = KernelSpec::new("elementwise").with("OP", "add").with("ELEM", *elem);
            let kernel = compile(&spec).expect("compiles");
            gpu.pipeline(&kernel).expect(profile.name);
        }
        assert_eq!(gpu.counters().counts().pipelines, elems.len() as u64, "{}", profile.name);
    }
}

#[test]
fn passes_are_timed_without_a_clock_too() {
    let gpu = noop("mali-g720");
    assert_eq!(gpu.clock(), Clock::Submits);
    let mut recorded = Vec::new();
    let times = gpu.time_passes(3, &mut |index, _| recorded.push(index)).expect("runs");
    assert_eq!((times.len(), recorded), (3, vec![0, 1, 2]));
    assert_eq!(gpu.counters().counts().submits, 3);
}

#[test]
fn a_pipeline_is_made_once() {
    let gpu = noop("mali-g720");
    let kernel = compile(&KernelSpec::new("elementwise").with("OP", "mul")).expect("compiles");
    let first = gpu.pipeline(&kernel).expect("made");
    let again = gpu.pipeline(&kernel).expect("found");
    assert!(std::sync::Arc::ptr_eq(&first, &again));
    assert_eq!(gpu.counters().counts().pipelines, 1);
}

#[test]
fn what_a_device_lacks_is_refused_by_name() {
    let gpu = noop("powervr-dxt");
    let kernel =
        compile(&KernelSpec::new("elementwise").with("OP", "add").with("ELEM", "f16")).expect("compiles");
    match gpu.pipeline(&kernel) {
        Err(GpuError::Pipeline { kernel, text }) => {
            assert!(kernel.contains("elementwise") && text.contains("f16"), "{kernel}: {text}");
        }
        other => panic!("f16 was accepted: {other:?}"),
    }
    let limit = gpu.offers().limits.max_buffer_size;
    match gpu.storage("weights of q_proj", limit + 16) {
        Err(GpuError::Memory { label, size, .. }) => {
            assert_eq!((label.as_str(), size), ("weights of q_proj", limit + 16));
        }
        other => panic!("a buffer beyond the limit was accepted: {other:?}"),
    }
}

#[test]
fn a_refused_write_is_reported_by_the_next_submit_and_only_there() {
    let gpu = noop("apple-a17");
    let buffer = gpu.storage("small", 16).expect("made");
    gpu.write(&buffer, 4096, &[0; 4]);
    let error = gpu.submit([gpu.encoder()]).expect_err("beyond the end").to_string();
    assert!(error.contains("4096"), "{error}");
    gpu.submit([gpu.encoder()]).expect("the device is still good");
}

#[test]
fn bytes_come_back_from_any_position() {
    let gpu = noop("adreno-750");
    let bytes: Vec<u8> = (0..=255).collect();
    let buffer = gpu.storage("bytes", 256).expect("made");
    gpu.write(&buffer, 0, &bytes);
    for (offset, size) in [(0, 256), (1, 1), (3, 7), (254, 2), (128, 0)] {
        let end = (offset + size) as usize;
        let read = gpu.read(&buffer, offset, size).expect("read");
        assert_eq!(read, bytes[offset as usize..end], "{offset}+{size}");
    }
    gpu.write(&buffer, 8, &[1, 2, 3, 4, 5]);
    let read = gpu.read(&buffer, 4, 16).expect("read");
    assert_eq!(read, [4, 5, 6, 7, 1, 2, 3, 4, 5, 0, 0, 0, 16, 17, 18, 19]);
}

#[test]
fn threads_read_without_disturbing_each_other() {
    let gpu = noop("adreno-750");
    std::thread::scope(|scope| {
        for thread in 0..4u8 {
            let gpu = &gpu;
            scope.spawn(move || {
                let buffer = gpu.storage("mine", 64).expect("made");
                gpu.write(&buffer, 0, &[thread; 64]);
                for _ in 0..50 {
                    assert_eq!(gpu.read(&buffer, 0, 64).expect("read"), [thread; 64]);
                }
            });
        }
    });
}

#[test]
fn an_adapter_that_is_not_there_is_an_error() {
    let options = OpenOptions { adapter: Some("no such adapter".to_owned()), ..OpenOptions::default() };
    let error = Gpu::open(&options).expect_err("no such adapter");
    assert!(matches!(error, GpuError::NoSuchAdapter { .. } | GpuError::NoAdapter), "{error}");
}
