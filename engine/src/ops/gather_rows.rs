//! GatherRows: rows of a packed table by index, the embedding look-up that passes make.

use shaders::KernelSpec;
use symbolic::Expr;

use crate::{
    error::{OpError, invalid},
    graph::Fact,
    host::{GroupSize, HostTensor, WeightFormat},
    op::{
        Case, Destination, Dispatch, Elem, Grid, Infer, Lowering, Matrix, Op, Operator, Param, Slot, View,
        WeightPart, converted, made_by_passes,
        nd::{floats, given},
        sample,
    },
    ops::{gather, linear},
};

/// Inputs: a constant table `[rows, width]` and indices. The result is `[..indices, width]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatherRows {
    /// How the table is held on the device.
    pub format: WeightFormat,
    /// Whether the model stores it `[width, rows]` instead, as an output head that is the embedding too.
    pub transposed: bool,
}

impl Op for GatherRows {
    fn name(&self) -> &'static str {
        "GatherRows"
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        let (table, indices) = (cx.input(0)?, cx.input(1)?);
        let [a, b] = table.shape.as_slice() else { return Err(invalid(format!("the table is {table}"))) };
        let width = if self.transposed { a } else { b };
        let shape = indices.shape.iter().chain([width]).cloned().collect();
        Ok(vec![Fact::new(table.dtype, shape)])
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        let (table, indices) = (given(inputs, 0)?, given(inputs, 1)?);
        let packed = linear::packed(table, self.format, self.transposed)?;
        let mut data = Vec::with_capacity(indices.len() * packed.k());
        for index in indices.to_i64s() {
            let at = if index < 0 { index + packed.n() as i64 } else { index };
            let row = usize::try_from(at).ok().and_then(|at| packed.unpack_row(at));
            let row = row
                .ok_or_else(|| invalid(format!("index {index} is outside a table of {} rows", packed.n())))?;
            data.extend(row.into_iter().map(f64::from));
        }
        let shape = indices.shape().iter().copied().chain([packed.k()]).collect();
        Ok(vec![floats(table.dtype(), shape, &data)?])
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        let matrix = cx.matrix(0, self.format, self.transposed)?;
        let Matrix { weight, n: rows, k, .. } = matrix;
        let indices = cx.shaped(1)?;
        let indices = cx.contiguous(indices)?;
        let indices = converted(cx, indices, Elem::I32)?;
        let out = Destination::contiguous(cx, 0)?;
        let total = indices.len();
        if k % linear::CHUNK != 0 {
            return self.unpacked(cx, indices, out);
        }
        let grid = Grid::Linear((&total * &Expr::from(k / linear::CHUNK)).ceil_div(64));
        for (first, count) in linear::pieces(cx, &matrix) {
            let mut spec = KernelSpec::new("gather_rows")
                .with("WEIGHT", linear::variant(self.format))
                .with("ELEM", out.view.elem.wgsl());
            let int = |n: usize| Param::Int(Expr::from(n));
            let params = vec![
                ("count", Param::Int(total.clone())),
                ("k", int(k)),
                ("rows", int(rows)),
                ("row_start", int(first)),
                ("row_count", int(count)),
                ("indices_stride", int(1)),
                ("out_stride", int(k)),
            ];
            let part = |part| Slot::Weight { weight, part, first, count };
            let mut slots = vec![
                ("indices", Slot::View(indices.clone())),
                ("out", Slot::View(out.view.clone())),
                ("weight", part(WeightPart::Weight)),
            ];
            if let Some(group) = self.format.group() {
                spec = spec.set("GROUP", group.weights() as u32);
                slots.push(("scales", part(WeightPart::Scales)));
            }
            cx.dispatch(Dispatch { spec, slots, params, grid: grid.clone() });
        }
        out.finish(cx)
    }
}

impl GatherRows {
    /// For a width that the kernel does not take: the table as plain floats.
    fn unpacked(&self, cx: &mut Lowering<'_>, indices: View, out: Destination) -> Result<(), OpError> {
        if self.format.group().is_some() {
            let text =
                format!("a table of {} weights whose rows are no multiple of {}", self.format, linear::CHUNK);
            return Err(OpError::Unsupported(text));
        }
        let table = cx.shaped(0)?;
        let table = if self.transposed { table.transpose(&[1, 0]) } else { table };
        gather::along(cx, table, indices, 0, &out.view)?;
        out.finish(cx)
    }
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for format in WeightFormat::ALL {
        let table = sample::floats(&[21, 96], 1);
        for shape in [&[1, 5][..], &[2, 3], &[0]] {
            let indices = sample::integers_in(shape, 2, 0, 21);
            let case = Case::new(
                format!("{format} {shape:?}"),
                GatherRows { format, transposed: false },
                vec![Some(table.clone()), Some(indices)],
            );
            cases.push(case.constants(&[0]));
        }
    }
    let narrow = vec![Some(sample::floats(&[9, 5], 1)), Some(sample::integers_in(&[4], 2, -9, 9))];
    let m0e4 = WeightFormat::M0e4 { group: GroupSize::G32 };
    for (format, table) in [(m0e4, [96, 21]), (WeightFormat::F32, [5, 9])] {
        let inputs = vec![Some(sample::floats(&table, 1)), Some(sample::integers_in(&[1, 5], 2, 0, 9))];
        let op = GatherRows { format, transposed: true };
        cases.push(Case::new(format!("{format}, transposed"), op, inputs).constants(&[0]));
    }
    let op = GatherRows { format: WeightFormat::F32, transposed: false };
    cases.push(Case::new("a narrow table", op, narrow).constants(&[0]));
    cases
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[], decode: made_by_passes, cases };
