// Floats to words of four floats of 8 bits (lib/f8.wgsl), or back: out = a. One thread: a word, or, from F8, an element.
// Offsets and strides count elements, innermost last. The elements of a word that is written are neighbours of the last
// dimension, of which `shape` counts words; strides and offset of the words are multiples of 4.
#variant FROM = f32 | f16 | f8
#variant TO = f8 | f32 | f16
#exclude FROM == f8 && TO == f8 || FROM != f8 && TO != f8
#if FROM == f16 || TO == f16
enable f16;
#endif
#import grid
#import f8

override WG_X: u32 = 64;

#if FROM == f8
alias From = u32;
alias To = $TO;
#else
alias From = $FROM;
alias To = u32;
#endif

struct Params {
    shape: vec4<u32>,
    a_strides: vec4<u32>,
    out_strides: vec4<u32>,
    a_offset: u32,
    out_offset: u32,
    total: u32,
}

@group(0) @binding(0) var<storage, read_write> a: array<From>;
@group(0) @binding(1) var<storage, read_write> out: array<To>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WG_X)
fn main(
    @builtin(local_invocation_index) local: u32,
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let index = workgroup_index(workgroup, count) * WG_X + local;
    if index >= params.total { return; }
    let s = params.shape;
    let place = vec4(index / s.w / s.z / s.y, index / s.w / s.z % s.y, index / s.w % s.z, index % s.w);
#if FROM == f8
    let read = place * params.a_strides;
    let written = place * params.out_strides;
    let at = params.a_offset + read.x + read.y + read.z + read.w;
    let to = params.out_offset + written.x + written.y + written.z + written.w;
    out[to] = To(f8_read(a[at / 4u])[at % 4u] * F8_UNIT);
#else
    let read = place * params.a_strides * vec4(1u, 1u, 1u, 4u);
    let written = place * params.out_strides * vec4(1u, 1u, 1u, 4u);
    let at = params.a_offset + read.x + read.y + read.z + read.w;
    let to = params.out_offset + written.x + written.y + written.z + written.w;
    let step = params.a_strides.w;
    out[to / 4u] = f8_word(vec4(f32(a[at]), f32(a[at + step]), f32(a[at + 2u * step]), f32(a[at + 3u * step])));
#endif
}
