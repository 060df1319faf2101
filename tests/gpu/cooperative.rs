//! Products by cooperative matrices against the reference, where the GPU has such: `scripts/test_cooperative.sh` brings software
//! Vulkan that does.

use engine::{
    gpu::{Gpu, OpenOptions},
    op::Elem,
};
use tests::check_variants;

#[test]
fn cooperative_matrices_give_the_reference() {
    let gpu = Gpu::open(&OpenOptions::default()).unwrap();
    let Some(matrices) = gpu.offers().coop else {
        assert!(std::env::var_os("HALFBYTE_COOPERATIVE").is_none(), "{} has none", gpu.summary().adapter);
        println!("skipped: this GPU has no cooperative matrices");
        return;
    };
    let gpu = gpu.acting_as(devices::by_name("nvidia").unwrap());
    // The smallest workgroups: software Vulkan takes long to compile larger ones.
    let word = format!("coop {0}x{0}", 4 * matrices.size);
    for activations in [Elem::F32, Elem::F16] {
        let (run, wrong) = check_variants(&gpu, activations, &word, Vec::new(), 1);
        println!("{run} runs in {activations:?}");
        assert!(run > 50, "only {run} runs");
        assert!(wrong.is_empty(), "{} of {run} runs are wrong:\n{}", wrong.len(), wrong.join("\n"));
    }
}
