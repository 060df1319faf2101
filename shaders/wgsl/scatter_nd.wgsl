// out[indices[i, 0], indices[i, 1], .., :] = updates[i, :], or added, multiplied, .. to it; out holds the data already and
// is contiguous, with `depth` indexed dimensions (at most 4). Of several updates to one place the last in order wins,
// so one thread does all updates of one column of the inner dimension in turn. OP none = write.
#variant ELEM = f32 | f16 | i32 | u32
#variant OP = none | add | mul | min | max
#if ELEM == f16
enable f16;
#endif
#import grid

override WG_X: u32 = 64;

alias Elem = $ELEM;

struct Params {
    sizes: vec4<u32>,
    strides: vec4<u32>,
    depth: u32,
    count: u32,
    inner: u32,
    indices_offset: u32,
    updates_offset: u32,
    out_offset: u32,
}

@group(0) @binding(0) var<storage, read_write> indices: array<i32>;
@group(0) @binding(1) var<storage, read_write> updates: array<Elem>;
@group(0) @binding(2) var<storage, read_write> out: array<Elem>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(WG_X)
fn main(
    @builtin(local_invocation_index) local: u32,
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let column = workgroup_index(workgroup, count) * WG_X + local;
    if column >= params.inner { return; }
    for (var i = 0u; i < params.count; i++) {
        var place = params.out_offset + column;
        for (var d = 0u; d < params.depth; d++) {
            var at = indices[params.indices_offset + i * params.depth + d];
            let size = i32(params.sizes[d]);
            if at < 0 { at += size; }
            place += u32(clamp(at, 0, size - 1)) * params.strides[d];
        }
        let update = updates[params.updates_offset + i * params.inner + column];
#if OP == none
        out[place] = update;
#elif OP == add
        out[place] += update;
#elif OP == mul
        out[place] *= update;
#elif OP == min
        out[place] = min(out[place], update);
#else
        out[place] = max(out[place], update);
#endif
    }
}
