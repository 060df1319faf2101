// out[n, c, p] = x[n, c] at the position grid[n, p] between -1 and 1, of which the last number is that of the outermost of DIMS
// dimensions: the nearest element, or by shares of 2 or 4 along each dimension. Everything lies without gaps. One thread an
// element of out.
#variant ELEM = f32 | f16
#variant DIMS = 1 | 2 | 3
#variant MODE = nearest | linear | cubic
#variant PADDING = zeros | border | reflection
#variant CORNERS = false | true
#if ELEM == f16
enable f16;
#endif
#import grid

override WG_X: u32 = 64;

alias Elem = $ELEM;

struct Params {
    sizes: vec4<u32>,
    total: u32,
    channels: u32,
    places: u32,
    x_offset: u32,
    grid_offset: u32,
    out_offset: u32,
}

@group(0) @binding(0) var<storage, read_write> x: array<Elem>;
@group(0) @binding(1) var<storage, read_write> grid: array<Elem>;
@group(0) @binding(2) var<storage, read_write> out: array<Elem>;
@group(0) @binding(3) var<uniform> params: Params;

#if MODE == nearest
const TAPS = 1u;
const BEFORE = 0;
#elif MODE == linear
const TAPS = 2u;
const BEFORE = 0;
#else
const TAPS = 4u;
const BEFORE = 1;
#endif
#if DIMS == 1
const COUNT = TAPS;
#elif DIMS == 2
const COUNT = TAPS * TAPS;
#else
const COUNT = TAPS * TAPS * TAPS;
#endif

#if PADDING == reflection
// Folded at the borders: the centres of the outermost elements, or their edges.
fn reflected(at: f32, size: f32) -> f32 {
#if CORNERS
    let low = 0.0;
    let span = size - 1.0;
#else
    let low = -0.5;
    let span = size;
#endif
    if span <= 0.0 { return 0.0; }
    let beyond = abs(at - low);
    let there = beyond - floor(beyond / (2.0 * span)) * 2.0 * span;
    return low + min(there, 2.0 * span - there);
}
#endif

// The place on an axis that a position between -1 and 1 is.
fn place(position: f32, size: f32) -> f32 {
#if CORNERS
    var at = (position + 1.0) / 2.0 * (size - 1.0);
    let low = 0.0;
#else
    var at = ((position + 1.0) * size - 1.0) / 2.0;
    let low = -0.5;
#endif
#if MODE == nearest
    at = round(at);
#endif
#if PADDING == zeros
    // Beyond this nothing is read.
    return clamp(at, -4.0, size + 4.0);
#elif PADDING == border
    return select(at, clamp(at, 0.0, size - 1.0), at < low || at > size - 1.0 - low);
#else
    return select(at, reflected(at, size), at < low || at > size - 1.0 - low);
#endif
}

// The share of an element at a distance.
fn share(distance: f32) -> f32 {
#if MODE == nearest
    return 1.0;
#elif MODE == linear
    return 1.0 - abs(distance);
#else
    let d = abs(distance);
    if d <= 1.0 { return (1.25 * d - 2.25) * d * d + 1.0; }
    return ((-0.75 * d + 3.75) * d - 6.0) * d + 3.0;
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
    let plane = element / params.places;
    let start = params.grid_offset + (plane / params.channels * params.places + element % params.places) * ${DIMS}u;
    var at = vec3(0.0);
    var inside = 1u;
    for (var d = 0u; d < ${DIMS}u; d++) {
        at[d] = place(f32(grid[start + ${DIMS}u - 1u - d]), f32(params.sizes[d]));
        inside *= params.sizes[d];
    }
    let base = floor(at);
    var sum = 0.0;
    for (var tap = 0u; tap < COUNT; tap++) {
        var rest = tap;
        var weight = 1.0;
        var index = 0u;
        for (var d = 0u; d < ${DIMS}u; d++) {
            let size = i32(params.sizes[d]);
            let i = i32(base[d]) + i32(rest % TAPS) - BEFORE;
            rest /= TAPS;
            weight *= share(f32(i) - at[d]);
#if PADDING == zeros
            weight = select(weight, 0.0, i < 0 || i >= size);
            let there = i;
#elif PADDING == border
            let there = i;
#else
            let there = i32(reflected(f32(i), f32(size)));
#endif
            index = index * u32(size) + u32(clamp(there, 0, size - 1));
        }
        sum += weight * f32(x[params.x_offset + plane * inside + index]);
    }
    out[params.out_offset + element] = Elem(sum);
}
