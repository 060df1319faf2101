// `across`: the sum over the threads that share a block of rows, in the first of them; by REDUCE, as the kernel says.
// Calls may follow one another. For kernels that have threads share blocks: REDUCE is shared, subgroup or else shuffle.

#if REDUCE != subgroup
override LANES: u32 = 16;
#endif
#if REDUCE == shared
var<workgroup> partial: array<vec4<f32>, WG_X>;
#elif REDUCE == subgroup
// Subgroups have 4 threads or more.
const SUBGROUPS_AT_MOST = 64u;
var<workgroup> partial: array<vec4<f32>, SUBGROUPS_AT_MOST>;
#endif

#if REDUCE == shared
fn across(value: vec4<f32>, local: u32, lane: u32) -> vec4<f32> {
    workgroupBarrier();
    partial[local] = value;
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if lane < half { partial[local] += partial[local + half]; }
    }
    return partial[local];
}
#elif REDUCE == subgroup
fn across(value: vec4<f32>, lane: u32, subgroup: u32, subgroups: u32) -> vec4<f32> {
    let part = subgroupAdd(value);
    workgroupBarrier();
    if lane == 0u { partial[subgroup] = part; }
    workgroupBarrier();
    var sum = partial[0];
    for (var i = 1u; i < subgroups; i++) { sum += partial[i]; }
    return sum;
}
#else
fn across(value: vec4<f32>) -> vec4<f32> {
    var sum = value;
    for (var half = LANES / 2u; half > 0u; half /= 2u) { sum += subgroupShuffleXor(sum, half); }
    return sum;
}
#endif
