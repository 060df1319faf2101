//! Every variant of every kernel compiles, keeps the conventions of slots and parameters, and goes to SPIR-V.

use shaders::{Access, FieldType, KernelSpec, ShaderError, SpirvOptions, compile, kernels, spirv, variants};

const READ_ONLY: [&str; 5] = ["weight", "scales", "bias", "gain", "table"];

/// Kernels that no plan calls: they have nothing but their buffers.
fn of_plans(name: &&str) -> bool {
    !name.starts_with("peak_")
}

#[test]
fn every_variant_keeps_the_conventions() {
    for name in kernels().filter(of_plans) {
        for spec in variants(name).unwrap() {
            let reflection = compile(&spec).unwrap().reflection;
            let params = reflection.params.expect("every kernel has parameters");
            for slot in &reflection.slots {
                let constant = READ_ONLY.contains(&slot.name.as_str());
                let texture = slot.name == "weight" && spec.choice("TEXTURE") == Some("true");
                let access = match (texture, constant) {
                    (true, _) => Access::Texture,
                    (false, true) => Access::Read,
                    (false, false) => Access::ReadWrite,
                };
                assert_eq!(slot.access, access, "{spec}: {}", slot.name);
                let offset = params.field(&format!("{}_offset", slot.name)).map(|f| f.ty);
                assert_eq!(offset, Some(FieldType::U32), "{spec}: {}", slot.name);
            }
            // Every GPU with cooperative matrices has 32 KiB or more; which shape fits is for the operator to see to.
            let most = if name == "linear_coop" { 48 << 10 } else { 16 << 10 };
            assert!(reflection.workgroup_bytes <= most, "{spec}: {} bytes", reflection.workgroup_bytes);
            // One is for software Vulkan alone, whose subgroups have 8 threads.
            let least = if name == "attention_rows" { 8 } else { 32 };
            assert_eq!(reflection.workgroup_size.iter().product::<u32>() % least, 0, "{spec}");
        }
    }
}

#[test]
fn default_variants_go_to_spirv() {
    for name in kernels() {
        for check_bounds in [false, true] {
            let kernel = compile(&KernelSpec::new(name)).unwrap();
            let words = spirv(&kernel, SpirvOptions { check_bounds, ..SpirvOptions::default() }).unwrap();
            assert_eq!(words[..2], [0x0723_0203, 0x0001_0300], "{name}");
        }
    }
}

#[test]
fn numbers_resolve_and_change_the_hash() {
    let spec = KernelSpec::new("elementwise").with("OP", "add");
    let (a, b) = (compile(&spec).unwrap(), compile(&spec.clone().set("WG_X", 128)).unwrap());
    assert_eq!((a.reflection.workgroup_size, b.reflection.workgroup_size), ([64, 1, 1], [128, 1, 1]));
    assert_eq!(b.reflection.overrides, [("WG_X".to_owned(), 128)]);
    assert_ne!(a.source_hash(), b.source_hash());
    assert_eq!(a.source_hash(), compile(&spec.set("WG_X", 64)).unwrap().source_hash());
}

#[test]
fn what_is_not_declared_is_an_error() {
    let spec = || KernelSpec::new("elementwise");
    let cases = [
        (KernelSpec::new("elementwize"), "there is no kernel \"elementwize\""),
        (spec().with("ELM", "f32"), "has no axis \"ELM\"; it has OP, ELEM, TO, CONTIGUOUS, RANK"),
        (spec().with("RANK", "5"), "\"5\" is not a value of RANK, which has 4 | 8"),
        (spec().set("WG_Z", 1), "has no override \"WG_Z\""),
        (spec().with("OP", "xor"), "this combination does not exist: #exclude"),
        (spec().set("WG_X", 0), "elementwise WG_X:0"),
    ];
    for (spec, expected) in cases {
        let error = compile(&spec).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn specs_are_ordered_text() {
    let spec = KernelSpec::new("elementwise").set("WG_X", 64).flag("CONTIGUOUS", true).with("OP", "add");
    assert_eq!(spec.to_string(), "elementwise CONTIGUOUS=true OP=add WG_X:64");
    assert_eq!(
        spec,
        KernelSpec::new("elementwise").with("OP", "add").flag("CONTIGUOUS", true).set("WG_X", 64)
    );
}

#[test]
fn parameters_are_written_by_name_once() {
    let kernel = compile(&KernelSpec::new("elementwise")).unwrap();
    let layout = kernel.reflection.params.unwrap();
    let mut bytes = vec![0; layout.size as usize];
    let mut w = layout.writer(&mut bytes).unwrap();
    w.u32("total", 7).unwrap();
    w.u32s("shape", &[1, 2, 3, 4]).unwrap();
    let message = |r: Result<(), ShaderError>| r.unwrap_err().to_string();
    assert_eq!(message(w.u32("total", 7)), "parameter \"total\": was written twice");
    assert_eq!(message(w.u32("totl", 7)), "parameter \"totl\": is not in the kernel's Params");
    assert_eq!(message(w.f32("a_offset", 7.0)), "parameter \"a_offset\": is U32, written as F32");
    assert_eq!(message(w.u32s("a_strides", &[1])), "parameter \"a_strides\": is U32s(4), written as U32s(1)");
    assert_eq!(message(w.finish()), "parameter \"a_offset\": was not written");
    let at = layout.field("shape").unwrap().offset as usize;
    assert_eq!(bytes[at..at + 16], [1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0]);
    assert!(layout.writer(&mut [0; 8]).is_err());
}
