//! Everything that can be wrong with a file: one error, which carries the path to the place.

use crate::DataType;

/// Why an import was refused. `Display` gives the path from the graph to the place, then the cause:
/// `graph > node "…/q_proj" (MatMul) > input 1: no value is named "w"`.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The bytes are not the protobuf message that they should be.
    #[error("not a valid {message} (the file is damaged, or something else than ONNX): {source}")]
    Decode {
        /// The ONNX message.
        message: &'static str,
        /// Where decoding failed.
        source: prost::DecodeError,
    },
    /// A cause, with the place where it was found.
    #[error("{place}{}{cause}", separator(.cause))]
    At {
        /// The place: a graph, a node, an input.
        place: String,
        /// The cause, or a place further in.
        cause: Box<ImportError>,
    },
    /// The file format is too old, too new, or not given.
    #[error("IR version {} is not supported, only {oldest} to {newest}: export the model again", version(*.found))]
    IrVersion {
        /// What the file says.
        found: Option<i64>,
        /// Oldest version that is read.
        oldest: i64,
        /// Newest version that is read.
        newest: i64,
    },
    /// An operator set version out of range.
    #[error(
        "opset {version} of domain {domain:?} is not supported, only 1 to {newest}: export the model again"
    )]
    OpsetVersion {
        /// Domain; ONNX's own is `""`.
        domain: String,
        /// What the file says.
        version: i64,
        /// Newest version that is read.
        newest: i64,
    },
    /// The same domain is imported in two versions.
    #[error("domain {domain:?} is imported twice, as opset {first} and as opset {second}")]
    OpsetConflict {
        /// Domain; ONNX's own is `""`.
        domain: String,
        /// Version listed first.
        first: i64,
        /// Version listed later.
        second: i64,
    },
    /// A domain is used without a version.
    #[error("no opset version is given for domain {domain:?}")]
    OpsetMissing {
        /// Domain; ONNX's own is `""`.
        domain: String,
    },
    /// The file lacks something that cannot be done without.
    #[error("{what} is missing")]
    Missing {
        /// What should be there.
        what: &'static str,
    },
    /// A name is given twice.
    #[error("the name {name:?} is taken: it is {first} already")]
    DuplicateName {
        /// The name.
        name: String,
        /// What has the name already.
        first: &'static str,
    },
    /// A name that nothing has.
    #[error("no value is named {name:?}")]
    UnknownValue {
        /// The name.
        name: String,
    },
    /// A graph has more values than ids.
    #[error("more than {} values", u32::MAX)]
    TooManyValues,
    /// A node needs, through others, its own output.
    #[error("the node needs its own output, by way of {value:?}")]
    Cycle {
        /// The input through which it does.
        value: String,
    },
    /// Something ONNX has and this importer does not.
    #[error("not supported: {what}")]
    Unsupported {
        /// What it is.
        what: &'static str,
    },
    /// Graphs and functions in each other, too deep.
    #[error("graphs and functions are nested more than {limit} deep")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// Inlining the functions makes a model out of proportion to the file.
    #[error("inlining the functions takes more than {limit} bytes, too much for a file of {file} bytes")]
    TooMuchInlining {
        /// The limit in bytes.
        limit: usize,
        /// Size of the file in bytes.
        file: usize,
    },
    /// A function calls itself, directly or through others.
    #[error("the function {function} calls itself")]
    RecursiveFunction {
        /// `domain::name`.
        function: String,
    },
    /// A node gives a function more than it takes.
    #[error("the function {function} has {declared} {what}, the node gives {given}")]
    FunctionArity {
        /// `domain::name`.
        function: String,
        /// Inputs or outputs.
        what: &'static str,
        /// How many the function has.
        declared: usize,
        /// How many the node gives.
        given: usize,
    },
    /// A node gives a function an attribute that it does not have.
    #[error("the function {function} has no attribute {attribute:?}")]
    FunctionAttribute {
        /// `domain::name`.
        function: String,
        /// The attribute.
        attribute: String,
    },
    /// An attribute that refers to one of a function stands outside of functions.
    #[error("refers to the function attribute {name:?}, but stands in no function")]
    AttributeReference {
        /// The attribute referred to.
        name: String,
    },
    /// An attribute's type is not one of ONNX's.
    #[error("attribute type {number} is unknown")]
    UnknownAttributeType {
        /// `AttributeProto.type`.
        number: i32,
    },
    /// An attribute has another type than its operator wants.
    #[error("must be {expected}, but is {found}")]
    AttributeKind {
        /// The wanted kind, in words.
        expected: &'static str,
        /// The kind in the file, in words.
        found: &'static str,
    },
    /// An element type is not one of ONNX's.
    #[error("element type {number} is unknown")]
    UnknownDataType {
        /// `TensorProto.DataType`.
        number: i32,
    },
    /// A size below zero.
    #[error("axis {axis} has the size {size}")]
    NegativeSize {
        /// The axis.
        axis: usize,
        /// Its size.
        size: i64,
    },
    /// More axes than any operator takes.
    #[error("{rank} axes, more than {limit}")]
    Rank {
        /// Number of axes.
        rank: usize,
        /// The limit.
        limit: usize,
    },
    /// The product of the sizes does not fit.
    #[error("a {dtype} tensor of {dims:?} is too large")]
    TooLarge {
        /// Element type.
        dtype: DataType,
        /// Sizes.
        dims: Vec<u64>,
    },
    /// A tensor's data does not have the length that type and sizes ask for.
    #[error("{dtype} of {dims:?} takes {expected} {unit}, but {found} are there")]
    DataLength {
        /// Element type.
        dtype: DataType,
        /// Sizes.
        dims: Vec<u64>,
        /// Length by type and sizes.
        expected: u64,
        /// Length in the file.
        found: u64,
        /// What is counted.
        unit: &'static str,
    },
    /// A tensor's data stands in a field that is not for its type, or in two.
    #[error("{dtype} data must not stand in {field}")]
    DataField {
        /// Element type.
        dtype: DataType,
        /// Field of `TensorProto`.
        field: &'static str,
    },
    /// A number that its type cannot hold.
    #[error("element {index} is {value}, which is no {dtype}")]
    OutOfRange {
        /// Element type.
        dtype: DataType,
        /// Position in the field.
        index: usize,
        /// What stands there.
        value: i128,
    },
    /// A tensor cannot be read as numbers of the wanted kind.
    #[error("a {dtype} tensor cannot be read as {wanted}")]
    NotNumbers {
        /// Element type.
        dtype: DataType,
        /// What was asked for.
        wanted: &'static str,
    },
    /// The data of a tensor was left in a file that was not there.
    #[error("the data is in {location:?}, which was not read")]
    Absent {
        /// The file.
        location: String,
    },
    /// A constant is not what its declaration says.
    #[error("declared as {declared}, but the data is {found}")]
    Declaration {
        /// By the declaration.
        declared: String,
        /// By the data.
        found: String,
    },
    /// The description of external data is malformed.
    #[error("external data: {key} is {value:?}, which {problem}")]
    ExternalEntry {
        /// Which entry.
        key: &'static str,
        /// What it says.
        value: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A range past the end of an external file.
    #[error("bytes {offset}..{} of {location:?} are wanted, but the file has {size}", u128::from(*.offset) + u128::from(*.length))]
    ExternalRange {
        /// The file.
        location: String,
        /// Where the range starts.
        offset: u64,
        /// How long it is.
        length: u64,
        /// How long the file is.
        size: u64,
    },
    /// An external file is out of bounds.
    #[error("the external file {location:?} {problem}")]
    ExternalFile {
        /// The file.
        location: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// An external file cannot be read.
    #[error("the external file {location:?} cannot be read: {source} (it belongs beside the model)")]
    ExternalIo {
        /// The file.
        location: String,
        /// What the system says.
        source: std::io::Error,
    },
}

impl ImportError {
    /// The same error, with the place around the one that it has.
    #[must_use]
    pub fn within(self, place: impl Into<String>) -> Self {
        Self::At { place: place.into(), cause: Box::new(self) }
    }

    /// The cause, without the path.
    #[must_use]
    pub fn cause(&self) -> &Self {
        match self {
            Self::At { cause, .. } => cause.cause(),
            cause => cause,
        }
    }
}

fn separator(cause: &ImportError) -> &'static str {
    match cause {
        ImportError::At { .. } => " > ",
        _ => ": ",
    }
}

fn version(found: Option<i64>) -> String {
    found.map_or_else(|| "(none given)".to_owned(), |version| version.to_string())
}
