// out[n, g * rows + m, o] = biases[g * rows + m] + sum over c < depth and taps k of
// filters[g * rows + m, c, k] * x[n, g * depth + c, o * stride + k * dilation - before], x being 0 outside: of each n and g a
// product of matrices, [rows, depth * taps] by [depth * taps, positions]. A workgroup of 64 threads, which count as 8 x 8,
// computes 32 rows by 8 runs of 4 neighbouring positions, a thread 4 rows of a run. Workgroups go along the runs, then
// the rows, then n * groups + g. strides are (channel, z, y, x).
#variant ELEM = f32 | f16 | i32
#variant BIAS = false | true
#if ELEM == f16
enable f16;
#endif
#import grid
#import opaque_one
#import window

alias Elem = $ELEM;
#if ELEM == i32
alias Num = i32;
#else
alias Num = f32;
#endif

override TAPS_Z: u32 = 1;
override TAPS_Y: u32 = 1;
override TAPS_X: u32 = 1;

// Channels and taps at a time: one for each thread that reads a run.
const DEPTH = 8u;

struct Params {
    x_shape: vec3<u32>,
    runs: u32,
    out_shape: vec3<u32>,
    row_runs: u32,
    stride: vec3<i32>,
    rows: u32,
    dilation: vec3<i32>,
    depth: u32,
    before: vec3<i32>,
    groups: u32,
    x_strides: vec4<u32>,
    filters_strides: vec4<u32>,
    out_strides: vec4<u32>,
    x_batch: u32,
    filters_row: u32,
    out_batch: u32,
    tiles: u32,
    x_offset: u32,
    filters_offset: u32,
    out_offset: u32,
#if BIAS
    biases_offset: u32,
#endif
}

@group(0) @binding(0) var<storage, read_write> x: array<Elem>;
@group(0) @binding(1) var<storage, read_write> filters: array<Elem>;
@group(0) @binding(2) var<storage, read_write> out: array<Elem>;
#if BIAS
@group(0) @binding(3) var<storage, read_write> biases: array<Elem>;
@group(0) @binding(4) var<uniform> params: Params;
#else
@group(0) @binding(3) var<uniform> params: Params;
#endif

// [DEPTH][8]: four rows of filters, or a run of x, at one channel and tap.
var<workgroup> filters_tile: array<vec4<Num>, DEPTH * 8u>;
var<workgroup> x_tile: array<vec4<Num>, DEPTH * 8u>;

fn weight(base: u32, row: u32) -> Num {
    return Num(filters[base + min(row, params.rows - 1u) * params.filters_row]);
}

fn element(line: u32, at: i32, whole: bool) -> Num {
    let inside = whole && u32(at) < params.x_shape.z;
    return select(Num(0), Num(x[line + select(0u, u32(at), inside) * params.x_strides.w]), inside);
}

// In one dimension: Adreno 8xx get workgroups of 8 x 8 wrong (executorch#22327).
@compute @workgroup_size(64)
fn main(
    @builtin(local_invocation_index) index: u32,
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let tile = workgroup_index(workgroup, count);
    if tile >= params.tiles { return; }
    let run_tiles = (params.runs + 7u) / 8u;
    let row_tiles = (params.rows + 31u) / 32u;
    let n = tile / run_tiles / row_tiles / params.groups;
    let group = tile / run_tiles / row_tiles % params.groups;

    // A thread reads at the channel and tap `row` and computes the rows `row`, both at the run `column`.
    let column = index % 8u;
    let row = index / 8u;
    let m = (tile / run_tiles % row_tiles * 8u + row) * 4u;
    let run = tile % run_tiles * 8u + column;
    let place = run_start(min(run, params.runs - 1u), params.row_runs, params.out_shape);
    let start = origin(place, params.stride, params.before);
    let x_base = params.x_offset + n * params.x_batch + group * params.depth * params.x_strides.x;
    let filters_base = params.filters_offset + group * params.rows * params.filters_row;
    let length = params.depth * (TAPS_Z * TAPS_Y * TAPS_X);
    let lane = (tile / run_tiles % row_tiles * 8u + column) * 4u;
#for r in 0..4
    var acc$r = vec4<Num>();
#endfor
    let one = opaque_one(workgroup);
    for (var k = 0u; k < length; k += DEPTH * one) {
        let inside = k + row < length;
        let at = min(k + row, length - 1u);
        let c = at / (TAPS_Z * TAPS_Y * TAPS_X);
        let tap = vec3(at / (TAPS_Y * TAPS_X) % TAPS_Z, at / TAPS_X % TAPS_Y, at % TAPS_X);
        let source = filters_base + dot(vec4(c, tap), params.filters_strides);
        let p = start + vec3<i32>(tap) * params.dilation;
        let whole = u32(p.x) < params.x_shape.x && u32(p.y) < params.x_shape.y;
        let zy = select(vec2(0u), vec2<u32>(p.xy), whole);
        let line = x_base + c * params.x_strides.x + zy.x * params.x_strides.y + zy.y * params.x_strides.z;
        let step = params.stride.z;
        workgroupBarrier();
        let weights =
            vec4(weight(source, lane), weight(source, lane + 1u), weight(source, lane + 2u), weight(source, lane + 3u));
        filters_tile[index] = select(vec4<Num>(), weights, inside);
        x_tile[index] = vec4(
            element(line, p.z, whole), element(line, p.z + step, whole),
            element(line, p.z + 2 * step, whole), element(line, p.z + 3 * step, whole));
        workgroupBarrier();
        for (var d = 0u; d < DEPTH; d++) {
            let weights = filters_tile[d * 8u + row];
            let elements = x_tile[d * 8u + column];
#for r in 0..4
            acc$r += weights[$r] * elements;
#endfor
        }
    }
    if run >= params.runs { return; }
    let out_base = params.out_offset + n * params.out_batch
        + place.x * params.out_strides.y + place.y * params.out_strides.z + place.z * params.out_strides.w;
#for r in 0..4
    let m$r = m + ${r}u;
    if m$r < params.rows {
        let channel = group * params.rows + m$r;
        let to = out_base + channel * params.out_strides.x;
#if BIAS
        acc$r += Num(biases[params.biases_offset + channel]);
#endif
#for j in 0..4
        if place.z + ${j}u < params.out_shape.z { out[to + ${j}u * params.out_strides.w] = Elem(acc$r[$j]); }
#endfor
    }
#endfor
}
