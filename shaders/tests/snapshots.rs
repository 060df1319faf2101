//! Golden text: the interface of every kernel, and a few kernels as the GPU sees them.

use std::fmt::Write;

use shaders::{KernelSpec, axes, compile, kernels, variants};

/// Adds what is not there yet, keeping the order of first sight.
fn add(list: &mut Vec<String>, items: impl Iterator<Item = String>) {
    for item in items {
        if !list.contains(&item) {
            list.push(item);
        }
    }
}

#[test]
fn interfaces() {
    let mut text = String::new();
    for name in kernels() {
        let (mut slots, mut params, mut numbers) = (Vec::new(), Vec::new(), Vec::new());
        for spec in variants(name).unwrap() {
            let reflection = compile(&spec).unwrap().reflection;
            add(&mut slots, reflection.slots.iter().map(|s| format!("{} ({:?})", s.name, s.access)));
            let fields = reflection.params.iter().flat_map(|p| &p.fields);
            add(&mut params, fields.map(|f| format!("{} {:?}", f.name, f.ty)));
            add(&mut numbers, reflection.overrides.iter().map(|(n, v)| format!("{n} = {v}")));
        }
        let axes: Vec<_> =
            axes(name).unwrap().iter().map(|a| format!("{} = {}", a.name, a.values.join(" | "))).collect();
        writeln!(text, "{name}\n  axes: {}\n  numbers: {}", axes.join("; "), numbers.join(", ")).unwrap();
        writeln!(text, "  slots: {}\n  params: {}\n", slots.join(", "), params.join(", ")).unwrap();
    }
    insta::assert_snapshot!(text);
}

#[test]
fn rendered_elementwise() {
    let spec =
        KernelSpec::new("elementwise").with("OP", "silu_mul").flag("CONTIGUOUS", true).with("ELEM", "f16");
    insta::assert_snapshot!(compile(&spec).unwrap().source);
}

#[test]
fn rendered_reduce() {
    let spec = KernelSpec::new("reduce").with("OP", "argmax");
    insta::assert_snapshot!(compile(&spec).unwrap().source);
}

#[test]
fn rendered_linear_gemv() {
    let spec = KernelSpec::new("linear_gemv").with("REDUCE", "broadcast").flag("RESIDUAL", true);
    insta::assert_snapshot!(compile(&spec).unwrap().source);
}
