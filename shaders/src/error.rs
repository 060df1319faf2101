//! What can be wrong with a kernel, its template or its parameters.

/// An error of this crate; `file` is a path below `shaders/wgsl`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShaderError {
    /// No `.wgsl` file has this name.
    #[error("there is no kernel {name:?}; kernels are the files of shaders/wgsl")]
    UnknownKernel {
        /// The name asked for.
        name: String,
    },
    /// A directive, condition, name or import in a template is wrong.
    #[error("{file}:{line}: {message}")]
    Template {
        /// Where.
        file: String,
        /// Line, from 1.
        line: u32,
        /// What is wrong and what would be right.
        message: String,
    },
    /// naga refuses the rendered WGSL.
    #[error("{file}:{line}: {message} (variant {variant})")]
    Wgsl {
        /// Where.
        file: String,
        /// Line, from 1.
        line: u32,
        /// What naga says.
        message: String,
        /// The template choices.
        variant: String,
    },
    /// The spec asks for something that the kernel does not declare.
    #[error("kernel {spec}: {message}")]
    Spec {
        /// The spec's text form.
        spec: String,
        /// What is wrong and what would be right.
        message: String,
    },
    /// The kernel's interface breaks this crate's conventions.
    #[error("kernel {kernel}: {message}")]
    Interface {
        /// The kernel.
        kernel: String,
        /// Which convention, and how it is broken.
        message: String,
    },
    /// Translation to SPIR-V failed.
    #[error("kernel {kernel}: no SPIR-V: {message}")]
    Spirv {
        /// The kernel.
        kernel: String,
        /// What naga says.
        message: String,
    },
    /// A parameter is unknown, missing or of another type.
    #[error("parameter {name:?}: {message}")]
    Param {
        /// The parameter.
        name: String,
        /// What is wrong.
        message: String,
    },
}
