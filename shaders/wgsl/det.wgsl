// out[m] = determinant of the matrix a[m], n x n, row by row, which is destroyed: elimination with the greatest pivot of
// each column. One thread a matrix.
#import grid

override WG_X: u32 = 64;

struct Params {
    total: u32,
    n: u32,
    a_offset: u32,
    out_offset: u32,
}

@group(0) @binding(0) var<storage, read_write> a: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

// Brings the greatest element of a column, from the diagonal on, to the diagonal; whether rows were swapped for it.
fn pivot(start: u32, n: u32, column: u32) -> bool {
    var best = column;
    for (var row = column + 1u; row < n; row++) {
        if abs(a[start + row * n + column]) > abs(a[start + best * n + column]) { best = row; }
    }
    if best == column { return false; }
    for (var c = column; c < n; c++) {
        let there = a[start + best * n + c];
        a[start + best * n + c] = a[start + column * n + c];
        a[start + column * n + c] = there;
    }
    return true;
}

@compute @workgroup_size(WG_X)
fn main(
    @builtin(local_invocation_index) local: u32,
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let matrix = workgroup_index(workgroup, count) * WG_X + local;
    if matrix >= params.total { return; }
    let n = params.n;
    let start = params.a_offset + matrix * n * n;
    var product = 1.0;
    for (var column = 0u; column < n && product != 0.0; column++) {
        if pivot(start, n, column) { product = -product; }
        let top = a[start + column * n + column];
        product *= top;
        for (var row = column + 1u; row < n && top != 0.0; row++) {
            let factor = a[start + row * n + column] / top;
            for (var c = column + 1u; c < n; c++) {
                a[start + row * n + c] -= factor * a[start + column * n + c];
            }
        }
    }
    out[params.out_offset + matrix] = product;
}
