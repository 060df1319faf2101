// out[.., indices[o, i, r], ..] = updates[o, i, r] along one axis, or added, .. to it; out holds the data already. indices
// and updates have shape [shape..] of up to 4 dimensions (innermost last), contiguous; out has the given strides, and
// `size` positions along `axis`. Of several updates to one place the last along the axis wins: one thread does all
// updates of one line along the axis in turn.
#variant ELEM = f32 | f16 | i32 | u32
#variant OP = none | add | mul | min | max
#if ELEM == f16
enable f16;
#endif
#import grid

override WG_X: u32 = 64;

alias Elem = $ELEM;

struct Params {
    shape: vec4<u32>,
    out_strides: vec4<u32>,
    lines: u32,
    axis: u32,
    size: u32,
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
    let line = workgroup_index(workgroup, count) * WG_X + local;
    if line >= params.lines { return; }
    var rest = line;
    var source = 0u;
    var place = params.out_offset;
    var stride = 1u;
    var along = 0u;
    for (var d = 4u; d > 0u; d--) {
        let axis = d - 1u;
        if axis == params.axis {
            along = stride;
        } else {
            let own = rest % params.shape[axis];
            rest /= params.shape[axis];
            source += own * stride;
            place += own * params.out_strides[axis];
        }
        stride *= params.shape[axis];
    }
    for (var i = 0u; i < params.shape[params.axis]; i++) {
        let index = source + i * along;
        var at = indices[params.indices_offset + index];
        if at < 0 { at += i32(params.size); }
        let to_index = place + u32(clamp(at, 0, i32(params.size) - 1)) * params.out_strides[params.axis];
        let update = updates[params.updates_offset + index];
#if OP == none
        out[to_index] = update;
#elif OP == add
        out[to_index] += update;
#elif OP == mul
        out[to_index] *= update;
#elif OP == min
        out[to_index] = min(out[to_index], update);
#else
        out[to_index] = max(out[to_index], update);
#endif
    }
}
