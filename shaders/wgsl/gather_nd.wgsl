// out[b, i, :] = a[b, indices[b, i, 0], indices[b, i, 1], .., :]; all contiguous. a is [batch, sizes.., inner] with `depth`
// indexed dimensions (at most 4) whose sizes and strides are given. Negative indices count from the end. One thread:
// one element.
#variant ELEM = f32 | f16 | i32 | u32
#if ELEM == f16
enable f16;
#endif
#import grid

override WG_X: u32 = 64;

alias Elem = $ELEM;

struct Params {
    sizes: vec4<u32>,
    strides: vec4<u32>,
    total: u32,
    depth: u32,
    count: u32,
    inner: u32,
    batch_stride: u32,
    a_offset: u32,
    indices_offset: u32,
    out_offset: u32,
}

@group(0) @binding(0) var<storage, read_write> a: array<Elem>;
@group(0) @binding(1) var<storage, read_write> indices: array<i32>;
@group(0) @binding(2) var<storage, read_write> out: array<Elem>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(WG_X)
fn main(
    @builtin(local_invocation_index) local: u32,
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let index = workgroup_index(workgroup, count) * WG_X + local;
    if index >= params.total { return; }
    let tuple = index / params.inner;
    var place = tuple / params.count * params.batch_stride + index % params.inner;
    for (var d = 0u; d < params.depth; d++) {
        var at = indices[params.indices_offset + tuple * params.depth + d];
        let size = i32(params.sizes[d]);
        if at < 0 { at += size; }
        place += u32(clamp(at, 0, size - 1)) * params.strides[d];
    }
    out[params.out_offset + index] = a[params.a_offset + place];
}
