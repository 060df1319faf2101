// How fast cooperative matrices multiply: each subgroup, of LANES threads, adds STEPS products of f16 to each of 8 matrices of
// f32 sums that do not wait for one another. What it starts from and its result are at its place in out.
#variant SIZE = 16 | 8
enable f16;
enable wgpu_cooperative_matrix;
#import grid

override LANES: u32 = 32;
override WARPS: u32 = 4;
override WG_X: u32 = LANES * WARPS;
override STEPS: u32 = 1024;
const ELEMENTS = ${SIZE}u * ${SIZE}u;

var<workgroup> factors: array<f16, ELEMENTS>;

@group(0) @binding(0) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(WG_X)
fn main(
    @builtin(local_invocation_index) index: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    // Of either sign, so that sums stay small.
    for (var i = index; i < ELEMENTS; i += WG_X) { factors[i] = f16(i32(i * 37u % 17u) - 8) / 8.0h; }
    workgroupBarrier();
    let a = coopLoadT<coop_mat${SIZE}x$SIZE<f16, A>>(&factors[0], ${SIZE}u);
    let b = coopLoad<coop_mat${SIZE}x$SIZE<f16, B>>(&factors[0], ${SIZE}u);
    let own = (workgroup_index(workgroup, count) * WARPS + subgroup) * ELEMENTS;
#for i in 0..8
    var sum$i = coopLoadT<coop_mat${SIZE}x$SIZE<f32, C>>(&out[own * 8u + ${i}u * ELEMENTS], ${SIZE}u);
#endfor
    for (var step = 0u; step < STEPS; step++) {
#for i in 0..8
        sum$i = coopMultiplyAdd(a, b, sum$i);
#endfor
    }
#for i in 0..8
    coopStoreT(sum$i, &out[own * 8u + ${i}u * ELEMENTS], ${SIZE}u);
#endfor
}
