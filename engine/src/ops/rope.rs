//! Rope: rotary position embedding of `[batch, heads, seq, head_dim]`, as passes find it.

use shaders::KernelSpec;
use symbolic::Expr;

use crate::{
    error::{OpError, invalid},
    graph::Fact,
    host::HostTensor,
    op::{
        Case, Destination, Dim, Dispatch, Elem, Grid, Infer, Lowering, Op, Operator, Param, Slot, View,
        converted, made_by_passes,
        nd::{floats, given},
        sample,
    },
};

/// Inputs: `x [batch, heads, seq, head_dim]`, and cosines and sines `[batch or 1, seq, width]`, or `[batch or 1, 1, seq,
/// width]` (Su et al., "RoFormer: Enhanced Transformer with Rotary Position Embedding", 2021).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rope {
    /// Whether neighbours are a pair, instead of one of the first and one of the second half.
    pub interleaved: bool,
    /// How many leading elements of a head are turned; the rest stays.
    pub rotary_dim: usize,
    /// Whether the tables are `rotary_dim` wide instead of half of it. The halves may differ.
    pub full_table: bool,
}

impl Rope {
    /// Turns one head in place.
    pub fn turn(&self, head: &mut [f64], cos: &[f64], sin: &[f64]) {
        let half = self.rotary_dim / 2;
        for j in 0..half {
            let (a, b) = if self.interleaved { (2 * j, 2 * j + 1) } else { (j, j + half) };
            let (first, second) = if self.full_table { (a, b) } else { (j, j) };
            let (x, y) = (head[a], head[b]);
            head[a] = x * cos[first] - y * sin[first];
            head[b] = y * cos[second] + x * sin[second];
        }
    }

    /// Columns of its tables.
    #[must_use]
    pub fn width(&self) -> usize {
        if self.full_table { self.rotary_dim } else { self.rotary_dim / 2 }
    }
}

impl Op for Rope {
    fn name(&self) -> &'static str {
        "Rope"
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        let x = cx.input(0)?;
        let [batch, _, seq, width] = x.shape.as_slice() else {
            return Err(invalid(format!("the input is {x}")));
        };
        if width.constant().is_some_and(|w| w < self.rotary_dim as i64) || !self.rotary_dim.is_multiple_of(2)
        {
            return Err(invalid(format!("{} of {width} elements cannot be turned", self.rotary_dim)));
        }
        for index in [1, 2] {
            let table = cx.input(index)?;
            let (rows, positions, width) = match table.shape.as_slice() {
                [rows, positions, width] => (rows, positions, width),
                [rows, one, positions, width] if *one == Expr::ONE => (rows, positions, width),
                _ => return Err(invalid(format!("a table is {table}"))),
            };
            if *rows != Expr::ONE {
                cx.unify(batch, "batch", rows, "table")?;
            }
            cx.unify(seq, "positions", positions, "table")?;
            cx.unify(&Expr::from(self.width()), "width", width, "table")?;
        }
        Ok(vec![Fact::new(x.dtype, x.shape.clone())])
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        let (x, cos, sin) = (given(inputs, 0)?, given(inputs, 1)?, given(inputs, 2)?);
        let &[_, heads, seq, width] = x.shape() else {
            return Err(invalid("the input has not 4 dimensions"));
        };
        let (batch, w) = (x.shape()[0], self.width());
        for table in [cos, sin] {
            let fits = matches!(table.shape(), [b, s, n] | [b, 1, s, n]
                if (*b == batch || *b == 1) && [*s, *n] == [seq, w]);
            if !fits {
                return Err(invalid(format!("a table is {:?}", table.shape())));
            }
        }
        // The tables' rows repeat where they are for one batch.
        let (cos, sin, mut data) = (cos.to_f64s(), sin.to_f64s(), x.to_f64s());
        let row = |table: &'_ [f64], at: usize| (at * w) % table.len().max(1);
        for (n, head) in data.chunks_mut(width.max(1)).enumerate() {
            let at = n / (heads * seq) * seq + n % seq;
            let (c, s) = (row(&cos, at), row(&sin, at));
            self.turn(head, &cos[c..c + w], &sin[s..s + w]);
        }
        Ok(vec![floats(x.dtype(), x.shape().to_vec(), &data)?])
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        let (x, cos, sin) = (cx.shaped(0)?, cx.shaped(1)?, cx.shaped(2)?);
        let out = Destination::strided(cx, 0)?;
        self.call(cx, x, [cos, sin], None, out.view.clone())?;
        out.finish(cx)
    }
}

impl Rope {
    /// Turns `x [batch, heads, seq, head_dim]` by tables `[batch or 1, seq, width]`, or by rows of tables
    /// `[rows, width]` that `positions [batch, seq]` name.
    ///
    /// # Errors
    /// When the head's width is odd, or a copy that this takes cannot be made.
    pub fn call(
        &self,
        cx: &mut Lowering<'_>,
        x: View,
        tables: [View; 2],
        positions: Option<View>,
        out: View,
    ) -> Result<(), OpError> {
        let [cos, sin] = tables.map(|table| converted(cx, table, x.elem));
        let (cos, sin) = (cos?, sin?);
        let shape = x.shape();
        let pairs = shape[3].exact_div(&Expr::from(2));
        let pairs = pairs.ok_or_else(|| invalid(format!("a head of {} elements", shape[3])))?;
        let total = shape[..3].iter().fold(pairs, |n, d| &n * d);
        let strides = |view: &View| Param::Ints(view.dims.iter().map(|d| d.stride.clone()).collect());
        let mut params = vec![
            ("shape", Param::Ints(shape)),
            ("a_strides", strides(&x)),
            ("out_strides", strides(&out)),
            ("cos_strides", table_strides(&cos)),
            ("sin_strides", table_strides(&sin)),
            ("rotary", Param::Int(Expr::from(self.rotary_dim))),
        ];
        let spec = KernelSpec::new("rope")
            .with("ELEM", x.elem.wgsl())
            .flag("INTERLEAVED", self.interleaved)
            .flag("HALF_TABLE", !self.full_table)
            .flag("POSITIONS", positions.is_some());
        let mut slots = vec![("a", x), ("cos", cos), ("sin", sin), ("out", out)];
        if let Some(positions) = positions {
            let positions = converted(cx, positions, Elem::I32)?;
            params.push(("positions_batch_stride", Param::Int(spread(&positions.dims[0]))));
            params.push(("positions_seq_stride", Param::Int(positions.dims[1].stride.clone())));
            slots.push(("positions", positions));
        }
        let slots = slots.into_iter().map(|(name, view)| (name, Slot::View(view))).collect();
        cx.dispatch(Dispatch { spec, slots, params, grid: Grid::Linear(total.ceil_div(64)) });
        Ok(())
    }
}

/// The stride of a dimension that repeats where it has size 1.
fn spread(dim: &Dim) -> Expr {
    if dim.size == Expr::ONE { Expr::ZERO } else { dim.stride.clone() }
}

/// Strides of batch, heads, rows and elements of a table.
fn table_strides(table: &View) -> Param {
    let (last, outer) = (&table.dims[table.dims.len() - 2..], &table.dims[..table.dims.len() - 2]);
    let batch = outer.first().map_or(Expr::ZERO, spread);
    Param::Ints(vec![batch, Expr::ZERO, last[0].stride.clone(), last[1].stride.clone()])
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (interleaved, full_table) in [(false, false), (false, true), (true, false)] {
        for (shape, rotary_dim, batch) in
            [([1, 3, 5, 8], 8, 1), ([2, 4, 3, 64], 64, 2), ([2, 3, 4, 12], 8, 1)]
        {
            let op = Rope { interleaved, rotary_dim, full_table };
            let tables = [batch, shape[2], op.width()];
            let inputs = vec![
                Some(sample::floats(&shape, 1)),
                Some(sample::floats_in(&tables, 2, -1.0, 1.0)),
                Some(sample::floats_in(&tables, 3, -1.0, 1.0)),
            ];
            cases.push(Case::new(format!("{op:?} of {shape:?}"), op, inputs));
        }
    }
    let op = Rope { interleaved: false, rotary_dim: 8, full_table: true };
    let inputs =
        [sample::floats(&[2, 3, 5, 8], 1), sample::floats(&[1, 5, 8], 2), sample::floats(&[2, 5, 8], 3)];
    cases.push(Case::new("cosines of one batch, sines of each", op, inputs.map(Some).to_vec()));
    let op = Rope { interleaved: true, rotary_dim: 6, full_table: true };
    let tables = [2, 3].map(|seed| sample::floats_in(&[2, 1, 5, 6], seed, -1.0, 1.0));
    let inputs = [sample::floats(&[2, 3, 5, 8], 1)].into_iter().chain(tables).map(Some).collect();
    cases.push(Case::new("tables with a dimension for heads", op, inputs));
    cases
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[], decode: made_by_passes, cases };

#[cfg(test)]
mod tests {
    use super::Rope;

    #[test]
    fn a_quarter_turn() {
        let turn = |interleaved| {
            let mut head = [1.0, 2.0, 3.0, 4.0, 9.0];
            Rope { interleaved, rotary_dim: 4, full_table: false }.turn(&mut head, &[0.0; 2], &[1.0; 2]);
            head
        };
        assert_eq!(turn(false), [-3.0, -4.0, 1.0, 2.0, 9.0]);
        assert_eq!(turn(true), [-2.0, 1.0, -4.0, 3.0, 9.0]);
    }
}
