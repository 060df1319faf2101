// out[b, i, j] = a[b, i, j] where j - i >= k (UPPER), or j - i <= k, else 0. a and out are [.., rows, columns], contiguous.
// One thread: one element.
#variant ELEM = f32 | f16 | i32 | u32
#variant UPPER = false | true
#if ELEM == f16
enable f16;
#endif
#import grid

override WG_X: u32 = 64;

alias Elem = $ELEM;

struct Params {
    total: u32,
    rows: u32,
    columns: u32,
    k: i32,
    a_offset: u32,
    out_offset: u32,
}

@group(0) @binding(0) var<storage, read_write> a: array<Elem>;
@group(0) @binding(1) var<storage, read_write> out: array<Elem>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WG_X)
fn main(
    @builtin(local_invocation_index) local: u32,
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let index = workgroup_index(workgroup, count) * WG_X + local;
    if index >= params.total { return; }
    let column = i32(index % params.columns);
    let row = i32(index / params.columns % params.rows);
#if UPPER
    let kept = column - row >= params.k;
#else
    let kept = column - row <= params.k;
#endif
    out[params.out_offset + index] = select(Elem(0), a[params.a_offset + index], kept);
}
