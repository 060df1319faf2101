// The k greatest (LARGEST) or least elements of each row in their order, and where they were. One thread an element, which
// counts the elements before it: greater ones, and equal ones that come first; NaN is greater than all. shape and strides
// are of the rows; the steps are the strides along n and k.
#variant ELEM = f32 | f16 | i32 | u32
#variant LARGEST = true | false
#if ELEM == f16
enable f16;
#endif
#import grid
#import rows
#import float

override WG_X: u32 = 64;

alias Elem = $ELEM;
#if ELEM == f16
alias Num = f32;
#else
alias Num = $ELEM;
#endif

struct Params {
    shape: vec4<u32>,
    a_strides: vec4<u32>,
    out_strides: vec4<u32>,
    places_strides: vec4<u32>,
    total: u32,
    n: u32,
    k: u32,
    a_step: u32,
    out_step: u32,
    places_step: u32,
    a_offset: u32,
    out_offset: u32,
    places_offset: u32,
}

@group(0) @binding(0) var<storage, read_write> a: array<Elem>;
@group(0) @binding(1) var<storage, read_write> out: array<Elem>;
@group(0) @binding(2) var<storage, read_write> places: array<i32>;
@group(0) @binding(3) var<uniform> params: Params;

fn before(x: Num, y: Num) -> bool {
#if ELEM == f32 || ELEM == f16
    if is_nan(x) || is_nan(y) {
#if LARGEST
        return is_nan(x) && !is_nan(y);
#else
        return is_nan(y) && !is_nan(x);
#endif
    }
#endif
#if LARGEST
    return x > y;
#else
    return x < y;
#endif
}

@compute @workgroup_size(WG_X)
fn main(
    @builtin(local_invocation_index) local: u32,
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let element = workgroup_index(workgroup, count) * WG_X + local;
    if element >= params.total { return; }
    let row = element / params.n;
    let at = element % params.n;
    let start = params.a_offset + row_start(row, params.shape, params.a_strides);
    let x = a[start + at * params.a_step];
    var rank = 0u;
    for (var step = 1u; step < params.n && rank < params.k; step++) {
        // From the next one on, around.
        let other = select(at + step, at + step - params.n, at + step >= params.n);
        let y = Num(a[start + other * params.a_step]);
        rank += u32(before(y, Num(x)) || other < at && !before(Num(x), y));
    }
    if rank >= params.k { return; }
    out[params.out_offset + row_start(row, params.shape, params.out_strides) + rank * params.out_step] = x;
    let place = params.places_offset + row_start(row, params.shape, params.places_strides);
    places[place + rank * params.places_step] = i32(at);
}
