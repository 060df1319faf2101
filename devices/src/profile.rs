//! The form of a profile: facts with sources, and preferences for kernels.

use std::fmt;

use wgpu_types::Limits;

/// A value and where it is from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sourced<T> {
    /// The value.
    pub value: T,
    /// A document, issue or driver that says so.
    pub source: &'static str,
}

impl<T> Sourced<T> {
    pub(crate) const fn new(value: T, source: &'static str) -> Self {
        Self { value, source }
    }
}

/// Who made the GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// Qualcomm.
    Adreno,
    /// Arm, Mali and Immortalis.
    Mali,
    /// Apple, in phones and computers.
    Apple,
    /// Samsung, of AMD's RDNA.
    Xclipse,
    /// Imagination.
    PowerVr,
    /// NVIDIA, AMD or Intel.
    Desktop,
    /// A CPU that plays GPU.
    Software,
    /// Not known to us.
    Unknown,
}

/// How kernels get at 16-bit floats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum F16 {
    /// Not at all: `unpack2x16float` on words.
    None,
    /// WGSL's `enable f16`.
    Native,
    /// wgpu does not offer it but the driver does: SPIR-V goes to the driver as it is.
    Passthrough,
}

/// How threads of a workgroup add up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reduction {
    /// `subgroupAdd`.
    Subgroup,
    /// A tree in workgroup memory.
    SharedMemory,
}

/// How activations are held in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activations {
    /// Single precision.
    F32,
    /// Half precision; sums are still f32.
    F16,
}

/// The order of packed weights in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WeightLayout {
    /// `[n/4][k/word][n%4]`: one `vec4<u32>` holds a word along k of four rows.
    FourRows,
}

/// What packed matrices lie in, where kernels can read their codes from both. No phone was at hand to measure which is faster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WeightMemory {
    /// Storage buffers.
    Buffer,
    /// Textures, which on some GPUs are read through caches of their own. Scales stay in buffers.
    Texture,
}

impl fmt::Display for WeightMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Buffer => "buffer",
            Self::Texture => "texture",
        })
    }
}

/// Threads of a subgroup; the driver picks a power of two between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Subgroups {
    /// Fewest.
    pub min: u32,
    /// Most.
    pub max: u32,
}

/// How a matrix-vector product is shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DecodeShape {
    /// Threads share a block of rows and split k; a reduction follows.
    LanesAlongK,
    /// Each thread has rows of its own and walks all of k.
    RowPerLane,
}

/// The preferred matrix-vector kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Decode {
    /// Who does what.
    pub shape: DecodeShape,
    /// Threads of a workgroup, in one dimension; a power of two.
    pub threads: u32,
    /// Whether workgroups bring what is normalised first to their memory, where it fits, rather than each thread
    /// normalising what it reads, which takes more registers.
    pub stages_norm: bool,
    /// Columns of `x` in 8 bits that workgroups hold in their memory at a time, a multiple of 32: where a row has more, it
    /// comes in parts, since fewer workgroups would run.
    pub columns_in_bytes: u32,
}

/// Which products of four pairs of 8-bit integers, added up, are an instruction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum IntegerDot {
    /// None, or none is known.
    #[default]
    None,
    /// Those of unsigned integers alone.
    Unsigned,
    /// Those of signed ones, too.
    Signed,
}

/// The preferred matrix-matrix kernel: a tile that Mesa's compilers hold in registers. A larger one without spilling is
/// no gain where it leaves fewer threads to wait for memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Prefill {
    /// Tokens that one thread computes: 2, 4 or 8.
    pub tokens: u32,
    /// Outputs that one thread computes for each token: 4, or 8. For 8 tokens by 8 outputs weights are decoded into
    /// workgroup memory, for fewer by each thread.
    pub outputs: u32,
    /// Threads of a workgroup: along outputs, along tokens.
    pub workgroup: [u32; 2],
    /// Columns of weights that one thread decodes before it multiplies them: 8, or 4, which takes fewer registers.
    pub at_once: u32,
}

/// Something that a driver does wrong or badly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quirk {
    /// What happens, and when.
    pub symptom: &'static str,
    /// What we do about it.
    pub answer: &'static str,
    /// Who found it.
    pub source: &'static str,
}

/// What is known about a kind of GPU.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Lower case, unique: `adreno-750`.
    pub name: &'static str,
    /// Its maker.
    pub family: Family,
    /// What such a device reports through wgpu. What nobody published is WebGPU's guaranteed limit.
    pub limits: Sourced<Limits>,
    /// Subgroup sizes, if known.
    pub subgroups: Option<Sourced<Subgroups>>,
    /// Where 16-bit floats are to be had.
    pub f16: Sourced<F16>,
    /// Rows of the square cooperative matrices of f16 with sums in f32, where drivers are known to have them.
    pub coop: Option<Sourced<u32>>,
    /// Which products of four pairs of 8-bit integers are an instruction, if known.
    pub integer_dot: Option<Sourced<IntegerDot>>,
    /// Preferred reduction.
    pub reduction: Sourced<Reduction>,
    /// Two-dimensional workgroups that give wrong results.
    pub avoid_workgroups: &'static [Sourced<[u32; 2]>],
    /// Preferred matrix-vector kernel.
    pub decode: Decode,
    /// Preferred matrix-matrix kernel.
    pub prefill: Prefill,
    /// Preferred form of activations.
    pub activations: Activations,
    /// Layout of packed weights.
    pub layout: WeightLayout,
    /// What packed matrices lie in, unless whoever opens the GPU says otherwise.
    pub weights: WeightMemory,
    /// Longest GPU time of one submission, milliseconds: our choice, so that the screen gets its turn in every frame.
    pub max_submit_ms: u32,
    /// Memory bandwidth, GB/s; measured rather than theoretical where both are known.
    pub bandwidth: Option<Sourced<f64>>,
    /// Half-precision arithmetic, TFLOP/s.
    pub f16_tflops: Option<Sourced<f64>>,
    /// Single-precision arithmetic, TFLOP/s.
    pub f32_tflops: Option<Sourced<f64>>,
    /// What its drivers do wrong.
    pub quirks: &'static [Quirk],
}

/// WebGPU's guarantees with a phone's workgroups: 1024 threads and 32 KiB of shared memory.
pub(crate) const fn phone_limits() -> Limits {
    Limits {
        max_compute_invocations_per_workgroup: 1024,
        max_compute_workgroup_size_x: 1024,
        max_compute_workgroup_size_y: 1024,
        max_compute_workgroup_storage_size: 32 << 10,
        ..Limits::defaults()
    }
}
