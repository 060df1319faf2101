// out[i] = start + i * delta. One thread: one element.
#variant ELEM = f32 | f16 | i32 | u32
#let FLOAT = ELEM == f32 || ELEM == f16
#if ELEM == f16
enable f16;
#endif
#import grid

override WG_X: u32 = 64;

alias Elem = $ELEM;

struct Params {
    total: u32,
    out_offset: u32,
#if FLOAT
    start: f32,
    delta: f32,
#else
    start: i32,
    delta: i32,
#endif
}

@group(0) @binding(0) var<storage, read_write> out: array<Elem>;
@group(0) @binding(1) var<uniform> params: Params;

@compute @workgroup_size(WG_X)
fn main(
    @builtin(local_invocation_index) local: u32,
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let i = workgroup_index(workgroup, count) * WG_X + local;
    if i >= params.total { return; }
#if FLOAT
    out[params.out_offset + i] = Elem(params.start + f32(i) * params.delta);
#else
    out[params.out_offset + i] = Elem(params.start + i32(i) * params.delta);
#endif
}
