//! Versions, producer and metadata of a model.

use std::collections::BTreeMap;

use super::{NEWEST_IR, NEWEST_OPSET, OLDEST_IR};
use crate::ImportError;
use crate::proto::{ModelProto, OperatorSetIdProto, StringStringEntryProto};

/// Operator set version by domain.
pub(super) type Opsets = BTreeMap<String, i64>;

pub(super) fn ir_version(proto: &ModelProto) -> Result<i64, ImportError> {
    let found = proto.ir_version;
    found.filter(|version| (OLDEST_IR..=NEWEST_IR).contains(version)).ok_or(ImportError::IrVersion {
        found,
        oldest: OLDEST_IR,
        newest: NEWEST_IR,
    })
}

/// ONNX's own domain has two spellings.
pub(super) fn domain(name: &str) -> &str {
    if name == "ai.onnx" { "" } else { name }
}

/// Versions by domain. That a domain is missing shows where a node needs it: models without ONNX's own exist.
pub(super) fn opsets(imports: &[OperatorSetIdProto]) -> Result<Opsets, ImportError> {
    let mut opsets = Opsets::new();
    for import in imports {
        let (domain, version) = (domain(import.domain()), import.version());
        let newest = if domain.is_empty() { NEWEST_OPSET } else { i64::MAX };
        if !(1..=newest).contains(&version) {
            return Err(ImportError::OpsetVersion { domain: domain.to_owned(), version, newest });
        }
        let first = *opsets.entry(domain.to_owned()).or_insert(version);
        if first != version {
            return Err(ImportError::OpsetConflict { domain: domain.to_owned(), first, second: version });
        }
    }
    Ok(opsets)
}

pub(super) fn producer(proto: &ModelProto) -> String {
    format!("{} {}", proto.producer_name(), proto.producer_version()).trim().to_owned()
}

pub(super) fn metadata(proto: &ModelProto) -> BTreeMap<String, String> {
    let pair = |entry: &StringStringEntryProto| (entry.key().to_owned(), entry.value().to_owned());
    proto.metadata_props.iter().map(pair).collect()
}
