//! Operators that stand for several others. They have no kernels: inference puts their parts in their place.

use std::{any::Any, borrow::Cow, fmt::Debug, sync::Arc};

use symbolic::Equalities;

use super::{Infer, Lowering, Op, Parts, Typing};
use crate::{
    error::{OpError, invalid},
    graph::{Constant, Fact, Graph, ValueId},
    host::HostTensor,
};

/// An operator defined by a graph of others, such as `SkipLayerNormalization` = Add, then `LayerNormalization`.
pub trait Composite: Any + Debug + Send + Sync {
    /// The field's name for it.
    fn name(&self) -> &'static str;

    /// Adds the parts and returns the values that are the outputs, each computed by a part of its own.
    ///
    /// # Errors
    /// When the inputs break the operator's definition.
    fn expand(&self, parts: &mut Parts<'_, '_>) -> Result<Vec<ValueId>, OpError>;
}

/// A composite as an operator: what decoders return.
pub fn composite(of: impl Composite) -> Arc<dyn Op> {
    Arc::new(Whole(of))
}

#[derive(Debug)]
struct Whole<T>(T);

/// The data of a constant.
fn decoded(graph: &Graph, id: ValueId) -> Result<Cow<'_, HostTensor>, OpError> {
    let value = graph.value(id);
    match (&value.constant, &value.fact) {
        (Some(Constant::Host(tensor)), _) => Ok(Cow::Borrowed(tensor)),
        (Some(Constant::Blocks { matrix, .. }), Some(fact)) => {
            let shape = fact.shape.iter().map(|d| d.constant().and_then(|n| usize::try_from(n).ok()));
            let shape = shape.collect::<Option<Vec<usize>>>();
            let unknown = || invalid(format!("the shape of {:?} is not known", value.name));
            Ok(Cow::Owned(matrix.decoded(fact.dtype)?.reshape(shape.ok_or_else(unknown)?)?))
        }
        _ => Err(invalid(format!("nothing is known of {:?}", value.name))),
    }
}

impl<T: Composite> Whole<T> {
    fn whole(&self) -> OpError {
        invalid(format!("{} is only run in parts", self.0.name()))
    }
}

impl<T: Composite> Op for Whole<T> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn composite(&self) -> Option<&dyn Composite> {
        Some(&self.0)
    }

    fn infer(&self, _: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        Err(self.whole())
    }

    /// By the references of the parts.
    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        let mut graph = Graph::default();
        let ids = inputs.iter().enumerate();
        let ids: Vec<_> =
            ids.map(|(i, t)| t.map(|t| graph.add_constant(&format!("input{i}"), t.clone()))).collect();
        let results = Typing::new(&mut graph, &mut Equalities::new()).parts_of(&self.0, self.name(), &ids)?;
        for node in std::mem::take(&mut graph.nodes) {
            let inputs: Vec<_> = node
                .inputs
                .iter()
                .map(|id| id.map(|id| decoded(&graph, id)).transpose())
                .collect::<Result<_, _>>()?;
            let inputs: Vec<_> = inputs.iter().map(|t| t.as_deref()).collect();
            let found = node.op.reference(&inputs)?;
            for (output, tensor) in node.outputs.iter().zip(found) {
                graph.value_mut(*output).constant = Some(Constant::Host(tensor));
            }
        }
        results.into_iter().map(|id| decoded(&graph, id).map(Cow::into_owned)).collect()
    }

    fn lower(&self, _: &mut Lowering<'_>) -> Result<(), OpError> {
        Err(self.whole())
    }
}
