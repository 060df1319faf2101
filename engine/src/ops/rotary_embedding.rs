//! RotaryEmbedding of ONNX 23: `Rope` on either layout, with tables looked up by position on demand.

use std::sync::Arc;

use symbolic::Expr;

use super::{gather, rope};
use crate::{
    error::{OpError, invalid},
    graph::Fact,
    host::HostTensor,
    op::{
        Case, Destination, Infer, Lowering, OnnxNode, Op, Operator, View,
        nd::{given, optional, pick},
        sample, standard,
    },
};

/// Inputs: x `[batch, heads, seq, head_dim]` or `[batch, seq, hidden]`; cosines and sines `[batch, seq, rotary_dim/2]`,
/// or `[positions, rotary_dim/2]` with position ids `[batch, seq]` as input 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RotaryEmbedding {
    /// Whether neighbours are a pair.
    pub interleaved: bool,
    /// Heads, for a 3-dimensional input.
    pub heads: usize,
    /// How many elements of a head are turned; 0 for all.
    pub rotary_dim: usize,
}

impl RotaryEmbedding {
    /// What it does to heads of a width.
    #[must_use]
    pub fn rope(self, width: usize) -> rope::Rope {
        let rotary_dim = if self.rotary_dim == 0 { width } else { self.rotary_dim };
        rope::Rope { interleaved: self.interleaved, rotary_dim, full_table: false }
    }
}

impl Op for RotaryEmbedding {
    fn name(&self) -> &'static str {
        "RotaryEmbedding"
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        let x = cx.input(0)?;
        match x.rank() {
            4 => {}
            3 if self.heads > 0 => {}
            _ => return Err(invalid(format!("the input {x} needs 4 dimensions, or 3 and num_heads"))),
        }
        let tables = if cx.optional(3).is_some() { 2 } else { 3 };
        for index in [1, 2] {
            let table = cx.input(index)?;
            if table.rank() != tables {
                return Err(invalid(format!("the table {table} has not {tables} dimensions")));
            }
        }
        Ok(vec![Fact::new(x.dtype, x.shape.clone())])
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        let x = given(inputs, 0)?;
        let mut tables = [given(inputs, 1)?.clone(), given(inputs, 2)?.clone()];
        if let Some(ids) = optional(inputs, 3) {
            for table in &mut tables {
                *table = gather::Gather { axis: 0 }.reference(&[Some(table), Some(ids)])?.swap_remove(0);
            }
        }
        let of = |x: &HostTensor, width| {
            self.rope(width).reference(&[Some(x), Some(&tables[0]), Some(&tables[1])])
        };
        match *x.shape() {
            [_, _, _, width] => of(x, width),
            [batch, seq, hidden] if self.heads > 0 && hidden % self.heads == 0 => {
                let (heads, width) = (self.heads, hidden / self.heads);
                // [batch, seq, heads, width] and back
                let swap = |outer: usize, inner: usize| -> Vec<usize> {
                    let at = |b, i, o, d| ((b * outer + o) * inner + i) * width + d;
                    (0..batch * inner * outer * width)
                        .map(|p| {
                            at(
                                p / (inner * outer * width),
                                p / (outer * width) % inner,
                                p / width % outer,
                                p % width,
                            )
                        })
                        .collect()
                };
                let split = pick(x, vec![batch, heads, seq, width], &swap(seq, heads))?;
                let turned = of(&split, width)?.swap_remove(0);
                Ok(vec![pick(&turned, x.shape().to_vec(), &swap(heads, seq))?])
            }
            _ => Err(invalid(format!("an input of shape {:?} has no {} heads", x.shape(), self.heads))),
        }
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        let x = cx.shaped(0)?;
        let tables = [cx.shaped(1)?, cx.shaped(2)?];
        let positions = cx.has_input(3).then(|| cx.shaped(3)).transpose()?;
        let out = Destination::strided(cx, 0)?;
        let (x, to) = (self.headed(cx, x)?, self.headed(cx, out.view.clone())?);
        let width = x.dims[3].size.constant().and_then(|w| usize::try_from(w).ok());
        let width = width.ok_or_else(|| invalid("the width of a head must be known"))?;
        self.rope(width).call(cx, x, tables, positions, to)?;
        out.finish(cx)
    }
}

impl RotaryEmbedding {
    /// `[batch, heads, seq, head_dim]` of either form.
    fn headed(self, cx: &mut Lowering<'_>, view: View) -> Result<View, OpError> {
        let [batch, seq, hidden] = view.dims.as_slice() else { return Ok(view) };
        let heads = Expr::from(self.heads);
        let width = hidden.size.exact_div(&heads).ok_or_else(|| invalid(format!("{heads} heads")))?;
        let shape = [batch.size.clone(), seq.size.clone(), heads, width];
        Ok(cx.reshaped(view, &shape)?.transpose(&[0, 2, 1, 3]))
    }
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    let size = |name: &str| {
        let value = usize::try_from(node.int_or(name, 0)?);
        value.map_err(|_| invalid(format!("attribute {name:?} is negative")))
    };
    Ok(Arc::new(RotaryEmbedding {
        interleaved: node.int_or("interleaved", 0)? != 0,
        heads: size("num_heads")?,
        rotary_dim: size("rotary_embedding_dim")?,
    }))
}

fn cases() -> Vec<Case> {
    let case = |op: RotaryEmbedding, shape: &[usize], table: &[usize], ids: Option<HostTensor>| {
        let tables = [2, 3].map(|seed| Some(sample::floats_in(table, seed, -1.0, 1.0)));
        let name = format!("{op:?} of {shape:?}, ids {}", ids.is_some());
        let [cos, sin] = tables;
        Case::new(name, op, vec![Some(sample::floats(shape, 1)), cos, sin, ids])
    };
    let plain = RotaryEmbedding { interleaved: false, heads: 0, rotary_dim: 0 };
    let ids = || Some(sample::integers_in(&[2, 3], 4, 0, 50));
    vec![
        case(plain, &[2, 4, 3, 8], &[2, 3, 4], None),
        case(plain, &[2, 4, 3, 8], &[50, 4], ids()),
        case(RotaryEmbedding { interleaved: true, ..plain }, &[2, 4, 3, 8], &[50, 4], ids()),
        case(RotaryEmbedding { heads: 4, ..plain }, &[2, 3, 32], &[50, 4], ids()),
        case(RotaryEmbedding { heads: 4, rotary_dim: 4, ..plain }, &[2, 3, 32], &[2, 3, 2], None),
        case(RotaryEmbedding { rotary_dim: 4, interleaved: true, heads: 0 }, &[2, 4, 3, 8], &[50, 2], ids()),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[standard("RotaryEmbedding", 23..=27)], decode, cases };
