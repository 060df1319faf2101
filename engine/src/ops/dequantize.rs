//! DequantizeLinear: integer codes as numbers, `(code - zero) * scale`.

use std::sync::Arc;

use symbolic::Expr;

use super::{
    binary::Binary, cast::Cast, one_hot::facing, reshape::Reshape, resize::repeated, shape::Shape,
    slice::Slice,
};
use crate::{
    dtype::DType,
    error::{OpError, invalid},
    graph::{Fact, ValueId},
    host::{BlockGrid, BlockMatrix, HostTensor, Numbers},
    op::{
        Case, Composite, FOLDED, Infer, OnnxNode, Op, Operator, Parts, composite, nd::around, sample,
        standard,
    },
};

/// Inputs: codes, scales, zeros (0 when left out). Scales and zeros are one number, a list along the axis, or, in blocks,
/// of the codes' shape with one for so many along the axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DequantizeLinear {
    /// The axis.
    pub axis: i64,
    /// Size of blocks; 0 for none.
    pub block: i64,
    /// The result's type; that of the scales when left out.
    pub to: Option<DType>,
}

/// Scales or zeros brought to where they meet `x`.
///
/// # Errors
/// When they are of another shape than the module says.
pub fn facing_codes(
    parts: &mut Parts<'_, '_>,
    of: ValueId,
    x: ValueId,
    axis: i64,
    block: i64,
) -> Result<ValueId, OpError> {
    let (fact, codes) = (parts.fact(of)?, parts.fact(x)?);
    let rank = codes.rank();
    if fact.len().constant() == Some(1) {
        let scalar = parts.integers(&[])?;
        return parts.add(Reshape { allow_zero: false }, &[of, scalar]);
    }
    let axis = Infer::axis(axis, rank)?;
    if block == 0 {
        if fact.rank() != 1 {
            return Err(invalid(format!("{fact} is neither one number nor one for each place of an axis")));
        }
        return facing(parts, of, rank - 1 - axis);
    }
    if fact.rank() != rank {
        return Err(invalid(format!("{fact} is not of one number for each block of {codes}")));
    }
    // Cut where the last block is not full.
    let joined = repeated(parts, of, axis, block)?;
    let (start, axes) = (parts.integers(&[0])?, parts.integers(&[axis as i64])?);
    let end = parts.add(Shape { start: axis as i64, end: Some(axis as i64 + 1), total: false }, &[x])?;
    parts.add(Slice, &[joined, start, end, axes])
}

impl Composite for DequantizeLinear {
    fn name(&self) -> &'static str {
        "DequantizeLinear"
    }

    fn expand(&self, parts: &mut Parts<'_, '_>) -> Result<Vec<ValueId>, OpError> {
        if let Some(weight) = self.weight(parts)? {
            return Ok(vec![weight]);
        }
        let (x, scale) = (parts.input(0)?, parts.input(1)?);
        let to = self.to.unwrap_or(parts.fact(scale)?.dtype);
        let scale = facing_codes(parts, scale, x, self.axis, self.block)?;
        let scale = parts.add(Cast { to }, &[scale])?;
        // Codes that are floats are numbers already.
        let wide = Cast { to: if parts.fact(x)?.dtype.is_float() { to } else { DType::I32 } };
        let mut codes = parts.add(wide, &[x])?;
        if let Some(zero) = parts.optional(2) {
            let zero = facing_codes(parts, zero, x, self.axis, self.block)?;
            let zero = parts.add(wide, &[zero])?;
            codes = parts.add(Binary::Sub, &[codes, zero])?;
        }
        let numbers = parts.add(Cast { to }, &[codes])?;
        Ok(vec![parts.add(Binary::Mul, &[numbers, scale])?])
    }
}

/// How the numbers of scales and zeros are found from the codes as a matrix: its grid, and the steps from block to block.
struct Layout {
    grid: BlockGrid,
    steps: [usize; 2],
}

impl DequantizeLinear {
    /// Constant codes as a matrix that is decoded where it is read. `None` where they are computed, are too wide for
    /// their numbers to be held as f32 exactly, are few of one row, or have blocks that are none of a matrix.
    fn weight(&self, parts: &mut Parts<'_, '_>) -> Result<Option<ValueId>, OpError> {
        let inputs = [parts.optional(1), parts.optional(2), Some(parts.input(0)?)];
        let sources: Vec<ValueId> = inputs.into_iter().flatten().collect();
        let constants: Option<Vec<ValueId>> = sources.iter().map(|id| parts.constant_behind(*id)).collect();
        let (Some(constants), Some(scale)) = (constants, inputs[0]) else { return Ok(None) };
        let (codes, scales) = (parts.fact(parts.input(0)?)?.clone(), parts.fact(scale)?.clone());
        let Some(layout) = self.layout(&codes, &scales)? else { return Ok(None) };
        let to = self.to.unwrap_or(scales.dtype);
        if !to.is_float() || !scales.dtype.is_float() {
            return Ok(None);
        }
        if let Some(zero) = inputs[1].map(|id| parts.fact(id)).transpose()?
            && (zero.dtype != codes.dtype || zero.len() != scales.len())
        {
            return Ok(None);
        }
        let fact = Fact::new(to, codes.shape);
        let Layout { grid, steps } = layout;
        let hosts: Option<Vec<&HostTensor>> = constants.iter().map(|id| parts.host(*id)).collect();
        let matrix = match hosts.as_deref() {
            None => BlockMatrix::absent(grid),
            Some([scales, zeros @ .., codes]) => {
                let zeros = zeros.first().map_or_else(|| Numbers::always(0), |z| Numbers::of(z, steps));
                BlockMatrix::new(grid, Numbers::of(codes, [grid.k, 1]), Numbers::of(scales, steps), zeros)?
            }
            Some(_) => return Ok(None),
        };
        Ok(Some(parts.blocks(matrix, fact, &constants)))
    }

    /// The codes `[outer, axis, inner]` as a matrix.
    fn layout(&self, codes: &Fact, scales: &Fact) -> Result<Option<Layout>, OpError> {
        if codes.dtype.bits() > 16 {
            return Ok(None);
        }
        let size = |d: &Expr| d.constant().and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0);
        let sizes = |fact: &Fact| fact.shape.iter().map(size).collect::<Option<Vec<usize>>>();
        let (Some(shape), Some(of)) = (sizes(codes), sizes(scales)) else { return Ok(None) };
        let product = |sizes: &[usize]| sizes.iter().try_fold(1usize, |n, d| n.checked_mul(*d));
        let (Some((last, leading)), Some(count)) = (shape.split_last(), product(&shape)) else {
            return Ok(None);
        };
        let laid = |k: usize, block, steps| {
            let grid = BlockGrid { n: count / k, k, codes: codes.dtype, block };
            let is_its_own = shape.len() != 2 || shape == [grid.n, k];
            // What has one row is no matrix, and folded where it is small.
            (is_its_own && (grid.n > 1 && k > 1 || count > FOLDED)).then_some(Layout { grid, steps })
        };
        if product(&of) == Some(1) {
            return Ok(laid(*last, [count / last, *last], [0, 0]));
        }
        let axis = Infer::axis(self.axis, shape.len())?;
        let [outer, size, inner] = around(&shape, axis);
        if self.block == 0 {
            return Ok(match (of[..] == [size], outer) {
                (false, _) => None,
                (true, 1) => laid(inner, [1, inner], [1, 0]),
                (true, _) => laid(size * inner, [outer, inner], [0, 1]),
            });
        }
        let Ok(block) = usize::try_from(self.block) else { return Ok(None) };
        let blocks = size.div_ceil(block);
        let wanted = [&shape[..axis], &[blocks], &shape[axis + 1..]].concat();
        Ok(match (of == wanted, axis == leading.len()) {
            (false, _) => None,
            (true, true) => laid(size, [1, block], [blocks, 1]),
            (true, false) if outer == 1 || size % block == 0 => laid(inner, [block, 1], [inner, 1]),
            (true, false) => None,
        })
    }
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    let axis = node.int_or("axis", 1)?;
    let block = node.int_or("block_size", 0)?;
    if block < 0 {
        return Err(invalid(format!("blocks of {block}")));
    }
    let to = node.int("output_dtype")?.is_some_and(|n| n != 0).then(|| node.dtype("output_dtype"));
    Ok(composite(DequantizeLinear { axis, block, to: to.transpose()?.flatten() }))
}

fn cases() -> Vec<Case> {
    let case = |name: &str, codes: DType, axis, block, shapes: [&[usize]; 2], zeros: bool| {
        let low = if matches!(codes, DType::U8 | DType::U4 | DType::U2) { 0 } else { -8 };
        let codes = |shape: &[usize], seed| sample::integers_in(shape, seed, low, low + 16).cast(codes);
        let inputs = vec![
            Some(codes(shapes[0], 1)),
            Some(sample::floats_in(shapes[1], 2, 0.5, 1.5)),
            zeros.then(|| codes(shapes[1], 3)),
        ];
        Case::composite(name, DequantizeLinear { axis, block, to: None }, inputs)
    };
    let weight = |name: &str, codes: DType, axis, block, shapes: [&[usize]; 2], zeros: bool| {
        case(&format!("a weight: {name}"), codes, axis, block, shapes, zeros).constants(&[0, 1, 2])
    };
    vec![
        weight("one scale", DType::I8, 1, 0, [&[3, 5], &[]], true),
        weight("a scale for each row", DType::U8, 0, 0, [&[5, 7], &[5]], true),
        weight("a scale for each column", DType::I8, -1, 0, [&[5, 7], &[7]], true),
        weight("int4, blocks of a row", DType::I4, 1, 4, [&[3, 10], &[3, 3]], true),
        weight("uint4, blocks of a column", DType::U4, 0, 4, [&[10, 3], &[3, 3]], true),
        weight("uint2, a scale for each row", DType::U2, 0, 0, [&[3, 6], &[3]], false),
        weight("int16, one scale", DType::I16, 1, 0, [&[3, 6], &[]], true),
        weight("f8e5m2, a scale for each channel", DType::F8E5M2, 1, 0, [&[2, 3, 4], &[3]], false),
        weight("a convolution's", DType::I8, 0, 0, [&[3, 2, 2, 2], &[3]], true),
        weight(
            "of three dimensions, blocks of the middle one",
            DType::I8,
            1,
            2,
            [&[2, 4, 3], &[2, 2, 3]],
            true,
        ),
        weight("the same, the last block not full", DType::I8, 1, 2, [&[2, 5, 3], &[2, 3, 3]], true),
        case("one scale", DType::U8, 1, 0, [&[3, 5], &[]], true),
        case("a list of scales", DType::I8, 1, 0, [&[2, 3, 4], &[3]], true),
        case("blocks", DType::U8, 1, 2, [&[3, 6, 2], &[3, 3, 2]], true),
        case("blocks, the last not full", DType::I8, 0, 4, [&[6, 5], &[2, 5]], false),
        case("int4", DType::I4, 1, 0, [&[5], &[]], true),
        case("uint4, blocks", DType::U4, -1, 4, [&[2, 8], &[2, 2]], true),
        case("int32", DType::I32, 1, 0, [&[7], &[]], false),
        case("int2", DType::I2, 1, 0, [&[5], &[]], true),
        case("uint2, blocks", DType::U2, -1, 4, [&[2, 8], &[2, 2]], true),
        case("f8e4m3fn", DType::F8E4M3Fn, 1, 0, [&[2, 9], &[9]], false),
        case("f4e2m1, blocks", DType::F4E2M1, -1, 4, [&[2, 8], &[2, 2]], false),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[standard("DequantizeLinear", 10..=27)], decode, cases };
