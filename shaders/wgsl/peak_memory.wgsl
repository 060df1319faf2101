// How fast memory is: thread t of workgroup g takes EACH vectors, source[(g * EACH + i) * WG_X + t] for i < EACH. By MODE:
//   copy   to the same place of out
//   read   adds them up, to out[g * WG_X + t]
#variant MODE = copy | read
#import grid

override WG_X: u32 = 64;
override EACH: u32 = 16;

@group(0) @binding(0) var<storage, read> source: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> out: array<vec4<f32>>;

@compute @workgroup_size(WG_X)
fn main(
    @builtin(local_invocation_index) local: u32,
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let group = workgroup_index(workgroup, count);
    let first = group * EACH * WG_X + local;
#if MODE == copy
    for (var i = 0u; i < EACH; i++) {
        out[first + i * WG_X] = source[first + i * WG_X];
    }
#else
    var sum = vec4<f32>(0.0);
    for (var i = 0u; i < EACH; i++) {
        sum += source[first + i * WG_X];
    }
    out[group * WG_X + local] = sum;
#endif
}
