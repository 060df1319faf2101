//! The import proper: header, then the graph with its subgraphs, functions inlined on the way.

mod attribute;
mod budget;
mod function;
mod graph;
mod header;
mod node;
mod scope;
mod sort;
mod types;

use bytes::Bytes;

use crate::proto::ModelProto;
use crate::{ExternalFiles, ImportError, Model, pb};
use budget::Budget;
use function::Functions;
use graph::GraphBuilder;
use scope::{Frame, Scopes};
use types::Dims;

/// Oldest file format that is read: the first with operator set versions.
pub const OLDEST_IR: i64 = 3;
/// Newest file format that is read.
pub const NEWEST_IR: i64 = 14;
/// Newest operator set of ONNX's own domain that is read. What of it is supported is for the operators to say.
pub const NEWEST_OPSET: i64 = 28;
/// Greatest depth of subgraphs and function calls within each other.
pub const MAX_DEPTH: usize = 64;

/// Imports an ONNX model from the bytes of its file, sharing their memory: raw weights are not copied, so give it a memory
/// map. Data in other files is asked of `external`.
///
/// The file may be hostile: memory and time are bounded by its size, times a constant.
///
/// # Errors
/// When the file is damaged, contradicts itself or has what this importer does not know, with the path to the place.
pub fn import(bytes: Bytes, external: &mut dyn ExternalFiles) -> Result<Model, ImportError> {
    let budget = Budget::for_file(bytes.len());
    let proto: ModelProto = pb::decode("ModelProto", bytes)?;
    let ir_version = header::ir_version(&proto)?;
    let opsets = header::opsets(&proto.opset_import)?;
    let graph = proto.graph.as_deref().ok_or(ImportError::Missing { what: "the graph" })?;
    let mut importer = Importer {
        external,
        budget,
        dims: Dims::default(),
        functions: Functions::new(&proto.functions)?,
        scopes: Scopes::default(),
        builders: Vec::new(),
    };
    let frame = Frame::main(opsets.clone());
    let graph = importer.graph(graph, frame).map_err(|error| error.within("graph"))?;
    Ok(Model {
        ir_version,
        opsets,
        producer: header::producer(&proto),
        metadata: header::metadata(&proto),
        graph,
    })
}

/// State of one import.
struct Importer<'p, 'e> {
    external: &'e mut dyn ExternalFiles,
    budget: Budget,
    dims: Dims,
    functions: Functions<'p>,
    scopes: Scopes<'p>,
    /// The graphs under construction, each inside of the one before it.
    builders: Vec<GraphBuilder>,
}
