//! Products by cooperative matrices against the reference, where the GPU has such.

use engine::gpu::{Gpu, OpenOptions};
use tests::check_variants;

#[test]
fn cooperative_matrices_give_the_reference() {
    let gpu = Gpu::open(&OpenOptions::default()).unwrap();
    let Some(matrices) = gpu.offers().coop else {
        println!("skipped: this GPU has no cooperative matrices");
        return;
    };
    let gpu = gpu.acting_as(devices::by_name("nvidia").unwrap());
    // The smallest workgroups: software Vulkan takes long to compile larger ones.
    let word = format!("coop {0}x{0}", 4 * matrices.size);
    let (run, wrong) = check_variants(&gpu, &word, Vec::new(), 1);
    assert!(run > 50, "only {run} runs");
    assert!(wrong.is_empty(), "{} of {run} runs are wrong:\n{}", wrong.len(), wrong.join("\n"));
}
