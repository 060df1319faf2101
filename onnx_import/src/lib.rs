//! Reads ONNX files into a plain [`Model`].
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
mod tensor;

pub use dtype::DataType;
pub use error::ImportError;
pub use external::{ExternalFiles, LeaveAbsent, SafeLocation};
pub use folder::FolderFiles;
pub use import::{MAX_DEPTH, NEWEST_IR, NEWEST_OPSET, OLDEST_IR, import};
pub use model::{Capture, Graph, Model, Operator, TensorType, Value, ValueId};
pub use node::{Attribute, Node};
pub use pb::{tensor_from_pb, tensor_to_pb};
pub use tensor::{ExternalRange, Tensor, TensorData};
