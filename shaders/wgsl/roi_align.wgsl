// out[r, c, h, w] = the mean (or the greatest share of an element) over points that lie evenly in part (h, w) of region r of
// x[batch[r], c], each between four elements. rois: [left, top, right, bottom], times scale, minus shift. `samples` points a
// side, or one for each element that a part is wide, at most LIMIT. Everything lies without gaps. One thread an element.
#variant ELEM = f32 | f16
#variant MAX = false | true
#if ELEM == f16
enable f16;
#endif
#import grid
#import opaque_one

override WG_X: u32 = 64;
override LIMIT: u32 = 256;

alias Elem = $ELEM;

struct Params {
    sizes: vec4<u32>,
    parts: vec2<u32>,
    total: u32,
    samples: u32,
    scale: f32,
    shift: f32,
    x_offset: u32,
    rois_offset: u32,
    batch_offset: u32,
    out_offset: u32,
}

@group(0) @binding(0) var<storage, read_write> x: array<Elem>;
@group(0) @binding(1) var<storage, read_write> rois: array<Elem>;
@group(0) @binding(2) var<storage, read_write> batch: array<i32>;
@group(0) @binding(3) var<storage, read_write> out: array<Elem>;
@group(0) @binding(4) var<uniform> params: Params;

// The shares of four elements around a point of a plane that begins at `start`.
fn shares(start: u32, point: vec2<f32>) -> vec4<f32> {
    let size = vec2<f32>(params.sizes.zw);
    if any(point < vec2(-1.0)) || any(point > size) { return vec4(0.0); }
    let at = clamp(point, vec2(0.0), size - 1.0);
    let low = vec2<u32>(at);
    let high = min(low + 1u, params.sizes.zw - 1u);
    let far = at - vec2<f32>(low);
    let near = 1.0 - far;
    let rows = start + vec2(low.x, high.x) * params.sizes.w;
    return vec4(
        near.x * near.y * f32(x[rows.x + low.y]),
        near.x * far.y * f32(x[rows.x + high.y]),
        far.x * near.y * f32(x[rows.y + low.y]),
        far.x * far.y * f32(x[rows.y + high.y]));
}

@compute @workgroup_size(WG_X)
fn main(
    @builtin(local_invocation_index) local: u32,
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let element = workgroup_index(workgroup, count) * WG_X + local;
    if element >= params.total { return; }
    let part = vec2(element / params.parts.y % params.parts.x, element % params.parts.y);
    let plane = element / (params.parts.x * params.parts.y);
    let region = plane / params.sizes.y;
    let r = params.rois_offset + region * 4u;
    let begin = vec2(f32(rois[r + 1u]), f32(rois[r])) * params.scale - params.shift;
    let end = vec2(f32(rois[r + 3u]), f32(rois[r + 2u])) * params.scale - params.shift;
    let extent = select(end - begin, max(end - begin, vec2(1.0)), params.shift == 0.0);
    let size = extent / vec2<f32>(params.parts);
    let wanted = vec2<u32>(clamp(ceil(size), vec2(0.0), vec2(f32(LIMIT))));
    let points = select(wanted, vec2(params.samples), params.samples > 0u);
    let image = u32(clamp(batch[params.batch_offset + region], 0, i32(params.sizes.x) - 1));
    let start = params.x_offset + (image * params.sizes.y + plane % params.sizes.y) * params.sizes.z * params.sizes.w;
    let corner = begin + vec2<f32>(part) * size;
    var result = 0.0;
    for (var i = 0u; i < points.x; i += opaque_one(workgroup)) {
        for (var j = 0u; j < points.y; j += opaque_one(workgroup)) {
            let four = shares(start, corner + (vec2(f32(i), f32(j)) + 0.5) * size / vec2<f32>(points));
#if MAX
            let greatest = max(max(four.x, four.y), max(four.z, four.w));
            result = select(max(result, greatest), greatest, i + j == 0u);
#else
            result += four.x + four.y + four.z + four.w;
#endif
        }
    }
#if !MAX
    result /= f32(max(points.x * points.y, 1u));
#endif
    out[params.out_offset + element] = Elem(result);
}
