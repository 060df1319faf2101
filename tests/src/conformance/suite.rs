//! The tests of a folder like ONNX's `backend/test/data`, and which operator each is about.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use onnx_import::{LeaveAbsent, Model};

/// The folders of tests that come with their data. (`real` and `light` name models to download.)
pub const GROUPS: [&str; 4] = ["node", "simple", "pytorch-operator", "pytorch-converted"];

/// One test: a folder with `model.onnx` and `test_data_set_N` folders.
#[derive(Clone, Debug)]
pub struct Test {
    /// `GROUP/NAME`, such as `node/test_abs`.
    pub name: String,
    /// Where it lies.
    pub folder: PathBuf,
    /// The operator that it is about, with its domain if that is not ONNX's own; `(GROUP)` where there are several.
    pub operator: String,
    /// Whether the operator is spelled out in others, as ONNX's definition of it as a function says.
    pub expanded: bool,
    /// Every operator of the model, subgraphs included.
    pub uses: BTreeSet<String>,
}

/// The tests in `data`, groups in the order of [`GROUPS`], sorted by name in each. Groups that are not there have none.
///
/// # Errors
/// When a folder or model cannot be read.
pub fn tests(data: &Path) -> io::Result<Vec<Test>> {
    let mut all = Vec::new();
    for group in GROUPS {
        let folder = data.join(group);
        if folder.is_dir() {
            all.extend(read_group(group, &folder)?);
        }
    }
    Ok(all)
}

fn read_group(group: &str, folder: &Path) -> io::Result<Vec<Test>> {
    let mut tests = Vec::new();
    for entry in fs::read_dir(folder)? {
        let folder = entry?.path();
        if folder.join("model.onnx").is_file() {
            tests.push(read_test(group, folder)?);
        }
    }
    tests.sort_by(|a, b| a.name.cmp(&b.name));
    let plain: BTreeMap<String, String> =
        tests.iter().map(|t| (t.name.clone(), t.operator.clone())).collect();
    for test in &mut tests {
        let base = test.name.split_once("_expanded").map(|(base, _)| base);
        if let Some(operator) = base.and_then(|base| plain.get(base)) {
            test.operator.clone_from(operator);
            test.expanded = true;
        }
    }
    Ok(tests)
}

fn read_test(group: &str, folder: PathBuf) -> io::Result<Test> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let name = format!("{group}/{name}");
    // A model that the importer refuses is a test all the same: running it says why.
    let model = onnx_import::import(engine::open::map(&folder.join("model.onnx"))?, &mut LeaveAbsent).ok();
    let operator = model.as_ref().and_then(only_operator).unwrap_or_else(|| format!("({group})"));
    let uses = model.iter().flat_map(|m| m.operators().into_keys());
    let uses = uses.map(|o| full_name(&o.domain, &o.op_type)).collect();
    Ok(Test { name, folder, operator, expanded: false, uses })
}

fn full_name(domain: &str, op_type: &str) -> String {
    if domain.is_empty() { op_type.to_owned() } else { format!("{domain}.{op_type}") }
}

/// The operator of the only node, not counting those that make constants for it.
fn only_operator(model: &Model) -> Option<String> {
    let mut nodes = model.graph.nodes.iter().filter(|n| n.op_type != "Constant");
    let node = match (nodes.next(), nodes.next()) {
        (Some(only), None) => only,
        (None, _) => model.graph.nodes.first()?,
        _ => return None,
    };
    Some(full_name(&node.domain, &node.op_type))
}
