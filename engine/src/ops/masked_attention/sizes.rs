//! The sizes that queries, keys and values of an attention share.

use crate::{
    error::{OpError, invalid},
    host::HostTensor,
};

/// Of queries `[batch, heads, queries, d]`, keys `[batch, groups, keys, d]` and values `[batch, groups, keys, dv]`.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Sequences.
    pub batch: usize,
    /// Heads of the queries.
    pub heads: usize,
    /// Heads of keys and values, a divisor of those of the queries.
    pub groups: usize,
    /// Positions of the queries.
    pub queries: usize,
    /// Positions of keys and values.
    pub keys: usize,
    /// Width of queries and keys.
    pub d: usize,
    /// Width of values.
    pub dv: usize,
}

impl Sizes {
    /// Reads them off the tensors.
    ///
    /// # Errors
    /// When the shapes do not fit each other.
    pub fn of(q: &HostTensor, k: &HostTensor, v: &HostTensor) -> Result<Self, OpError> {
        let (&[batch, heads, queries, d], &[_, groups, keys, dv]) = (q.shape(), v.shape()) else {
            return Err(invalid("an input has not 4 dimensions"));
        };
        if k.shape() != [batch, groups, keys, d] || groups == 0 || heads % groups != 0 {
            let shapes = [q, k, v].map(HostTensor::shape);
            return Err(invalid(format!("queries, keys and values of {shapes:?} do not fit")));
        }
        Ok(Self { batch, heads, groups, queries, keys, d, dv })
    }
}
