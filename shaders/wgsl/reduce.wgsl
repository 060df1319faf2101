// out[row] = OP over i < n of a[row, i]; one workgroup a row, its threads take every WG_X-th element. `argmax` and
// `argmin` give the first index, as i32. shape and strides are of the rows; a_step is the stride along n.
#variant OP = sum | mean | max | min | prod | sum_square | l2 | argmax | argmin
#variant ELEM = f32 | f16 | i32
#let INDEX = OP == argmax || OP == argmin
#let PICK = INDEX || OP == max || OP == min
#exclude ELEM == i32 && OP == l2
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
#if INDEX
alias Out = i32;
#else
alias Out = $ELEM;
#endif

struct Params {
    shape: vec4<u32>,
    a_strides: vec4<u32>,
    out_strides: vec4<u32>,
    rows: u32,
    n: u32,
    a_step: u32,
    a_offset: u32,
    out_offset: u32,
}

@group(0) @binding(0) var<storage, read_write> a: array<Elem>;
@group(0) @binding(1) var<storage, read_write> out: array<Out>;
@group(0) @binding(2) var<uniform> params: Params;

var<workgroup> values: array<Num, WG_X>;
#if INDEX
var<workgroup> places: array<u32, WG_X>;
#endif

fn better(x: Num, y: Num) -> bool {
#if OP == max || OP == argmax
    return x > y;
#else
    return x < y;
#endif
}

fn combine(x: Num, y: Num) -> Num {
#if PICK
    return select(x, y, better(y, x));
#elif OP == prod
    return x * y;
#else
    return x + y;
#endif
}

@compute @workgroup_size(WG_X)
fn main(
    @builtin(local_invocation_index) local: u32,
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let row = workgroup_index(workgroup, count);
    if row >= params.rows { return; }
    let start = params.a_offset + row_start(row, params.shape, params.a_strides);
#if PICK
    var value = Num(a[start]);
#elif OP == prod
    var value = Num(1);
#else
    var value = Num(0);
#endif
    var place = 0u;
    for (var i = local; i < params.n; i += WG_X) {
        let x = Num(a[start + i * params.a_step]);
#if INDEX
        if better(x, value) { place = i; }
#endif
#if OP == sum_square || OP == l2
        value = combine(value, x * x);
#else
        value = combine(value, x);
#endif
    }
    values[local] = value;
#if INDEX
    places[local] = place;
#endif
    for (var step = WG_X / 2u; step > 0u; step /= 2u) {
        workgroupBarrier();
        if local < step {
            let other = values[local + step];
#if INDEX
            let there = places[local + step];
            let earlier = other == values[local] && there < places[local];
            if better(other, values[local]) || earlier { places[local] = there; }
#endif
            values[local] = combine(values[local], other);
        }
    }
    if local != 0u { return; }
    let at = params.out_offset + row_start(row, params.shape, params.out_strides);
#if INDEX
    out[at] = i32(places[0]);
#elif OP == mean
    out[at] = Out(values[0] / Num(params.n));
#elif OP == l2
    out[at] = Out(sqrt(values[0]));
#else
    out[at] = Out(values[0]);
#endif
}
