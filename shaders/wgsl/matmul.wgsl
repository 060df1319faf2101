// out[b, m, n] = sum_k a[b, m, k] * b[b, k, n]. One workgroup: a tile of 16 x 16 outputs of one batch, 16 of k at a time
// through shared memory; one thread: 2 x 2 outputs. Batches are shape.x * shape.y; strides: two batch dimensions (0
// broadcasts), rows, columns.
#variant ELEM = f32 | f16 | i32
#if ELEM == f16
enable f16;
#endif

alias Elem = $ELEM;
#if ELEM == i32
alias Num = i32;
#else
alias Num = f32;
#endif

const TILE = 16u;
const WG_X = 64u;

struct Params {
    a_strides: vec4<u32>,
    b_strides: vec4<u32>,
    out_strides: vec4<u32>,
    batches: u32,
    m: u32,
    n: u32,
    k: u32,
    a_offset: u32,
    b_offset: u32,
    out_offset: u32,
}

@group(0) @binding(0) var<storage, read_write> a: array<Elem>;
@group(0) @binding(1) var<storage, read_write> b: array<Elem>;
@group(0) @binding(2) var<storage, read_write> out: array<Elem>;
@group(0) @binding(3) var<uniform> params: Params;

var<workgroup> left: array<Num, TILE * TILE>;
var<workgroup> right: array<Num, TILE * TILE>;

@compute @workgroup_size(WG_X)
fn main(@builtin(local_invocation_index) local: u32, @builtin(workgroup_id) workgroup: vec3<u32>) {
    // params.batches is the size of the inner batch dimension.
    let outer = workgroup.z / params.batches;
    let inner = workgroup.z % params.batches;
    let a_base = params.a_offset + outer * params.a_strides.x + inner * params.a_strides.y;
    let b_base = params.b_offset + outer * params.b_strides.x + inner * params.b_strides.y;
    let out_base = params.out_offset + outer * params.out_strides.x + inner * params.out_strides.y;
    let row = workgroup.y * TILE;
    let column = workgroup.x * TILE;
    let y = local / 8u * 2u;
    let x = local % 8u * 2u;
    var s00 = Num(0);
    var s01 = Num(0);
    var s10 = Num(0);
    var s11 = Num(0);
    for (var first = 0u; first < params.k; first += TILE) {
        workgroupBarrier();
        for (var i = local; i < TILE * TILE; i += WG_X) {
            let r = i / TILE;
            let c = i % TILE;
            var value = Num(0);
            if row + r < params.m && first + c < params.k {
                value = Num(a[a_base + (row + r) * params.a_strides.z + (first + c) * params.a_strides.w]);
            }
            left[i] = value;
            value = Num(0);
            if first + r < params.k && column + c < params.n {
                value = Num(b[b_base + (first + r) * params.b_strides.z + (column + c) * params.b_strides.w]);
            }
            right[i] = value;
        }
        workgroupBarrier();
        for (var i = 0u; i < TILE; i++) {
            let a0 = left[y * TILE + i];
            let a1 = left[(y + 1u) * TILE + i];
            let b0 = right[i * TILE + x];
            let b1 = right[i * TILE + x + 1u];
            s00 += a0 * b0;
            s01 += a0 * b1;
            s10 += a1 * b0;
            s11 += a1 * b1;
        }
    }
    let m = row + y;
    let n = column + x;
    let place = out_base + m * params.out_strides.z + n * params.out_strides.w;
    if m < params.m && n < params.n { out[place] = Elem(s00); }
    if m < params.m && n + 1u < params.n { out[place + params.out_strides.w] = Elem(s01); }
    if m + 1u < params.m && n < params.n { out[place + params.out_strides.z] = Elem(s10); }
    if m + 1u < params.m && n + 1u < params.n { out[place + params.out_strides.z + params.out_strides.w] = Elem(s11); }
}
