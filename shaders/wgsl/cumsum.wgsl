// out[line, i] = sum of a[line, j] over j <= i (j < i where exclusive), or over j >= i (j > i) where reverse. a and out are
// [outer, n, inner], contiguous; a line is one (outer, inner). One thread: one line.
#variant ELEM = f32 | f16 | i32 | u32
#variant EXCLUSIVE = false | true
#variant REVERSE = false | true
#let FLOAT = ELEM == f32 || ELEM == f16
#if ELEM == f16
enable f16;
#endif
#import grid

override WG_X: u32 = 64;

alias Elem = $ELEM;
#if FLOAT
alias Num = f32;
#else
alias Num = $ELEM;
#endif

struct Params {
    lines: u32,
    n: u32,
    inner: u32,
    a_offset: u32,
    out_offset: u32,
}

@group(0) @binding(0) var<storage, read_write> a: array<Elem>;
@group(0) @binding(1) var<storage, read_write> out: array<Elem>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WG_X)
fn main(
    @builtin(local_invocation_index) local: u32,
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let line = workgroup_index(workgroup, count) * WG_X + local;
    if line >= params.lines { return; }
    let start = line / params.inner * params.n * params.inner + line % params.inner;
    var sum = Num(0);
    for (var step = 0u; step < params.n; step++) {
#if REVERSE
        let i = params.n - 1u - step;
#else
        let i = step;
#endif
        let index = start + i * params.inner;
        let value = Num(a[params.a_offset + index]);
#if EXCLUSIVE
        out[params.out_offset + index] = Elem(sum);
        sum += value;
#else
        sum += value;
        out[params.out_offset + index] = Elem(sum);
#endif
    }
}
