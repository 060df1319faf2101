//! Crate `onnx_import`.
