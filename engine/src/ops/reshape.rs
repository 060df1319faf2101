//! Reshape: the same elements under another shape.

use std::sync::Arc;

use symbolic::Expr;

use crate::{
    error::{OpError, invalid},
    graph::Fact,
    host::HostTensor,
    op::{Case, Infer, Lowering, OnnxNode, Op, Operator, Tolerance, View, nd::given, sample, standard},
};

/// In the shape (input 1) 0 stands for the input's size there, -1 for what is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reshape {
    /// Whether 0 is a size instead.
    pub allow_zero: bool,
}

impl Reshape {
    fn resolve(self, from: &[Expr], wanted: &[Expr]) -> Result<Vec<Expr>, OpError> {
        let mut shape = Vec::with_capacity(wanted.len());
        let mut open = None;
        for (at, size) in wanted.iter().enumerate() {
            shape.push(match size.constant() {
                Some(0) if !self.allow_zero => from.get(at).cloned().ok_or_else(|| {
                    invalid(format!("size {at} is copied from an input of rank {}", from.len()))
                })?,
                Some(-1) if open.is_none() => {
                    open = Some(at);
                    Expr::from(1)
                }
                Some(n) if n < 0 => return Err(invalid(format!("the shape has {n} at {at}"))),
                _ => size.clone(),
            });
        }
        let product = |list: &[Expr]| list.iter().fold(Expr::from(1), |n, d| &n * d);
        let (have, want) = (product(from), product(&shape));
        if let Some(at) = open {
            let fail = || invalid(format!("{have} elements cannot be reshaped to a multiple of {want}"));
            shape[at] = if want.constant() == Some(0) {
                Expr::from(0)
            } else {
                have.exact_div(&want).ok_or_else(fail)?
            };
        } else if let (Some(a), Some(b)) = (have.constant(), want.constant())
            && a != b
        {
            return Err(invalid(format!("{a} elements do not fit a shape of {b}")));
        }
        Ok(shape)
    }
}

impl Op for Reshape {
    fn name(&self) -> &'static str {
        "Reshape"
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        let input = cx.input(0)?;
        let shape = self.resolve(&input.shape, cx.content(1)?)?;
        Ok(vec![Fact { dtype: input.dtype, shape, content: input.content.clone() }])
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        let input = given(inputs, 0)?;
        let from: Vec<Expr> = input.shape().iter().map(|d| Expr::from(*d)).collect();
        let wanted: Vec<Expr> = given(inputs, 1)?.to_i64s().into_iter().map(Expr::from).collect();
        let shape = crate::op::nd::fixed(&self.resolve(&from, &wanted)?)
            .ok_or_else(|| invalid("a size is negative"))?;
        Ok(vec![input.clone().reshape(shape)?])
    }

    fn converts(&self) -> bool {
        true
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        reshape(cx)
    }

    fn place(&self, index: usize, input: &Fact, _: &[Option<&Fact>], output: &View) -> Option<View> {
        if index == 0 { unshaped(input, output) } else { None }
    }
}

/// Lowers an operator whose output is input 0 under another shape.
///
/// # Errors
/// When a copy that this takes cannot be made.
pub fn reshape(cx: &mut Lowering<'_>) -> Result<(), OpError> {
    let input = cx.input(0)?;
    let shape = cx.output_fact(0)?.shape.clone();
    let view = cx.reshaped(input, &shape)?;
    cx.alias(0, view)
}

/// Where the input of a reshape lies if its output lies in `output`: there, with more dimensions than the input has
/// where strides cannot join them: one of as many has the input's own. `None` where the dimensions do not fall into those of
/// the input.
#[must_use]
pub fn unshaped(input: &Fact, output: &View) -> Option<View> {
    let more = || output.dims.len() > input.rank() && refines(&output.shape(), &input.shape);
    output.reshape(&input.shape).or_else(|| more().then(|| output.clone()))
}

/// Whether each size of `coarse` is a product of neighbouring sizes of `fine`.
fn refines(fine: &[Expr], coarse: &[Expr]) -> bool {
    let mut rest = fine.iter().filter(|d| **d != Expr::ONE).peekable();
    let whole = |size: &Expr| {
        let mut product = Expr::ONE;
        while product != *size {
            let Some(next) = rest.next() else { return false };
            product = &product * next;
        }
        true
    };
    coarse.iter().all(whole) && rest.peek().is_none()
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    Ok(Arc::new(Reshape { allow_zero: node.int_or("allowzero", 0)? != 0 }))
}

fn cases() -> Vec<Case> {
    let case = |name: &str, allow_zero, from: &[usize], to: &[i64]| {
        let inputs = vec![Some(sample::floats(from, 1)), Some(sample::list(to))];
        Case::new(name, Reshape { allow_zero }, inputs).constants(&[1]).tolerance(Tolerance::EXACT)
    };
    vec![
        case("split", false, &[6, 5], &[2, 3, 5]),
        case("joined", false, &[2, 3, 5], &[6, 5]),
        case("regrouped", false, &[6, 5], &[3, 10]),
        case("an open size", false, &[2, 3, 4], &[4, -1]),
        case("sizes kept", false, &[2, 3, 4], &[0, 0, 2, 2]),
        case("an open size and one kept", false, &[2, 3, 4], &[0, -1]),
        case("to a scalar", false, &[1, 1], &[]),
        case("nothing, open", false, &[0, 3], &[-1, 3]),
        case("nothing, zero allowed", true, &[2, 0, 3], &[0, 5]),
        case("ones put in", false, &[3, 4], &[1, 3, 1, 4, 1]),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[standard("Reshape", 5..=27)], decode, cases };

#[cfg(test)]
mod tests {
    use symbolic::{Expr, Symbol};

    use super::{Reshape, refines};

    #[test]
    fn finer_shapes_are_told_from_others() {
        let sizes = |list: &[i64]| list.iter().map(|n| Expr::from(*n)).collect::<Vec<_>>();
        assert!(refines(&sizes(&[1, 5, 3, 64]), &sizes(&[1, 5, 192])));
        assert!(refines(&sizes(&[2, 3]), &sizes(&[2, 3, 1])));
        assert!(!refines(&sizes(&[2, 12]), &sizes(&[4, 6])));
        assert!(!refines(&sizes(&[2, 3, 4]), &sizes(&[6])));
    }

    #[test]
    fn open_sizes_are_expressions() {
        let s = Expr::from(Symbol::new("s").with_range(1, 4096));
        let from = [Expr::from(1), s.clone(), Expr::from(576)];
        let resolve = |wanted: &[Expr]| Reshape { allow_zero: false }.resolve(&from, wanted);
        let wanted = [Expr::from(1), s.clone(), Expr::from(-1), Expr::from(64)];
        assert_eq!(resolve(&wanted).unwrap()[2], Expr::from(9));
        let wanted = [Expr::from(-1), Expr::from(64)];
        assert_eq!(resolve(&wanted).unwrap()[0], &s * 9);
        assert!(resolve(&[Expr::from(-1), Expr::from(-1)]).is_err());
        assert!(resolve(&[Expr::from(0), Expr::from(0), Expr::from(0), Expr::from(0)]).is_err());
    }
}
