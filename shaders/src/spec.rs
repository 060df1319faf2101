//! The key of a pipeline: which kernel, which template choices, which numbers.

use std::{borrow::Cow, collections::BTreeMap, fmt};

/// Names one compiled form of a kernel. Plain data: build it anywhere, compare it, use it as a key.
///
/// An axis that is not chosen has the first value that the kernel's file declares for it; a number that is not set
/// has the default that stands there.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KernelSpec {
    kernel: Cow<'static, str>,
    choices: BTreeMap<&'static str, Cow<'static, str>>,
    overrides: BTreeMap<&'static str, u32>,
}

impl KernelSpec {
    /// The kernel in its default form.
    #[must_use]
    pub fn new(kernel: impl Into<Cow<'static, str>>) -> Self {
        Self { kernel: kernel.into(), choices: BTreeMap::new(), overrides: BTreeMap::new() }
    }

    /// Chooses `value` on the template axis `name`.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.choices.insert(name, value.into());
        self
    }

    /// Chooses `true` or `false` on the template axis `name`.
    #[must_use]
    pub fn flag(self, name: &'static str, value: bool) -> Self {
        self.with(name, if value { "true" } else { "false" })
    }

    /// Sets the `override` constant `name`.
    #[must_use]
    pub fn set(mut self, name: &'static str, value: u32) -> Self {
        self.overrides.insert(name, value);
        self
    }

    /// The kernel's name.
    #[must_use]
    pub fn kernel(&self) -> &str {
        &self.kernel
    }

    /// The template choices made, sorted by name.
    pub fn choices(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.choices.iter().map(|(n, v)| (*n, v.as_ref()))
    }

    /// The choice made on axis `name`, if any.
    #[must_use]
    pub fn choice(&self, name: &str) -> Option<&str> {
        self.choices.get(name).map(AsRef::as_ref)
    }

    /// The numbers set, sorted by name.
    pub fn overrides(&self) -> impl Iterator<Item = (&'static str, u32)> {
        self.overrides.iter().map(|(n, v)| (*n, *v))
    }
}

impl fmt::Display for KernelSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kernel)?;
        for (name, value) in &self.choices {
            write!(f, " {name}={value}")?;
        }
        for (name, value) in &self.overrides {
            write!(f, " {name}:{value}")?;
        }
        Ok(())
    }
}
