//! Reads ONNX files into a plain [`Model`]: values and nodes with ids, sizes as symbolic expressions, weights as ranges of
//! the file's own bytes.
//!
//! ```
//! use bytes::Bytes;
//! use onnx_import::{FolderFiles, import};
//!
//! # use onnx_protobuf::{GraphProto, Message, ModelProto, NodeProto, OperatorSetIdProto, ValueInfoProto};
//! # let info = |name: &str| ValueInfoProto { name: name.into(), ..Default::default() };
//! # let node = NodeProto {
//! #     op_type: "Relu".into(), input: vec!["x".into()], output: vec!["y".into()], ..Default::default()
//! # };
//! # let graph = GraphProto { node: vec![node], input: vec![info("x")], output: vec![info("y")], ..Default::default() };
//! # let opset_import = vec![OperatorSetIdProto { version: 20, ..Default::default() }];
//! # let proto = ModelProto { ir_version: 10, opset_import, graph: Some(graph).into(), ..Default::default() };
//! # let folder = tempfile::tempdir()?;
//! # std::fs::write(folder.path().join("model.onnx"), proto.write_to_bytes()?)?;
//! let file = Bytes::from(std::fs::read(folder.path().join("model.onnx"))?);
//! let mut external = FolderFiles::new(folder.path(), |path| std::fs::read(path).map(Bytes::from));
//! let model = import(file, &mut external)?;
//!
//! let graph = &model.graph;
//! for node in &graph.nodes {
//!     let inputs = node.inputs.iter().map(|id| id.map_or("", |id| &graph[id].name));
//!     println!("{}@{} {:?}", node.op_type, node.version, inputs.collect::<Vec<_>>()); // Relu@20 ["x"]
//! }
//! assert_eq!(graph.inputs, [graph.find("x").unwrap()]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What the importer settles, so that nobody after it has to:
//! - **Names** become [`ValueId`]s of one [`Graph`]. Nodes come in an order in which they can run. A subgraph lists what it
//!   reads from the graph around it as [`Capture`]s.
//! - **Functions** of the model are inlined.
//! - **Tensors** have one form whatever their storage: raw little-endian [`Bytes`](bytes::Bytes), whose length is
//!   checked. Raw and external data share the caller's memory map; nothing is copied.
//! - **Sizes** are [`symbolic::Expr`]s. The same name is the same symbol, text that is no expression names a symbol, and an
//!   unknown size is a symbol of its own.
//! - **External data** comes through [`ExternalFiles`]: [`FolderFiles`] reads the model's folder and nothing else, with
//!   [`LeaveAbsent`] the graph can be read without its weights.
//!
//! Whether an operator is supported is not decided here; [`Model::operators`] lists them for whoever knows.
//!
//! A file may be hostile. Every failure is an [`ImportError`] with the path to the place; memory and time are bounded by
//! the size of the file; there is no unsafe code. `fuzz/` holds the targets that look for exceptions.
//!
//! To read on: [`import`], then [`Graph`] and [`Node`]. [`tensor_from_pb`] and [`tensor_to_pb`] are for single tensors in
//! files of their own, [`strip`] writes a model's graph for a file that carries the weights in another form, and a
//! [`GraphWriter`] makes a graph of one's own.

#![forbid(unsafe_code)]

mod dtype;
mod error;
mod external;
mod folder;
mod import;
mod minifloat;
mod model;
mod node;
mod numbers;
mod pb;
mod proto;
mod storage;
mod strip;
mod tensor;
mod write;

pub use dtype::DataType;
pub use error::ImportError;
pub use external::{ExternalFiles, LeaveAbsent, SafeLocation};
pub use folder::FolderFiles;
pub use import::{MAX_DEPTH, NEWEST_IR, NEWEST_OPSET, OLDEST_IR, import};
pub use minifloat::{Minifloat, Others, Rounding};
pub use model::{Capture, Graph, Model, Operator, TensorType, Value, ValueId};
pub use node::{Attribute, Node};
pub use pb::{tensor_from_pb, tensor_to_pb};
pub use strip::strip;
pub use tensor::{ExternalRange, Tensor, TensorData};
pub use write::{GraphWriter, Setting, Size};
