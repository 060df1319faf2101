// Along the steps t of a sequence: S = exp(decay) * S; S += k (x) (DELTA ? beta * (v - k S) : v); out = scale * q S, where S is
// [keys, values] of each head of keys and values, which `group` heads of queries read. One thread: one column of S, all steps.
// HEADS of decay: one number a head; CHANNELS: one for each row of S. q, k, v, decay, beta and out are [batch, steps, heads *
// width]; state is [batch, heads, keys, values], set already where there is a PAST.
#variant ELEM = f32 | f16
#variant DECAY = none | heads | channels
#variant DELTA = false | true
#variant PAST = false | true
#if ELEM == f16
enable f16;
#endif
#import grid
#import opaque_one

override WG_X: u32 = 64;

alias Elem = $ELEM;

struct Params {
    columns: u32,
    steps: u32,
    heads: u32,
    group: u32,
    keys: u32,
    values: u32,
    beta_heads: u32,
    q_offset: u32,
    k_offset: u32,
    v_offset: u32,
#if DECAY != none
    decay_offset: u32,
#endif
#if DELTA
    beta_offset: u32,
#endif
    state_offset: u32,
    out_offset: u32,
    scale: f32,
}

@group(0) @binding(0) var<storage, read_write> q: array<Elem>;
@group(0) @binding(1) var<storage, read_write> k: array<Elem>;
@group(0) @binding(2) var<storage, read_write> v: array<Elem>;
@group(0) @binding(3) var<storage, read_write> state: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<Elem>;
#if DECAY != none && DELTA
@group(0) @binding(5) var<storage, read_write> decay: array<Elem>;
@group(0) @binding(6) var<storage, read_write> beta: array<Elem>;
@group(0) @binding(7) var<uniform> params: Params;
#elif DECAY != none
@group(0) @binding(5) var<storage, read_write> decay: array<Elem>;
@group(0) @binding(6) var<uniform> params: Params;
#elif DELTA
@group(0) @binding(5) var<storage, read_write> beta: array<Elem>;
@group(0) @binding(6) var<uniform> params: Params;
#else
@group(0) @binding(5) var<uniform> params: Params;
#endif

@compute @workgroup_size(WG_X)
fn main(
    @builtin(local_invocation_index) local: u32,
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let index = workgroup_index(workgroup, count) * WG_X + local;
    if index >= params.columns { return; }
    // A driver that sees bounds known from uniforms alone compiles for each of their values.
    let one = opaque_one(workgroup);
    let column = index % params.values;
    let head = index / params.values % params.heads;
    let batch = index / (params.values * params.heads);
    let start = params.state_offset + (batch * params.heads + head) * params.keys * params.values + column;
#if !PAST
    for (var i = 0u; i < params.keys; i += one) {
        state[start + i * params.values] = 0.0;
    }
#endif
    for (var t = 0u; t < params.steps; t += one) {
        let step = batch * params.steps + t;
        let row = step * params.heads + head;
        let k_at = params.k_offset + row * params.keys;
        let q_at = params.q_offset + row * params.group * params.keys;
        let out_at = params.out_offset + row * params.group * params.values + column;
        var written = f32(v[params.v_offset + row * params.values + column]);
#if DECAY != none || DELTA
        var recalled = 0.0;
        for (var i = 0u; i < params.keys; i += one) {
            let at = start + i * params.values;
            var s = state[at];
#if DECAY == heads
            s *= exp(f32(decay[params.decay_offset + row]));
#endif
#if DECAY == channels
            s *= exp(f32(decay[params.decay_offset + row * params.keys + i]));
#endif
            recalled += s * f32(k[k_at + i]);
            state[at] = s;
        }
#endif
#if DELTA
        let rate = f32(beta[params.beta_offset + step * params.beta_heads + head % params.beta_heads]);
        written = rate * (written - recalled);
#endif
        var sum = 0.0;
        for (var i = 0u; i < params.keys; i += one) {
            let at = start + i * params.values;
            let s = state[at] + f32(k[k_at + i]) * written;
            state[at] = s;
            sum += f32(q[q_at + i]) * s;
        }
        out[out_at] = Elem(params.scale * sum);
        for (var other = 1u; other < params.group; other += one) {
            var sum = 0.0;
            for (var i = 0u; i < params.keys; i += one) {
                sum += f32(q[q_at + other * params.keys + i]) * state[start + i * params.values];
            }
            out[out_at + other * params.values] = Elem(params.scale * sum);
        }
    }
}
