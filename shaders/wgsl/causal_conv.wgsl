// out[row, t] = sum over j of filters[channel, j] * x[row, t + j - (taps - 1)] + biases[channel], its silu where SILU; present[row, i]
// = x[row, steps + i - (taps - 1)]. What lies before the first step is past[row, taps - 1 + it], or 0 without a PAST. One
// thread: one element of out, behind these of present.
#variant ELEM = f32 | f16
#variant BIAS = false | true
#variant PAST = false | true
#variant SILU = false | true
#if ELEM == f16
enable f16;
#endif
#import grid
#import opaque_one
#import float

override WG_X: u32 = 64;

alias Elem = $ELEM;

struct Params {
    rows: u32,
    channels: u32,
    steps: u32,
    taps: u32,
    x_offset: u32,
    filters_offset: u32,
#if BIAS
    biases_offset: u32,
#endif
#if PAST
    past_offset: u32,
#endif
    out_offset: u32,
    present_offset: u32,
}

@group(0) @binding(0) var<storage, read_write> x: array<Elem>;
@group(0) @binding(1) var<storage, read_write> filters: array<Elem>;
@group(0) @binding(2) var<storage, read_write> out: array<Elem>;
@group(0) @binding(3) var<storage, read_write> present: array<Elem>;
#if BIAS && PAST
@group(0) @binding(4) var<storage, read_write> biases: array<Elem>;
@group(0) @binding(5) var<storage, read_write> past: array<Elem>;
@group(0) @binding(6) var<uniform> params: Params;
#elif BIAS
@group(0) @binding(4) var<storage, read_write> biases: array<Elem>;
@group(0) @binding(5) var<uniform> params: Params;
#elif PAST
@group(0) @binding(4) var<storage, read_write> past: array<Elem>;
@group(0) @binding(5) var<uniform> params: Params;
#else
@group(0) @binding(4) var<uniform> params: Params;
#endif

// The step `at - (taps - 1)` of a row.
fn element(row: u32, at: u32) -> f32 {
    let before = params.taps - 1u;
    if at >= before { return f32(x[params.x_offset + row * params.steps + at - before]); }
#if PAST
    return f32(past[params.past_offset + row * before + at]);
#else
    return 0.0;
#endif
}

@compute @workgroup_size(WG_X)
fn main(
    @builtin(local_invocation_index) local: u32,
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let index = workgroup_index(workgroup, count) * WG_X + local;
    if index < params.rows * params.steps {
        let row = index / params.steps;
        let channel = row % params.channels;
        var sum = 0.0;
#if BIAS
        sum = f32(biases[params.biases_offset + channel]);
#endif
        // A driver that sees bounds known from uniforms alone compiles for each of their values.
        let one = opaque_one(workgroup);
        for (var j = 0u; j < params.taps; j += one) {
            let w = f32(filters[params.filters_offset + channel * params.taps + j]);
            sum += w * element(row, index % params.steps + j);
        }
#if SILU
        sum = silu(sum);
#endif
        out[params.out_offset + index] = Elem(sum);
        return;
    }
    let rest = index - params.rows * params.steps;
    let before = params.taps - 1u;
    if before == 0u || rest >= params.rows * before { return; }
    present[params.present_offset + rest] = Elem(element(rest / before, params.steps + rest % before));
}
