//! What products are multiplied with in 8 bits, as `shaders/wgsl/lib/bytes.wgsl` rounds it.

/// Columns that have a step of their own.
pub const SPAN: usize = 32;

/// Bytes of workgroup memory that a span of `x` takes: its columns, the step, and their sum.
pub const SPAN_BYTES: usize = SPAN + 8;

/// Rounds a row to whole multiples, of at most 127, of a step for each span: what is off by most is off by half a step, of the
/// largest magnitude of the span by 127.
pub fn round(row: &mut [f64]) {
    for span in row.chunks_mut(SPAN) {
        let step = span.iter().fold(0.0, |most: f64, v| most.max(v.abs())) / 127.0;
        if step > 0.0 {
            span.iter_mut().for_each(|v| *v = (*v / step).round_ties_even() * step);
        }
    }
}
