//! HeadsLinear: the queries, keys and values of attention by one product, turned by their positions, as passes find it.

use symbolic::Expr;

use super::{
    linear::input::{Input, Norm},
    linear::normed_heads,
    linear::product::{CHUNK, Epilogue, Heads, Product, Rows, Turn},
    linear::{self, product_shape, sums},
    rms_norm::normalise,
    rope::Rope,
};
use crate::{
    error::{OpError, invalid},
    graph::Fact,
    host::{HostTensor, WeightFormat},
    op::{
        Case, Destination, Elem, Infer, Lowering, Op, Operator, View, converted,
        f8_copy::in_words,
        made_by_passes,
        nd::{floats, given, optional},
        sample,
    },
};

/// Inputs: `x [batch, positions, k]`, a constant matrix `[heads * head_dim, k]`, and, on demand, constants: a bias of as
/// many rows, and a gain `[k]` by which `x` is normalised first; and a table `[batch or 1, positions, 2 * width]`,
/// or `[batch or 1, 1, positions, 2 * width]`, of cosines and, behind them, sines; and a constant `[2 * head_dim]` of gains by
/// which each head of the first result, and of the second, is normalised before it is turned.
/// The results are `[batch, heads[i], positions, head_dim]`.
///
/// Rows of a turned head lie as [`HeadsLinear::element_of`] says, so that a thread has both of a pair.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadsLinear {
    /// How the matrix is held on the device.
    pub format: WeightFormat,
    /// Heads of each result.
    pub heads: [usize; 3],
    /// Elements of a head.
    pub head_dim: usize,
    /// How the first results are turned, and how many they are.
    pub turn: Option<(Rope, usize)>,
    /// Whether turned heads are left in the order of rows. Products of two heads are the same then, and the four elements that a
    /// thread has are neighbours.
    pub in_rows: bool,
    /// Added to the mean of squares where the gain is given: RMSNorm, `x / sqrt(mean(x^2) + epsilon) * gain`.
    pub epsilon: Option<f32>,
    /// Likewise where gains of heads are given.
    pub head_epsilon: Option<f32>,
}

/// Rows that a thread has, which must belong to one head, and be turned or not.
const BLOCK: usize = 4;

impl HeadsLinear {
    /// The bias's input.
    pub const BIAS: usize = 2;
    /// The gain's input.
    pub const GAIN: usize = 3;
    /// The table's input.
    pub const TABLE: usize = 4;
    /// The input of the gains of heads.
    pub const HEAD_GAINS: usize = 5;

    /// Whether the kernels take such heads.
    #[must_use]
    pub fn accepts(head_dim: usize, rope: Option<&Rope>) -> bool {
        let turned = rope.map_or(0, |rope| rope.rotary_dim);
        head_dim > 0 && head_dim.is_multiple_of(BLOCK) && turned.is_multiple_of(BLOCK) && turned <= head_dim
    }

    /// The element of a head that row `row` of it computes. Of a turned head, rows are by turns elements of the first
    /// and of the second half of what is turned.
    #[must_use]
    pub fn element_of(row: usize, rope: Option<&Rope>) -> usize {
        match rope {
            Some(rope) if !rope.interleaved && row < rope.rotary_dim => {
                row / 2 + row % 2 * (rope.rotary_dim / 2)
            }
            _ => row,
        }
    }

    /// Whether the four rows that a thread has are neighbours in a result.
    fn is_in_rows(&self, result: usize) -> bool {
        self.in_rows || self.rope_of(result).is_none_or(|rope| rope.interleaved)
    }

    /// How a kernel writes keys and values, whose activations are held as `elem`: as their places want it, where it can.
    fn held(&self, cx: &Lowering<'_>, elem: Elem) -> Result<Elem, OpError> {
        let whole = |view: &View| view.dims.len() == 4 && in_words(view);
        let words = |result| self.is_in_rows(result) && cx.placement(result).is_some_and(whole);
        Ok(match [cx.output_elem(1)?, cx.output_elem(2)?] {
            [Elem::F16, Elem::F16] => Elem::F16,
            [Elem::F8, Elem::F8] if words(1) && words(2) => Elem::F8,
            _ => elem,
        })
    }

    fn rope_of(&self, result: usize) -> Option<&Rope> {
        self.turn.as_ref().filter(|(_, turned)| result < *turned).map(|(rope, _)| rope)
    }

    /// How a kernel turns heads, whose table is brought to the type of its activations.
    fn turn(&self, cx: &mut Lowering<'_>, elem: Elem) -> Result<Option<Turn>, OpError> {
        let Some((rope, turned)) = self.turn.clone() else { return Ok(None) };
        let table = cx.shaped(Self::TABLE)?;
        if table.dims.len() < 3 {
            return Err(invalid("a table has fewer than 3 dimensions"));
        }
        Ok(Some(Turn { rope, turned, table: converted(cx, table, elem)?, in_rows: self.in_rows }))
    }

    fn computed(&self, inputs: &[Option<&HostTensor>], in_bytes: bool) -> Result<Vec<HostTensor>, OpError> {
        let (x, matrix) = (given(inputs, 0)?, linear::packed(given(inputs, 1)?, self.format, false)?);
        let norm = optional(inputs, Self::GAIN).zip(self.epsilon);
        let (sums, shape) = sums(x, &matrix, optional(inputs, Self::BIAS), norm, in_bytes)?;
        let &[batch, positions, rows] = shape.as_slice() else {
            return Err(invalid("the input has not 3 dimensions"));
        };
        let d = self.head_dim;
        let width = self.turn.as_ref().map_or(0, |(rope, _)| rope.width());
        let table = optional(inputs, Self::TABLE).map(HostTensor::to_f64s).unwrap_or_default();
        let gains = optional(inputs, Self::HEAD_GAINS).map(HostTensor::to_f64s).unwrap_or_default();
        let mut first = 0;
        let mut results = Vec::new();
        for (index, heads) in self.heads.into_iter().enumerate() {
            let rope = self.rope_of(index);
            let mut all = vec![0.0; batch * heads * positions * d];
            for (at, head) in all.chunks_mut(d.max(1)).enumerate() {
                let (b, h, s) = (at / (heads * positions), at / positions % heads, at % positions);
                let from = (b * positions + s) * rows + first + h * d;
                for (row, sum) in sums[from..from + d].iter().enumerate() {
                    head[Self::element_of(row, rope)] = *sum;
                }
                if let (Some(gain), Some(epsilon)) = (gains.chunks(d.max(1)).nth(index), self.head_epsilon) {
                    normalise(head, gain, epsilon);
                }
                if let Some(rope) = rope {
                    let (cos, rest) = table[(b * positions + s) * 2 * width % table.len()..].split_at(width);
                    rope.turn(head, cos, &rest[..width]);
                    if self.in_rows {
                        let rows = (0..d).map(|row| head[Self::element_of(row, Some(rope))]);
                        head.copy_from_slice(&rows.collect::<Vec<_>>());
                    }
                }
            }
            results.push(floats(x.dtype(), vec![batch, heads, positions, d], &all)?);
            first += heads * d;
        }
        Ok(results)
    }
}

impl Op for HeadsLinear {
    fn name(&self) -> &'static str {
        "HeadsLinear"
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        let shape = product_shape(cx, false)?;
        let [batch, positions, rows] = shape.as_slice() else {
            return Err(invalid(format!("the input has not 3 dimensions but {}", shape.len())));
        };
        let all = self.heads.iter().sum::<usize>().saturating_mul(self.head_dim);
        cx.unify(rows, "rows of the matrix", &Expr::from(all), "elements of all heads")?;
        let dtype = cx.input(0)?.dtype;
        let shape = |heads: usize| vec![batch.clone(), heads.into(), positions.clone(), self.head_dim.into()];
        Ok(self.heads.iter().map(|heads| Fact::new(dtype, shape(*heads))).collect())
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        self.computed(inputs, false)
    }

    fn reference_in_bytes(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        self.computed(inputs, true)
    }

    fn reads_textures(&self) -> bool {
        true
    }

    fn converts(&self) -> bool {
        true
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        let matrix = cx.matrix(1, self.format, false)?;
        let rope = self.turn.as_ref().map(|(rope, _)| rope);
        if matrix.k % CHUNK != 0 || !Self::accepts(self.head_dim, rope) {
            return Err(invalid(format!(
                "no kernel takes heads of {} with rows of {}",
                self.head_dim, matrix.k
            )));
        }
        let normed = self.head_epsilon.filter(|_| cx.has_input(Self::HEAD_GAINS));
        let of_heads = if normed.is_some() { 0 } else { 2 + u32::from(cx.has_input(Self::TABLE)) };
        let slots = 4 + of_heads + u32::from(cx.has_input(Self::BIAS));
        let norm = self.epsilon.map(|epsilon| Norm { gain: Self::GAIN, epsilon });
        let x = Input::of(cx, norm, slots)?;
        let bias = if cx.has_input(Self::BIAS) { Some(cx.constant(Self::BIAS, Elem::F32)?) } else { None };
        let elem = x.elem();
        let turn = self.turn(cx, elem)?;
        let held = self.held(cx, elem)?;
        let [q, k_out, v] = [(0, elem), (1, held), (2, held)]
            .map(|(result, elem)| Destination::of(cx, result, |view| view.elem == elem));
        let results = [q?, k_out?, v?];
        let views = results.each_ref().map(|result| result.view.clone());
        let heads = Heads { results: views, turn };
        let Some(epsilon) = normed else {
            Product { matrix, x, bias, epilogue: Epilogue::Heads(heads) }.dispatch(cx)?;
            return results.into_iter().try_for_each(|result| result.finish(cx));
        };
        let [batch, positions] = [0, 2].map(|dim| heads.results[0].dims[dim].size.clone());
        let sums = cx.temporary("heads", elem, &[batch, positions, Expr::from(matrix.n)]);
        let y = Rows::of_output(&sums, matrix.n).ok_or_else(|| invalid("heads have no rows"))?;
        Product { matrix, x, bias, epilogue: Epilogue::Rows { y: y.clone(), residual: None } }
            .dispatch(cx)?;
        let gain = cx.constant(Self::HEAD_GAINS, Elem::F32)?;
        normed_heads::dispatch(cx, &y, gain, epsilon, &heads);
        results.into_iter().try_for_each(|result| result.finish(cx))
    }
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let rope = |interleaved, rotary_dim, full_table| Rope { interleaved, rotary_dim, full_table };
    for format in WeightFormat::ALL {
        for (shape, heads, head_dim, turn, [bias, norm, in_rows, norms]) in [
            ([1, 1, 64], [4, 2, 2], 16, Some((rope(false, 16, true), 2)), [false, true, false, false]),
            ([1, 1, 64], [3, 1, 1], 12, None, [true, false, false, false]),
            ([1, 3, 96], [4, 2, 2], 24, Some((rope(false, 8, false), 2)), [true, false, false, false]),
            ([1, 3, 96], [4, 2, 2], 24, Some((rope(false, 8, false), 2)), [true, false, true, false]),
            ([2, 5, 64], [2, 1, 1], 64, Some((rope(true, 32, false), 1)), [false, true, false, false]),
            ([2, 35, 64], [2, 2, 2], 16, Some((rope(true, 16, true), 2)), [true, true, false, false]),
            ([1, 1, 64], [4, 2, 2], 16, Some((rope(false, 16, true), 2)), [true, true, false, true]),
            ([2, 5, 64], [2, 1, 1], 72, Some((rope(false, 32, false), 1)), [false, false, true, true]),
            ([1, 3, 64], [2, 1, 1], 16, None, [false, false, false, true]),
        ] {
            let (k, n) = (shape[2], heads.iter().sum::<usize>() * head_dim);
            let with = |wanted: bool, shape: &[usize], seed| wanted.then(|| sample::floats(shape, seed));
            let width = turn.as_ref().map_or(0, |(rope, _)| rope.width());
            let inputs = vec![
                Some(sample::floats(&shape, 1)),
                Some(sample::floats_in(&[n, k], 2, -0.5, 0.5)),
                with(bias, &[n], 3),
                with(norm, &[k], 4),
                with(turn.is_some(), &[shape[0], shape[1], 2 * width], 5),
                with(norms, &[2 * head_dim], 6),
            ];
            let order = if in_rows { " in rows" } else { "" };
            let normed = if norms { ", normed" } else { "" };
            let name = format!(
                "{format} {shape:?} to {heads:?} of {head_dim}{normed}{order}, {turn:?}, bias {bias}, norm {norm}"
            );
            let [epsilon, head_epsilon] = [norm, norms].map(|given| given.then_some(1e-5));
            let op = HeadsLinear { format, heads, head_dim, turn, in_rows, epsilon, head_epsilon };
            cases.push(Case::new(name, op, inputs).constants(&[1, 2, 3, 5]));
        }
    }
    cases
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[], decode: made_by_passes, cases };

#[cfg(test)]
mod tests {
    use super::{HeadsLinear, Rope};

    #[test]
    fn rows_of_a_turned_head_are_pairs() {
        let rope = Rope { interleaved: false, rotary_dim: 8, full_table: true };
        let elements: Vec<usize> = (0..12).map(|row| HeadsLinear::element_of(row, Some(&rope))).collect();
        assert_eq!(elements, [0, 4, 1, 5, 2, 6, 3, 7, 8, 9, 10, 11]);
        let neighbours = Rope { interleaved: true, ..rope };
        assert!((0..12).all(|row| HeadsLinear::element_of(row, Some(&neighbours)) == row));
    }
}
