//! Where a kernel writes an output: in its place if it can write there, else beside it, with a copy behind.

use super::{Elem, Lowering, View};
use crate::error::OpError;

/// An output while it is computed. Write to `view`, then call [`Destination::finish`].
#[derive(Clone, Debug)]
#[must_use]
pub struct Destination {
    /// The memory to write, with one dimension for each of the value's.
    pub view: View,
    place: Option<View>,
}

impl Destination {
    /// Of output `index`, for a kernel that can write to views that `fits` accepts. Whole memory of its own always
    /// does.
    ///
    /// # Errors
    /// When the operator has no such output.
    pub fn of(cx: &mut Lowering<'_>, index: usize, fits: impl Fn(&View) -> bool) -> Result<Self, OpError> {
        let place = cx.output(index)?;
        let fact = cx.output_fact(index)?;
        let (shape, elem) = (fact.shape.clone(), Elem::of(fact.dtype, cx.activations()));
        let there = if place.dims.len() == shape.len() { Some(place.clone()) } else { place.reshape(&shape) };
        Ok(match there.filter(fits) {
            Some(view) => Self { view, place: None },
            None => Self { view: cx.temporary("beside", elem, &shape), place: Some(place) },
        })
    }

    /// Of a value that is no output.
    pub fn beside(view: View) -> Self {
        Self { view, place: None }
    }

    /// For a kernel that can write to any strides.
    ///
    /// # Errors
    /// As [`Destination::of`].
    pub fn strided(cx: &mut Lowering<'_>, index: usize) -> Result<Self, OpError> {
        Self::of(cx, index, |_| true)
    }

    /// For a kernel that writes elements one behind the other.
    ///
    /// # Errors
    /// As [`Destination::of`].
    pub fn contiguous(cx: &mut Lowering<'_>, index: usize) -> Result<Self, OpError> {
        Self::of(cx, index, View::is_contiguous)
    }

    /// Brings the elements to their place, when they were written beside it.
    ///
    /// # Errors
    /// When the copy cannot be made.
    pub fn finish(self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        self.place.map_or(Ok(()), |place| cx.copy(&self.view, &place))
    }
}
