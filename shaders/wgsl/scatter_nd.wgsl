// out[indices[i, 0], .., indices[i, depth - 1], r] meets updates[i, r]; out holds the data already. One thread takes element r
// of `walk` tuples, one after the other: all of them where REDUCTION combines, so that repeated places need no atomics;
// with walk 1, two updates of one place are written in any order. All tensors are contiguous.
#variant ELEM = f32 | f16 | i32 | u32
#variant REDUCTION = none | add | mul | min | max
#if ELEM == f16
enable f16;
#endif
#import grid
#import opaque_one
#import coordinates
#import float

override WG_X: u32 = 64;

alias Elem = $ELEM;

#import scatter

struct Params {
    axis_sizes: vec4<u32>,
    axis_strides: vec4<u32>,
    total: u32,
    inner: u32,
    depth: u32,
    walk: u32,
    indices_offset: u32,
    updates_offset: u32,
    out_offset: u32,
}

@group(0) @binding(0) var<storage, read_write> indices: array<i32>;
@group(0) @binding(1) var<storage, read_write> updates: array<Elem>;
@group(0) @binding(2) var<storage, read_write> out: array<Elem>;
@group(0) @binding(3) var<uniform> params: Params;

#import tuples

@compute @workgroup_size(WG_X)
fn main(
    @builtin(local_invocation_index) local: u32,
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let element = workgroup_index(workgroup, count) * WG_X + local;
    if element >= params.total { return; }
    let one = opaque_one(workgroup);
    let first = element / params.inner * params.walk;
    let r = element % params.inner;
    for (var i = first; i < first + params.walk; i += one) {
        let at = params.out_offset + slice_start(i, one) + r;
        out[at] = met(out[at], updates[params.updates_offset + i * params.inner + r]);
    }
}
