// out[i, j, m, n] = sum_k a[i, j, m, k] * b[i, j, k, n], any strides (0 broadcasts a batch dimension). A workgroup of 64
// threads, which count as 8 x 8, computes 32 x 32 elements, a thread 4 x 4. Workgroups: x along n, y along m, z over
// i * j. Strides are (i, j, row, column).
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

const TILE = 32u;
const DEPTH = 16u;

struct Params {
    a_strides: vec4<u32>,
    b_strides: vec4<u32>,
    out_strides: vec4<u32>,
    a_offset: u32,
    b_offset: u32,
    out_offset: u32,
    batch_inner: u32,
    m: u32,
    n: u32,
    k: u32,
}

@group(0) @binding(0) var<storage, read_write> a: array<Elem>;
@group(0) @binding(1) var<storage, read_write> b: array<Elem>;
@group(0) @binding(2) var<storage, read_write> out: array<Elem>;
@group(0) @binding(3) var<uniform> params: Params;

// [DEPTH][TILE / 4]: four rows of a, or four columns of b, at one k.
var<workgroup> a_tile: array<vec4<Num>, DEPTH * TILE / 4u>;
var<workgroup> b_tile: array<vec4<Num>, DEPTH * TILE / 4u>;

fn a_at(base: u32, m: u32, k: u32) -> Num {
    let at = base + min(m, params.m - 1u) * params.a_strides.z + min(k, params.k - 1u) * params.a_strides.w;
    return select(Num(0), Num(a[at]), k < params.k);
}

fn b_at(base: u32, k: u32, n: u32) -> Num {
    let at = base + min(k, params.k - 1u) * params.b_strides.z + min(n, params.n - 1u) * params.b_strides.w;
    return select(Num(0), Num(b[at]), k < params.k);
}

// In one dimension: Adreno 8xx get workgroups of 8 x 8 wrong (executorch#22327).
@compute @workgroup_size(64)
fn main(
    @builtin(local_invocation_index) index: u32,
    @builtin(workgroup_id) workgroup: vec3<u32>,
) {
    let i = workgroup.z / params.batch_inner;
    let j = workgroup.z % params.batch_inner;
    let a_base = params.a_offset + i * params.a_strides.x + j * params.a_strides.y;
    let b_base = params.b_offset + i * params.b_strides.x + j * params.b_strides.y;
    let m = workgroup.y * TILE;
    let n = workgroup.x * TILE;
    let column = index % 8u;
    let row = index / 8u;
#for r in 0..4
    var acc$r = vec4<Num>();
#endfor
    for (var k = 0u; k < params.k; k += DEPTH) {
        workgroupBarrier();
        for (var t = index; t < DEPTH * TILE / 4u; t += 64u) {
            let depth = k + t / 8u;
            let lane = t % 8u * 4u;
            a_tile[t] = vec4(
                a_at(a_base, m + lane, depth), a_at(a_base, m + lane + 1u, depth),
                a_at(a_base, m + lane + 2u, depth), a_at(a_base, m + lane + 3u, depth));
            b_tile[t] = vec4(
                b_at(b_base, depth, n + lane), b_at(b_base, depth, n + lane + 1u),
                b_at(b_base, depth, n + lane + 2u), b_at(b_base, depth, n + lane + 3u));
        }
        workgroupBarrier();
        for (var d = 0u; d < DEPTH; d++) {
            let rows = a_tile[d * 8u + row];
            let columns = b_tile[d * 8u + column];
#for r in 0..4
            acc$r += rows[$r] * columns;
#endfor
        }
    }
#for r in 0..4
    let m$r = m + row * 4u + ${r}u;
    if m$r < params.m {
        let at = params.out_offset + i * params.out_strides.x + j * params.out_strides.y + m$r * params.out_strides.z;
#for c in 0..4
        let n$c = n + column * 4u + ${c}u;
        if n$c < params.n { out[at + n$c * params.out_strides.w] = Elem(acc$r[$c]); }
#endfor
    }
#endfor
}
