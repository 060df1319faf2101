//! Workgroups of the kernels against what is known of devices.

use devices::{Target, profiles};
use shaders::{KernelSpec, compile, kernels};

#[test]
fn no_kernel_has_a_workgroup_that_a_device_gets_wrong() {
    for kernel in kernels() {
        let size = compile(&KernelSpec::new(kernel)).unwrap().reflection.workgroup_size;
        for profile in profiles() {
            let allowed = Target::from_profile(profile).allows_workgroup(size);
            assert!(allowed, "{}: {kernel} has {size:?}", profile.name);
        }
    }
}
