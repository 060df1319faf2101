//! Any bytes as a model: an error or a consistent graph.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use onnx_import::{ExternalFiles, Graph, ImportError, SafeLocation, import};

/// Every external file holds the same 64 bytes.
struct SameFile;

impl ExternalFiles for SameFile {
    fn open(&mut self, _: &SafeLocation) -> Result<Option<Bytes>, ImportError> {
        Ok(Some(Bytes::from_static(&[1; 64])))
    }
}

fuzz_target!(|data: &[u8]| {
    match import(Bytes::copy_from_slice(data), &mut SameFile) {
        Ok(model) => {
            check(&model.graph, true);
            let _ = model.operators();
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});

/// Every id is in range, every value is given once, and nodes read only what is there already.
fn check(graph: &Graph, main: bool) {
    let mut there: Vec<bool> = graph.values.iter().map(|value| value.data.is_some()).collect();
    assert!(!main || graph.captures.is_empty());
    for id in graph.inputs.iter().chain(graph.captures.iter().map(|capture| &capture.inner)) {
        assert!(!std::mem::replace(&mut there[id.0 as usize], true));
    }
    for node in &graph.nodes {
        assert!(node.inputs.iter().flatten().all(|id| there[id.0 as usize]));
        for subgraph in node.subgraphs() {
            assert!(subgraph.captures.iter().all(|capture| there[capture.outer.0 as usize]));
            check(subgraph, false);
        }
        for id in node.outputs.iter().flatten() {
            assert!(!std::mem::replace(&mut there[id.0 as usize], true));
        }
    }
    assert!(graph.outputs.iter().all(|id| there[id.0 as usize]));
}
