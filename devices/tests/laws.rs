//! What holds for every profile, and how live capabilities change one.

use devices::{
    Activations, Capabilities, F16, IntegerDot, Profile, Reduction, Subgroups, Target, by_name, profiles,
};
use wgpu_types::Features;

fn sources(profile: &Profile) -> Vec<&'static str> {
    let mut list = vec![profile.limits.source, profile.f16.source, profile.reduction.source];
    list.extend(profile.subgroups.map(|s| s.source));
    list.extend(profile.integer_dot.map(|s| s.source));
    list.extend(
        [profile.bandwidth, profile.f16_tflops, profile.f32_tflops].into_iter().flatten().map(|s| s.source),
    );
    list.extend(profile.avoid_workgroups.iter().map(|s| s.source));
    list.extend(profile.quirks.iter().flat_map(|q| [q.source, q.symptom, q.answer]));
    list
}

#[test]
fn every_number_has_a_source() {
    for profile in profiles() {
        assert!(sources(profile).iter().all(|s| !s.is_empty()), "{}", profile.name);
        for number in [profile.bandwidth, profile.f16_tflops, profile.f32_tflops].into_iter().flatten() {
            assert!(number.value > 0.0 && number.value.is_finite(), "{}", profile.name);
        }
    }
}

#[test]
fn names_are_unique_and_found() {
    let mut names: Vec<_> = profiles().map(|p| p.name).collect();
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count);
    for profile in profiles() {
        assert!(std::ptr::eq(by_name(profile.name).expect("listed"), profile), "{}", profile.name);
    }
}

#[test]
fn limits_are_possible() {
    for profile in profiles() {
        let limits = &profile.limits.value;
        let name = profile.name;
        assert!(limits.min_storage_buffer_offset_alignment.is_power_of_two(), "{name}");
        assert!(limits.min_uniform_buffer_offset_alignment.is_power_of_two(), "{name}");
        assert!(limits.max_storage_buffer_binding_size <= limits.max_buffer_size, "{name}");
        assert!(
            limits.max_compute_workgroup_size_x <= limits.max_compute_invocations_per_workgroup,
            "{name}"
        );
        assert!(limits.max_compute_workgroup_storage_size >= 16 << 10, "{name}");
        assert!(profile.max_submit_ms > 0, "{name}");
        if let Some(subgroups) = profile.subgroups {
            let Subgroups { min, max } = subgroups.value;
            assert!(min.is_power_of_two() && max.is_power_of_two() && min <= max, "{name}");
        }
    }
}

#[test]
fn preferred_kernels_fit_the_device() {
    for profile in profiles() {
        let target = Target::from_profile(profile);
        let name = profile.name;
        let (decode, prefill) = (profile.decode, profile.prefill);
        assert!(target.allows_workgroup([decode.threads, 1, 1]), "{name}");
        assert!(target.allows_workgroup([prefill.workgroup[0], prefill.workgroup[1], 1]), "{name}");
        // 16 lanes a block of rows, or a quarter of the threads for small matrices.
        assert!(decode.threads.is_power_of_two() && decode.threads >= 32, "{name}");
        assert!(matches!((prefill.tokens, prefill.outputs), (2 | 4 | 8, 4 | 8)), "{name}");
        // The kernels' shared memory in f32: sums of 4 rows for every thread; 32 columns of every token.
        let shared = (decode.threads * 4 * 4).max(prefill.workgroup[1] * prefill.tokens * 32 * 4);
        assert!(shared <= target.limits.max_compute_workgroup_storage_size, "{name}");
        if profile.reduction.value == Reduction::Subgroup {
            assert!(profile.subgroups.is_some(), "{name}");
        }
        if profile.activations == Activations::F16 {
            assert_ne!(profile.f16.value, F16::None, "{name}");
        }
    }
}

#[test]
fn known_bad_workgroups_are_refused() {
    let target = Target::from_profile(by_name("adreno-840").expect("known"));
    for bad in [[8, 8, 1], [4, 16, 1], [0, 1, 1], [1025, 1, 1], [64, 64, 1], [u32::MAX, u32::MAX, 2]] {
        assert!(!target.allows_workgroup(bad), "{bad:?}");
    }
    for good in [[16, 4, 1], [32, 2, 1], [64, 1, 1]] {
        assert!(target.allows_workgroup(good), "{good:?}");
    }
}

#[test]
fn what_the_device_offers_wins() {
    let profile = by_name("adreno-750").expect("known");
    let mut limits = profile.limits.value.clone();
    limits.max_storage_buffer_binding_size = (64 << 20) + 5;
    let live = Capabilities {
        limits,
        features: Features::TIMESTAMP_QUERY,
        subgroups: None,
        f16: F16::None,
        coop: None,
        integer_dot: Some(IntegerDot::None),
    };
    let target = Target::from_live(profile, live);
    assert_eq!(target.integer_dot, IntegerDot::None);
    assert_eq!(Target::from_profile(profile).integer_dot, IntegerDot::Signed);
    assert_eq!(target.reduction, Reduction::SharedMemory);
    assert_eq!(target.activations(), Activations::F32);
    assert_eq!(target.max_binding(), 64 << 20);
    assert!(target.timestamps);
    assert!(!Target::from_profile(profile).timestamps);
}
