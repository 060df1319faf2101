//! Translates one attribute, subgraphs included.

use super::scope::{Argument, Frame};
use super::{Importer, budget, types};
use crate::proto::{AttributeProto, GraphProto};
use crate::{Attribute, Graph, ImportError, storage};

impl<'p> Importer<'p, '_> {
    /// The attribute's value; `None` when it refers to one that the function call leaves out.
    pub fn attribute(
        &mut self,
        proto: &'p AttributeProto,
        frame: usize,
    ) -> Result<Option<Attribute>, ImportError> {
        let Some(Argument { proto, frame, copied }) = self.resolve(proto, frame)? else { return Ok(None) };
        if copied {
            self.budget.spend(budget::attribute_cost(proto))?;
        }
        self.attribute_value(proto, frame).map(Some)
    }

    /// Follows a reference to an attribute of the function around it to where the caller wrote it.
    pub fn resolve(
        &self,
        proto: &'p AttributeProto,
        frame: usize,
    ) -> Result<Option<Argument<'p>>, ImportError> {
        match proto.ref_attr_name() {
            "" => Ok(Some(Argument { proto, frame, copied: false })),
            name => {
                let arguments = self.scopes.frames[frame].arguments.as_ref();
                let missing = || ImportError::AttributeReference { name: name.to_owned() };
                Ok(arguments.ok_or_else(missing)?.get(name).map(|found| Argument { copied: true, ..*found }))
            }
        }
    }

    fn attribute_value(&mut self, proto: &'p AttributeProto, frame: usize) -> Result<Attribute, ImportError> {
        let missing = |what| move || ImportError::Missing { what };
        Ok(match proto.r#type() {
            1 => Attribute::Float(proto.f()),
            2 => Attribute::Int(proto.i()),
            3 => Attribute::String(proto.s().to_vec()),
            4 => {
                let tensor = proto.t.as_deref().ok_or_else(missing("the tensor"))?;
                Attribute::Tensor(storage::tensor(tensor, self.external)?)
            }
            5 => {
                let graph = proto.g.as_deref().ok_or_else(missing("the graph"))?;
                Attribute::Graph(self.subgraph(graph, frame)?)
            }
            6 => Attribute::Floats(proto.floats.clone()),
            7 => Attribute::Ints(proto.ints.clone()),
            8 => Attribute::Strings(proto.strings.iter().map(|s| s.to_vec()).collect()),
            9 => {
                let tensors = proto.tensors.iter().map(|tensor| storage::tensor(tensor, self.external));
                Attribute::Tensors(tensors.collect::<Result<_, _>>()?)
            }
            10 => {
                let graphs = proto.graphs.iter().map(|graph| self.subgraph(graph, frame));
                Attribute::Graphs(graphs.collect::<Result<_, _>>()?)
            }
            11 | 12 => return Err(ImportError::Unsupported { what: "sparse tensors" }),
            13 => Attribute::Type(types::words(proto.tp.as_deref().ok_or_else(missing("the type"))?)?),
            14 => Attribute::Types(proto.type_protos.iter().map(types::words).collect::<Result<_, _>>()?),
            number => return Err(ImportError::UnknownAttributeType { number }),
        })
    }

    fn subgraph(&mut self, proto: &'p GraphProto, parent: usize) -> Result<Graph, ImportError> {
        let frame = Frame::subgraph(&self.scopes, parent);
        self.graph(proto, frame)
    }
}
