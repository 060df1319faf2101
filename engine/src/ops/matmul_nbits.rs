//! MatMulNBits of ONNX Runtime: a product with a matrix of 4- or 8-bit codes, which go to the device as they are.

use std::sync::Arc;

use super::{binary::Binary, matmul::MatMul, transpose::Transpose};
use crate::{
    dtype::DType,
    error::{OpError, invalid},
    graph::{Fact, ValueId},
    host::{BlockGrid, BlockMatrix, HostTensor, Numbers},
    op::{Case, Composite, OnnxNode, Op, Operator, Parts, composite, microsoft, sample},
};

/// Inputs: x `[.., k]`; codes `[n, blocks, bytes]`; scales, one for each block; zero points, packed like the codes, row by
/// row, or as floats, one for each block; a place that is no longer used; a bias `[n]`. Codes, scales and zero points must
/// be constants.
#[derive(Clone, Debug, PartialEq)]
pub struct MatMulNBits {
    /// Size and grid of the matrix.
    pub grid: BlockGrid,
}

const CODES: usize = 1;
const SCALES: usize = 2;
const ZERO_POINTS: usize = 3;
const GROUP_INDEX: usize = 4;
const BIAS: usize = 5;

impl Composite for MatMulNBits {
    fn name(&self) -> &'static str {
        "MatMulNBits"
    }

    fn expand(&self, parts: &mut Parts<'_, '_>) -> Result<Vec<ValueId>, OpError> {
        let x = parts.input(0)?;
        let per_row = self.grid.blocks()[1] * self.grid.block[1];
        let inputs = [Some(parts.input(CODES)?), Some(parts.input(SCALES)?), parts.optional(ZERO_POINTS)];
        let matrix = stored_matrix(parts, self.grid, per_row, inputs)?;
        let turned = parts.add(Transpose { perm: Some(vec![1, 0]) }, &[matrix])?;
        let mut out = parts.add(MatMul, &[x, turned])?;
        if let Some(bias) = parts.optional(BIAS) {
            out = parts.add(Binary::Add, &[out, bias])?;
        }
        Ok(vec![out])
    }
}

/// The matrix of constant codes, `per_row` of them from row to row, with their scales and zero points. Unsigned bytes
/// hold codes of the grid's type, and stand for zero in the middle unless zero points are given.
///
/// # Errors
/// When an input is computed, or not of the matrix' size.
pub fn stored_matrix(
    parts: &mut Parts<'_, '_>,
    grid: BlockGrid,
    per_row: usize,
    inputs: [Option<ValueId>; 3],
) -> Result<ValueId, OpError> {
    let constant = |index: usize| {
        let behind = inputs[index].map(|id| parts.constant_behind(id).ok_or(OpError::NotConstant { index }));
        behind.transpose()
    };
    let missing = |index| OpError::MissingInput { index };
    let codes = constant(0)?.ok_or_else(|| missing(CODES))?;
    let scales = constant(1)?.ok_or_else(|| missing(SCALES))?;
    let points = constant(2)?;
    let sources: Vec<ValueId> = [Some(codes), points, Some(scales)].into_iter().flatten().collect();
    let (kind, dtype) = (parts.fact(codes)?.dtype, parts.fact(scales)?.dtype);
    let hosts: Option<Vec<_>> = sources.iter().map(|id| parts.host(*id).cloned()).collect();
    let fact = Fact::new(dtype, vec![grid.n.into(), grid.k.into()]);
    let Some(hosts) = hosts else {
        return Ok(parts.blocks(BlockMatrix::absent(grid), fact, &sources));
    };
    // Bytes stand for as many codes as they have room for.
    let codes_of = |tensor: &HostTensor, per_row| Numbers {
        dtype: if tensor.dtype() == DType::U8 { grid.codes } else { tensor.dtype() },
        ..Numbers::of(tensor, [per_row, 1])
    };
    let blocks = grid.blocks()[1];
    let zero_points = match (points, kind) {
        (Some(_), _) if hosts[1].dtype() == DType::U8 => {
            codes_of(&hosts[1], blocks.next_multiple_of(8 / grid.codes.bits()))
        }
        (Some(_), _) => codes_of(&hosts[1], blocks),
        (None, DType::U8) => Numbers::always(1 << (grid.codes.bits() - 1)),
        (None, _) => Numbers::always(0),
    };
    let scales = hosts.last().ok_or_else(|| missing(SCALES))?;
    let scales = Numbers::of(scales, [blocks, 1]);
    let matrix = BlockMatrix::new(grid, codes_of(&hosts[0], per_row), scales, zero_points)?;
    Ok(parts.blocks(matrix, fact, &sources))
}

/// The grid that attributes describe, of a matrix `[n, k]`.
///
/// # Errors
/// When bits or blocks are of another size than the definition allows, or than is supported.
pub fn grid(node: &OnnxNode<'_>, block: Option<i64>, n: i64, k: i64) -> Result<BlockGrid, OpError> {
    let codes = match node.int_or("bits", 4)? {
        4 => DType::U4,
        8 => DType::U8,
        other => return Err(OpError::Unsupported(format!("{} of {other} bits", node.op_type()))),
    };
    let block = block.filter(|b| *b >= 16 && b.count_ones() == 1).and_then(|b| usize::try_from(b).ok());
    let block = block.ok_or_else(|| invalid("attribute \"block_size\" is no power of two of 16 or more"))?;
    let size = |n: i64| usize::try_from(n).ok().filter(|n| *n <= 1 << 30);
    let (n, k) = size(n).zip(size(k)).ok_or_else(|| invalid(format!("a matrix [{n}, {k}]")))?;
    Ok(BlockGrid { n, k, codes, block: [1, block] })
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    if node.has_input(GROUP_INDEX) {
        let text = "MatMulNBits with g_idx: its columns are permuted; export the model without act-order";
        return Err(OpError::Unsupported(text.into()));
    }
    if node.int_or("weight_prepacked", 0)? != 0 {
        let text = "MatMulNBits with weights packed for one vendor's GPUs (weight_prepacked)";
        return Err(OpError::Unsupported(text.into()));
    }
    let size = |name: &str| node.int(name)?.ok_or_else(|| invalid(format!("attribute {name:?} is missing")));
    Ok(composite(MatMulNBits { grid: grid(node, node.int("block_size")?, size("N")?, size("K")?)? }))
}

fn cases() -> Vec<Case> {
    let case = |name: &str, codes: DType, k: usize, points: Option<DType>, bias: bool| {
        let grid = BlockGrid { n: 6, k, codes, block: [1, 32] };
        let (blocks, blob) = (grid.blocks()[1], 32 * codes.bits() / 8);
        let bytes = |shape: &[usize], seed| sample::integers_in(shape, seed, 0, 256).cast(DType::U8);
        let points = points.map(|dtype| match dtype {
            DType::U8 => bytes(&[6, (blocks * codes.bits()).div_ceil(8)], 4),
            _ => sample::floats_in(&[6, blocks], 4, 4.0, 12.0),
        });
        let inputs = vec![
            Some(sample::floats(&[1, 3, k], 1)),
            Some(bytes(&[6, blocks, blob], 2)),
            Some(sample::floats_in(&[6, blocks], 3, 0.01, 0.05)),
            points,
            None,
            bias.then(|| sample::floats(&[6], 5)),
        ];
        let constants = [CODES, SCALES, ZERO_POINTS, BIAS];
        Case::composite(name, MatMulNBits { grid }, inputs).constants(&constants)
    };
    vec![
        case("4 bits", DType::U4, 64, None, false),
        case("4 bits, zero points", DType::U4, 96, Some(DType::U8), true),
        case("4 bits, zero points as floats", DType::U4, 72, Some(DType::F32), false),
        case("8 bits", DType::U8, 64, None, false),
        case("8 bits, zero points", DType::U8, 96, Some(DType::U8), false),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[microsoft("MatMulNBits")], decode, cases };

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use onnx_import::{Attribute, Node, ValueId};

    use super::decode;
    use crate::op::OnnxNode;

    fn decoded(inputs: u32, attributes: &[(&str, i64)]) -> String {
        let size = [("N", 8), ("K", 64), ("block_size", 32)];
        let all = size.iter().chain(attributes).map(|(n, v)| ((*n).to_owned(), Attribute::Int(*v)));
        let node = Node {
            name: "product".into(),
            domain: "com.microsoft".into(),
            op_type: "MatMulNBits".into(),
            version: 1,
            inputs: (0..inputs).map(|i| Some(ValueId(i))).collect(),
            outputs: vec![Some(ValueId(9))],
            attributes: all.collect(),
        };
        decode(&OnnxNode::new(&node, &BTreeMap::new())).map_or_else(|e| e.to_string(), |op| format!("{op:?}"))
    }

    #[test]
    fn what_is_not_supported_is_named() {
        assert!(decoded(4, &[]).contains("MatMulNBits"));
        for (inputs, attribute, text) in [
            (5, ("bits", 4), "g_idx"),
            (4, ("bits", 2), "2 bits"),
            (4, ("weight_prepacked", 1), "weight_prepacked"),
            (4, ("block_size", 48), "power of two"),
            (4, ("K", -1), "[8, -1]"),
        ] {
            let got = decoded(inputs, &[attribute]);
            assert!(got.contains(text), "{attribute:?}: {got}");
        }
    }
}
