//! Prints what the GPU sees of a kernel: `render KERNEL [AXIS=value ...] [NAME:number ...]`; or, with no argument, the
//! names of all kernels. Numbers are printed in force, so that the output can be fed to an offline compiler.
//! `--spirv FILE` writes SPIR-V too.

use std::{env, error::Error, fs};

use shaders::{Kernel, KernelSpec, SpirvOptions, compile, kernels, spirv};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let Some(name) = arguments.next() else {
        print(&kernels().collect::<Vec<_>>().join("\n"));
        return Ok(());
    };
    let (mut spec, mut file) = (KernelSpec::new(name), None);
    while let Some(argument) = arguments.next() {
        let keep = |text: &str| -> &'static str { text.to_owned().leak() };
        if argument == "--spirv" {
            file = arguments.next();
        } else if let Some((axis, value)) = argument.split_once('=') {
            spec = spec.with(keep(axis), value.to_owned());
        } else if let Some((number, value)) = argument.split_once(':') {
            spec = spec.set(keep(number), value.parse()?);
        } else {
            return Err(format!("{argument:?} is neither AXIS=value nor NAME:number").into());
        }
    }
    let kernel = compile(&spec)?;
    if let Some(file) = file {
        let words = spirv(&kernel, SpirvOptions::default())?;
        fs::write(file, words.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<_>>())?;
    }
    print(&in_force(&kernel));
    Ok(())
}

/// The source with `override` constants turned into `const` of the values in force; derived ones keep their formula.
fn in_force(kernel: &Kernel) -> String {
    let line = |line: &str| {
        let found =
            kernel.reflection.overrides.iter().find(|(n, _)| line.starts_with(&format!("override {n}:")));
        found.map_or_else(
            || line.replace("override ", "const "),
            |(n, value)| format!("const {n}: u32 = {value}u;"),
        )
    };
    kernel.source.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[allow(clippy::print_stdout, reason = "printing is what this program is for")]
fn print(text: &str) {
    println!("{text}");
}
