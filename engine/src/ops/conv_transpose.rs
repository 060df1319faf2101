//! ConvTranspose: a convolution of an input that is spread by its strides, with mirrored filters.

use std::sync::Arc;

use symbolic::Expr;

use super::{conv::Conv, reshape::Reshape, slice::Slice, transpose::Transpose};
use crate::{
    error::{OpError, invalid},
    graph::ValueId,
    op::{
        Case, Composite, OnnxNode, Op, Operator, Parts, composite,
        nd::fixed,
        sample, standard,
        window::{LIMIT, Padding, Window},
    },
};

/// Inputs: x `[batch, channels, ..]`, filters `[channels, out / groups, taps ..]`, biases `[out]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConvTranspose {
    /// Of the convolution that takes the result to the input.
    pub window: Window,
    /// Groups of channels that do not see each other.
    pub groups: i64,
    /// Positions added behind each axis; none when empty.
    pub more: Vec<i64>,
    /// Sizes of the result, batch and channels in front or not, which decide the padding.
    pub sizes: Option<Vec<i64>>,
}

/// Number `at` of a list, of which an empty one stands for `default` everywhere.
fn of(list: &[i64], at: usize, default: i64) -> Result<i64, OpError> {
    let found = if list.is_empty() { Some(default) } else { list.get(at).copied() };
    let fits = found.filter(|n| (0..=LIMIT).contains(n));
    fits.ok_or_else(|| invalid(format!("{list:?} has no size for axis {at}")))
}

impl ConvTranspose {
    /// Padding of the spread input along an axis of `size`, of `rank` in all.
    fn padding(&self, at: usize, rank: usize, taps: i64, size: &Expr) -> Result<[i64; 2], OpError> {
        let (stride, dilation) = (of(&self.window.strides, at, 1)?, of(&self.window.dilations, at, 1)?);
        let reach = (taps.min(LIMIT) - 1) * dilation;
        let whole = reach + of(&self.more, at, 0)?;
        let spread = (size - 1) * stride + 1;
        // How much longer the result is than the spread input.
        let longer = match (&self.sizes, &self.window.padding) {
            (Some(list), _) => {
                let wanted = list.len().checked_sub(rank).map_or(&[][..], |first| &list[first..]);
                let unknown = || OpError::Unsupported(format!("ConvTranspose to {list:?} from size {size}"));
                (Expr::from(of(wanted, at, -1)?) - &spread).constant().ok_or_else(unknown)?
            }
            (None, Padding::Same { .. }) => stride - 1,
            (None, Padding::Explicit(pads)) => {
                let pads = pads.get(at).copied().unwrap_or([0, 0]);
                if pads.iter().any(|n| !(-LIMIT..=LIMIT).contains(n)) {
                    return Err(invalid(format!("pads = {pads:?}")));
                }
                return Ok([reach - pads[0], whole - pads[1]]);
            }
        };
        let cut = whole.saturating_sub(longer).max(0);
        let upper = self.window.padding == Padding::Same { upper: true };
        let before = reach - if upper { cut / 2 } else { cut - cut / 2 };
        Ok([before, longer.saturating_add(reach - before)])
    }

    /// The filters as `[out, channels / groups, taps ..]`, the taps in reverse.
    fn mirrored(
        &self,
        parts: &mut Parts<'_, '_>,
        filters: ValueId,
        shape: &[i64],
    ) -> Result<ValueId, OpError> {
        let groups = self.groups;
        let [channels, rows, taps @ ..] = shape else { return Err(invalid("the filters have no taps")) };
        if groups < 1 || channels % groups != 0 {
            return Err(invalid(format!("{channels} channels in {groups} groups")));
        }
        let apart = parts.integers(&[&[groups, channels / groups, *rows], taps].concat())?;
        let out = groups.checked_mul(*rows).ok_or_else(|| invalid("the filters are too large"))?;
        let joined = parts.integers(&[&[out, channels / groups], taps].concat())?;
        let perm = [0, 2, 1].into_iter().chain(3..shape.len() + 1).collect();
        let filters = parts.add(Reshape { allow_zero: true }, &[filters, apart])?;
        let filters = parts.add(Transpose { perm: Some(perm) }, &[filters])?;
        let filters = parts.add(Reshape { allow_zero: true }, &[filters, joined])?;
        let all = |n: i64| vec![n; taps.len()];
        let axes: Vec<i64> = (2..shape.len() as i64).collect();
        let [starts, ends, axes, steps] =
            [all(-1), all(i64::MIN), axes, all(-1)].map(|list| parts.integers(&list));
        parts.add(Slice, &[filters, starts?, ends?, axes?, steps?])
    }
}

impl Composite for ConvTranspose {
    fn name(&self) -> &'static str {
        "ConvTranspose"
    }

    fn expand(&self, parts: &mut Parts<'_, '_>) -> Result<Vec<ValueId>, OpError> {
        let (x, filters) = (parts.input(0)?, parts.input(1)?);
        let unknown = || OpError::Unsupported("filters whose sizes are not known".into());
        let shape = fixed(&parts.fact(filters)?.shape).ok_or_else(unknown)?;
        let shape: Vec<i64> = shape.into_iter().map(|n| n as i64).collect();
        let sizes = parts.fact(x)?.shape.get(2..).unwrap_or_default().to_vec();
        if sizes.len() + 2 != shape.len() {
            return Err(invalid(format!("filters of shape {shape:?} over {} axes", sizes.len())));
        }
        let pads = sizes.iter().enumerate();
        let pads = pads.map(|(at, size)| self.padding(at, sizes.len(), shape[at + 2], size));
        let window = Window {
            strides: Vec::new(),
            spread: self.window.strides.clone(),
            padding: Padding::Explicit(pads.collect::<Result<_, _>>()?),
            ..self.window.clone()
        };
        let filters = self.mirrored(parts, filters, &shape)?;
        let inputs = [Some(x), Some(filters), parts.optional(2)];
        parts.add_all(Conv { window, groups: self.groups }, &inputs, 1)
    }
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    let list = |name| Ok::<_, OpError>(node.ints(name)?.map(<[i64]>::to_vec));
    Ok(composite(ConvTranspose {
        window: Window::decode(node)?,
        groups: node.int_or("group", 1)?,
        more: list("output_padding")?.unwrap_or_default(),
        sizes: list("output_shape")?.filter(|list| !list.is_empty()),
    }))
}

fn cases() -> Vec<Case> {
    let window = |strides: &[i64], dilations: &[i64], padding| Window {
        strides: strides.to_vec(),
        dilations: dilations.to_vec(),
        padding,
        ..Window::default()
    };
    let pads = |pads: &[[i64; 2]]| Padding::Explicit(pads.to_vec());
    let case =
        |window: Window, groups, more: &[i64], sizes: Option<&[i64]>, x: &[usize], filters: &[usize]| {
            let op = ConvTranspose { window, groups, more: more.to_vec(), sizes: sizes.map(<[i64]>::to_vec) };
            let bias = sample::floats(&[filters[1] * groups as usize], 3);
            let inputs = [sample::floats(x, 1), sample::floats(filters, 2), bias].map(Some).to_vec();
            Case::composite(format!("{x:?} by {filters:?}, {op:?}"), op, inputs).constants(&[1, 2])
        };
    let (same, odd) = (Padding::Same { upper: true }, Padding::Same { upper: false });
    vec![
        case(window(&[], &[], pads(&[])), 1, &[], None, &[1, 2, 5], &[2, 3, 4]),
        case(window(&[2, 3], &[], pads(&[[1, 0], [2, 1]])), 1, &[1, 0], None, &[1, 2, 3, 4], &[2, 17, 3, 4]),
        case(window(&[2], &[3], pads(&[[0, 4]])), 2, &[], None, &[2, 4, 5], &[4, 3, 3]),
        case(window(&[2, 2], &[], same), 1, &[], None, &[1, 1, 3, 4], &[1, 2, 3, 5]),
        case(window(&[3, 2], &[], odd), 3, &[], None, &[1, 3, 3, 4], &[3, 1, 4, 1]),
        case(window(&[3, 2], &[], pads(&[])), 1, &[], Some(&[10, 8]), &[1, 1, 3, 3], &[1, 2, 3, 3]),
        case(window(&[2], &[], pads(&[])), 1, &[], Some(&[1, 2, 6]), &[1, 1, 4], &[1, 2, 3]),
        case(window(&[2, 1, 2], &[], pads(&[[1, 1]; 3])), 1, &[], None, &[1, 2, 3, 3, 2], &[2, 2, 2, 3, 3]),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[standard("ConvTranspose", 1..=27)], decode, cases };

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::HostTensor;

    /// Each element of the input put down with its copy of the filter.
    #[test]
    fn values_by_hand() {
        let x = HostTensor::from_f32(vec![1, 1, 3], &[1.0, 2.0, 3.0]).unwrap();
        let filters = HostTensor::from_f32(vec![1, 1, 3], &[1.0, 10.0, 100.0]).unwrap();
        let of = |stride: i64, more: i64, pads: [i64; 2]| {
            let window = Window::new(&[stride], &[], &[pads]);
            let op = composite(ConvTranspose { window, groups: 1, more: vec![more], sizes: None });
            op.reference(&[Some(&x), Some(&filters), None]).unwrap()[0].to_f32s()
        };
        assert_eq!(of(1, 0, [0, 0]), [1.0, 12.0, 123.0, 230.0, 300.0]);
        assert_eq!(of(2, 0, [0, 0]), [1.0, 10.0, 102.0, 20.0, 203.0, 30.0, 300.0]);
        assert_eq!(of(2, 1, [1, 1]), [10.0, 102.0, 20.0, 203.0, 30.0, 300.0]);
        assert_eq!(of(4, 2, [0, 0])[7..], [0.0, 3.0, 30.0, 300.0, 0.0, 0.0]);
    }
}
