//! Operators that stand for several others. They have no kernels: inference puts their parts in their place.

use std::{any::Any, fmt::Debug, sync::Arc};

use symbolic::Equalities;

use super::{Infer, Lowering, Op, Parts, Typing};
use crate::{
    error::{OpError, invalid},
    graph::{Fact, Graph, ValueId},
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
        let host = |id: ValueId| graph.host(id).cloned().ok_or_else(|| self.whole());
        results.into_iter().map(host).collect()
    }

    fn lower(&self, _: &mut Lowering<'_>) -> Result<(), OpError> {
        Err(self.whole())
    }
}
