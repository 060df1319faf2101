//! From a spec to a kernel: rendered, validated, numbers resolved, interface known.

use naga::{Expression, Literal, back::pipeline_constants::process_overrides, valid::ModuleInfo};

use crate::{
    KernelSpec, ShaderError,
    axes::{Axes, Axis},
    library::LIBRARY,
    reflect::{Reflection, reflect},
    template::{find, kernel_path, render},
    validate::validate,
};

/// A compiled kernel.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// What it was compiled from.
    pub spec: KernelSpec,
    /// The rendered WGSL; its `override` constants still have their default values.
    pub source: String,
    /// The module with every override resolved.
    pub module: naga::Module,
    /// What naga knows about `module`.
    pub info: ModuleInfo,
    /// Its interface.
    pub reflection: Reflection,
}

impl Kernel {
    /// A hash of the rendered text and of the numbers in force (FNV-1a), the same on every machine and in every run.
    #[must_use]
    pub fn source_hash(&self) -> u64 {
        let numbers: String = self.reflection.overrides.iter().map(|(n, v)| format!("\0{n}={v}")).collect();
        fold([self.source.as_str(), &numbers])
    }
}

/// FNV-1a of some texts, one behind the other.
pub(crate) fn fold<'a>(texts: impl IntoIterator<Item = &'a str>) -> u64 {
    let bytes = texts.into_iter().flat_map(str::bytes);
    bytes.fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

/// The names of all kernels, sorted.
pub fn kernels() -> impl Iterator<Item = &'static str> {
    LIBRARY.kernels.iter().map(|(name, _)| *name)
}

fn declared(kernel: &str) -> Result<(&'static str, Axes<'static>), ShaderError> {
    let found = find(LIBRARY.kernels, kernel);
    let (name, text) = found.ok_or_else(|| ShaderError::UnknownKernel { name: kernel.to_owned() })?;
    Ok((name, Axes::parse(&kernel_path(name), text)?))
}

/// What a kernel's template lets one choose.
///
/// # Errors
/// When there is no such kernel.
pub fn axes(kernel: &str) -> Result<Vec<Axis<'static>>, ShaderError> {
    Ok(declared(kernel)?.1.axes)
}

/// A spec for every variant of a kernel, numbers left at their defaults.
///
/// # Errors
/// When there is no such kernel.
pub fn variants(kernel: &str) -> Result<Vec<KernelSpec>, ShaderError> {
    let (name, axes) = declared(kernel)?;
    let spec = |choices: Vec<&'static str>| {
        axes.axes.iter().zip(choices).fold(KernelSpec::new(name), |s, (axis, c)| s.with(axis.name, c))
    };
    Ok(axes.variants()?.into_iter().map(spec).collect())
}

/// Renders, validates and reflects a kernel.
///
/// # Errors
/// When the kernel, an axis, a value or a number of the spec does not exist, or the combination is excluded.
pub fn compile(spec: &KernelSpec) -> Result<Kernel, ShaderError> {
    let wrong = |message: String| ShaderError::Spec { spec: spec.to_string(), message };
    let (name, axes) = declared(spec.kernel())?;
    let choices = choose(spec, &axes.axes).map_err(wrong)?;
    if let Some(condition) = axes.excluded(&choices)? {
        return Err(wrong(format!("this combination does not exist: #exclude {condition}")));
    }
    let rendered = render(LIBRARY, name, &axes, &choices)?;
    let (module, info) = validate(&rendered, &axes.describe(&choices))?;
    let overrides = numbers(spec, &module).map_err(wrong)?;
    let values = spec.overrides().map(|(name, value)| (name.to_owned(), f64::from(value))).collect();
    let (module, info) =
        process_overrides(&module, &info, None, &values).map_err(|e| wrong(e.to_string()))?;
    let (module, info) = (module.into_owned(), info.into_owned());
    let interface = |message| ShaderError::Interface { kernel: name.to_owned(), message };
    let reflection = reflect(&module, overrides).map_err(interface)?;
    Ok(Kernel { spec: spec.clone(), source: rendered.source, module, info, reflection })
}

/// One value for each axis.
fn choose(spec: &KernelSpec, axes: &[Axis<'static>]) -> Result<Vec<&'static str>, String> {
    for (name, value) in spec.choices() {
        let axis = axes.iter().find(|a| a.name == name).ok_or_else(|| {
            let names: Vec<_> = axes.iter().map(|a| a.name).collect();
            format!("has no axis {name:?}; it has {}", names.join(", "))
        })?;
        axis.check(value)?;
    }
    let value = |axis: &Axis<'static>| {
        let chosen = spec.choice(axis.name).and_then(|c| axis.values.iter().find(|v| **v == c));
        *chosen.unwrap_or(&axis.values[0])
    };
    Ok(axes.iter().map(value).collect())
}

/// The value of every override that is a plain `u32`, sorted by name; the error is a message.
fn numbers(spec: &KernelSpec, module: &naga::Module) -> Result<Vec<(String, u32)>, String> {
    let mut found = Vec::new();
    for (_, constant) in module.overrides.iter() {
        let init = constant.init.map(|e| &module.global_expressions[e]);
        if let (Some(name), Some(Expression::Literal(Literal::U32(default)))) = (&constant.name, init) {
            let set = spec.overrides().find(|(n, _)| n == name);
            found.push((name.clone(), set.map_or(*default, |(_, value)| value)));
        }
    }
    found.sort();
    match spec.overrides().find(|(n, _)| !found.iter().any(|(name, _)| name == n)) {
        None => Ok(found),
        Some((name, _)) => Err(format!("has no override {name:?} of type u32")),
    }
}
