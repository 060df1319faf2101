// out[row, i] = sum of a[row, ..i], or the product where PRODUCT, including a[row, i] unless EXCLUSIVE; from the end where
// REVERSE. One thread a row, which goes along n. shape and strides are of the rows; a_step and out_step are the strides
// along n.
#variant ELEM = f32 | f16 | i32
#variant PRODUCT = false | true
#variant EXCLUSIVE = false | true
#variant REVERSE = false | true
#if ELEM == f16
enable f16;
#endif
#import grid
#import rows

override WG_X: u32 = 64;

alias Elem = $ELEM;
#if ELEM == i32
alias Num = i32;
#else
alias Num = f32;
#endif

struct Params {
    shape: vec4<u32>,
    a_strides: vec4<u32>,
    out_strides: vec4<u32>,
    rows: u32,
    n: u32,
    a_step: u32,
    out_step: u32,
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
    let row = workgroup_index(workgroup, count) * WG_X + local;
    if row >= params.rows { return; }
    let start = params.a_offset + row_start(row, params.shape, params.a_strides);
    let place = params.out_offset + row_start(row, params.shape, params.out_strides);
#if PRODUCT
    var sum = Num(1);
#else
    var sum = Num(0);
#endif
    for (var step = 0u; step < params.n; step++) {
#if REVERSE
        let i = params.n - 1u - step;
#else
        let i = step;
#endif
        let x = Num(a[start + i * params.a_step]);
#if PRODUCT
        let next = sum * x;
#else
        let next = sum + x;
#endif
#if EXCLUSIVE
        out[place + i * params.out_step] = Elem(sum);
#else
        out[place + i * params.out_step] = Elem(next);
#endif
        sum = next;
    }
}
