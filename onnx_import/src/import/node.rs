//! Translates one node.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::Importer;
use super::header::domain;
use crate::proto::NodeProto;
use crate::{Attribute, ImportError, Node, ValueId};

impl<'p> Importer<'p, '_> {
    /// Adds the node to the current graph, or the body of the function that it calls.
    pub fn node(&mut self, proto: &'p NodeProto, frame: usize) -> Result<(), ImportError> {
        if proto.op_type().is_empty() {
            return Err(ImportError::Missing { what: "the operator" });
        }
        let domain = domain(proto.domain());
        if let Some(function) = self.functions.find(domain, proto.op_type(), proto.overload()) {
            return self.inline(proto, function, frame);
        }
        let version = self.scopes.frames[frame].opsets.get(domain).copied();
        let node = Node {
            name: self.prefixed(proto.name(), frame)?,
            domain: domain.to_owned(),
            op_type: proto.op_type().to_owned(),
            version: version.ok_or_else(|| ImportError::OpsetMissing { domain: domain.to_owned() })?,
            inputs: self.node_inputs(proto, frame)?,
            outputs: self.node_outputs(proto, frame)?,
            attributes: self.node_attributes(proto, frame)?,
        };
        self.push(node);
        Ok(())
    }

    /// What a node reads, in the current graph.
    pub fn node_inputs(
        &mut self,
        proto: &NodeProto,
        frame: usize,
    ) -> Result<Vec<Option<ValueId>>, ImportError> {
        let mut inputs = Vec::new();
        for (index, name) in proto.input.iter().enumerate() {
            let at = |error: ImportError| error.within(format!("input {index}"));
            inputs.push(self.reference(name, frame).map_err(at)?);
        }
        Ok(inputs)
    }

    /// What a node writes, in the current graph; every output has been declared.
    pub fn node_outputs(
        &mut self,
        proto: &NodeProto,
        frame: usize,
    ) -> Result<Vec<Option<ValueId>>, ImportError> {
        proto.output.iter().map(|name| self.reference(name, frame)).collect()
    }

    fn node_attributes(
        &mut self,
        proto: &'p NodeProto,
        frame: usize,
    ) -> Result<BTreeMap<String, Attribute>, ImportError> {
        let mut attributes = BTreeMap::new();
        for attribute in &proto.attribute {
            let name = attribute.name();
            let at = |error: ImportError| error.within(format!("attribute {name:?}"));
            let Some(value) = self.attribute(attribute, frame).map_err(at)? else { continue };
            match attributes.entry(name.to_owned()) {
                Entry::Vacant(free) => free.insert(value),
                Entry::Occupied(_) => {
                    return Err(ImportError::DuplicateName {
                        name: name.to_owned(),
                        first: "another attribute",
                    });
                }
            };
        }
        Ok(attributes)
    }
}
