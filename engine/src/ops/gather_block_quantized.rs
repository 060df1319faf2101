//! GatherBlockQuantized of ONNX Runtime: rows of a table of 4- or 8-bit codes, such as an embedding.

use std::sync::Arc;

use symbolic::Expr;

use super::{gather::Gather, matmul_nbits};
use crate::{
    dtype::DType,
    error::{OpError, invalid},
    graph::ValueId,
    host::BlockGrid,
    op::{Case, Composite, OnnxNode, Op, Operator, Parts, composite, microsoft, sample},
};

/// Inputs: codes `[rows, k]`, or as bytes that hold several; indices; scales and zero points `[rows, blocks]`. All but the
/// indices must be constants.
#[derive(Clone, Debug, PartialEq)]
pub struct GatherBlockQuantized {
    /// Grid of the table; its size follows from the codes.
    pub grid: BlockGrid,
}

const SCALES: usize = 2;
const ZERO_POINTS: usize = 3;

impl Composite for GatherBlockQuantized {
    fn name(&self) -> &'static str {
        "GatherBlockQuantized"
    }

    fn expand(&self, parts: &mut Parts<'_, '_>) -> Result<Vec<ValueId>, OpError> {
        let (codes, indices) = (parts.input(0)?, parts.input(1)?);
        let fact = parts.fact(codes)?;
        let sizes: Option<Vec<usize>> =
            fact.shape.iter().map(|d: &Expr| d.constant().and_then(|n| usize::try_from(n).ok())).collect();
        let (Some([n, width]), dtype) = (sizes.as_deref(), fact.dtype) else {
            return Err(OpError::Unsupported(format!("a quantised table of {fact}, not [rows, width]")));
        };
        let (per_byte, held) = match dtype {
            DType::U8 => (8 / self.grid.codes.bits(), self.grid.codes),
            DType::U4 | DType::I4 => (1, dtype),
            other => return Err(OpError::Unsupported(format!("a quantised table of {other}"))),
        };
        let k = width.checked_mul(per_byte).ok_or_else(|| invalid(format!("a row of {width} bytes")))?;
        let grid = BlockGrid { n: *n, k, codes: held, ..self.grid };
        let inputs = [Some(codes), Some(parts.input(SCALES)?), parts.optional(ZERO_POINTS)];
        let table = matmul_nbits::stored_matrix(parts, grid, k, inputs)?;
        Ok(vec![parts.add(Gather { axis: 0 }, &[table, indices])?])
    }
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    let axes = (node.int_or("gather_axis", 0)?, node.int_or("quantize_axis", 1)?);
    if !matches!(axes, (0 | -2, 1 | -1)) {
        let text = format!("GatherBlockQuantized along axis {} with blocks along axis {}", axes.0, axes.1);
        return Err(OpError::Unsupported(text));
    }
    let block = node.int_or("block_size", 128)?;
    Ok(composite(GatherBlockQuantized { grid: matmul_nbits::grid(node, Some(block), 0, 0)? }))
}

fn cases() -> Vec<Case> {
    let case = |name: &str, held: DType, dtype: DType, k: usize, points: bool| {
        let codes = if dtype == DType::U8 { k * held.bits() / 8 } else { k };
        let (low, high) = match dtype {
            DType::U8 => (0, 256),
            DType::I4 => (-8, 8),
            _ => (0, 16),
        };
        let numbers = |shape: &[usize], seed| sample::integers_in(shape, seed, low, high).cast(dtype);
        let inputs = vec![
            Some(numbers(&[9, codes], 1)),
            Some(sample::integers_in(&[2, 3], 2, -9, 9)),
            Some(sample::floats_in(&[9, k / 16], 3, 0.01, 0.05)),
            points.then(|| {
                numbers(&[9, if dtype == DType::U8 { k / 16 * held.bits() / 8 } else { k / 16 }], 4)
            }),
        ];
        let op = GatherBlockQuantized { grid: BlockGrid { n: 0, k: 0, codes: held, block: [1, 16] } };
        Case::composite(name, op, inputs).constants(&[0, SCALES, ZERO_POINTS])
    };
    vec![
        case("bytes of two codes", DType::U4, DType::U8, 32, true),
        case("bytes", DType::U8, DType::U8, 48, true),
        case("signed codes", DType::U4, DType::I4, 48, false),
        case("unsigned codes", DType::U4, DType::U4, 48, true),
        case("unsigned codes that begin at zero", DType::U4, DType::U4, 32, false),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[microsoft("GatherBlockQuantized")], decode, cases };
