// out[i * out_stride] = start + i * delta for i < total; delta 0 fills with a constant. One thread an element.
#variant ELEM = f32 | f16 | i32 | u32
#if ELEM == f16
enable f16;
#endif
#import grid

override WG_X: u32 = 64;

alias Elem = $ELEM;
#if ELEM == i32 || ELEM == u32
alias Num = i32;
#else
alias Num = f32;
#endif

struct Params {
    total: u32,
    out_offset: u32,
    out_stride: u32,
    start: Num,
    delta: Num,
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
    out[params.out_offset + i * params.out_stride] = Elem(params.start + Num(i) * params.delta);
}
