//! What an operator sees while types and shapes are inferred.

use symbolic::{Equalities, Expr};

use crate::{
    dtype::DType,
    error::{OpError, invalid},
    graph::Fact,
    host::HostTensor,
};

/// Contents up to this many elements are tracked as expressions.
pub(crate) const TRACKED: usize = 1024;

/// The inputs of one node, and the sizes that were found to be equal on the way.
#[derive(Debug)]
pub struct Infer<'a> {
    inputs: &'a [Option<Fact>],
    hosts: &'a [Option<HostTensor>],
    equalities: &'a mut Equalities,
    node: &'a str,
}

impl<'a> Infer<'a> {
    /// For the node called `node`.
    pub fn new(node: &'a str, inputs: &'a [Option<Fact>], equalities: &'a mut Equalities) -> Self {
        Self { inputs, hosts: &[], equalities, node }
    }

    /// With the data of the inputs that are constants.
    #[must_use]
    pub fn with_hosts(self, hosts: &'a [Option<HostTensor>]) -> Self {
        Self { hosts, ..self }
    }

    /// The data of an input that is a constant at hand.
    #[must_use]
    pub fn host(&self, index: usize) -> Option<&'a HostTensor> {
        self.hosts.get(index).and_then(Option::as_ref)
    }

    /// Number of input positions, given or not.
    #[must_use]
    pub fn input_count(&self) -> usize {
        self.inputs.len()
    }

    /// A required input.
    ///
    /// # Errors
    /// When it is left out.
    pub fn input(&self, index: usize) -> Result<&'a Fact, OpError> {
        self.optional(index).ok_or(OpError::MissingInput { index })
    }

    /// An optional input.
    #[must_use]
    pub fn optional(&self, index: usize) -> Option<&'a Fact> {
        self.inputs.get(index).and_then(Option::as_ref)
    }

    /// The elements of an input that decides a shape.
    ///
    /// # Errors
    /// When it is left out or computed from data.
    pub fn content(&self, index: usize) -> Result<&'a [Expr], OpError> {
        self.input(index)?.content.as_deref().ok_or(OpError::NotConstant { index })
    }

    /// Elements of an input that must be plain integers: axes, steps.
    ///
    /// # Errors
    /// When it is left out, computed from data, or depends on a symbol.
    pub fn integers(&self, index: usize) -> Result<Vec<i64>, OpError> {
        let known = self.content(index)?.iter().map(Expr::constant);
        known.collect::<Option<_>>().ok_or(OpError::NotConstant { index })
    }

    /// Like [`Infer::integers`], `None` when the input is left out.
    ///
    /// # Errors
    /// When it is given but not plain integers.
    pub fn optional_integers(&self, index: usize) -> Result<Option<Vec<i64>>, OpError> {
        self.optional(index).map(|_| self.integers(index)).transpose()
    }

    /// Records that two sizes are equal.
    ///
    /// # Errors
    /// When they cannot be, with both places.
    pub fn unify(&mut self, a: &Expr, a_place: &str, b: &Expr, b_place: &str) -> Result<(), OpError> {
        if a == b {
            return Ok(());
        }
        let place = |text: &str| format!("{} {text}", self.node);
        let (a_place, b_place) = (place(a_place), place(b_place));
        Ok(self.equalities.unify(a, &a_place, b, &b_place)?)
    }

    /// Records that an input, if it is given, has this shape.
    ///
    /// # Errors
    /// When it cannot have it.
    pub fn expect(&mut self, index: usize, name: &str, shape: &[Expr]) -> Result<(), OpError> {
        let Some(fact) = self.optional(index) else { return Ok(()) };
        if fact.rank() != shape.len() {
            return Err(invalid(format!(
                "the {name} is {fact}, of {} dimensions, not {}",
                fact.rank(),
                shape.len()
            )));
        }
        for (axis, (a, b)) in fact.shape.iter().zip(shape).enumerate() {
            self.unify(a, &format!("axis {axis} of the {name}"), b, "the other inputs")?;
        }
        Ok(())
    }

    /// The shape that inputs broadcast to, by NumPy's rule.
    ///
    /// # Errors
    /// When two dimensions cannot be equal and neither is 1.
    pub fn broadcast(&mut self, shapes: &[&[Expr]]) -> Result<Vec<Expr>, OpError> {
        let rank = shapes.iter().map(|s| s.len()).max().unwrap_or(0);
        let mut out = vec![(Expr::from(1), 0); rank];
        let place = |operand: usize| format!("operand {operand}");
        for (operand, shape) in shapes.iter().enumerate() {
            for (dim, slot) in shape.iter().rev().zip(out.iter_mut().rev()) {
                if slot.0.constant() == Some(1) {
                    *slot = (dim.clone(), operand);
                } else if dim.constant() != Some(1) {
                    self.unify(&slot.0, &place(slot.1), dim, &place(operand))?;
                }
            }
        }
        Ok(out.into_iter().map(|(size, _)| size).collect())
    }

    /// The axis counted from the front.
    ///
    /// # Errors
    /// When it lies outside `-rank..rank`.
    pub fn axis(axis: i64, rank: usize) -> Result<usize, OpError> {
        let signed = i64::try_from(rank).unwrap_or(i64::MAX);
        let at = if axis < 0 { axis + signed } else { axis };
        if (0..signed).contains(&at) {
            return Ok(at as usize);
        }
        Err(invalid(format!("axis {axis} does not fit a tensor of rank {rank}")))
    }
}

/// [`Infer::broadcast`] for shapes known to fit.
#[must_use]
pub fn broadcast(shapes: &[Vec<Expr>]) -> Vec<Expr> {
    let rank = shapes.iter().map(Vec::len).max().unwrap_or(0);
    let mut out = vec![Expr::from(1); rank];
    for shape in shapes {
        for (dim, slot) in shape.iter().rev().zip(out.iter_mut().rev()) {
            if slot.constant() == Some(1) {
                *slot = dim.clone();
            }
        }
    }
    out
}

/// The fact of data at hand; small integer tensors come with their content.
#[must_use]
pub fn fact_of(tensor: &HostTensor) -> Fact {
    let shape = tensor.shape().iter().map(|d| Expr::from(*d as i64)).collect();
    let len: usize = tensor.shape().iter().product();
    let tracked = len <= TRACKED && (tensor.dtype().is_int() || tensor.dtype() == DType::Bool);
    let content = tracked.then(|| tensor.to_i64s().into_iter().map(Expr::from).collect());
    Fact { dtype: tensor.dtype(), shape, content }
}
