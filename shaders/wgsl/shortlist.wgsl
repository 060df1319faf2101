// parts[section] = the k tokens with the greatest scores of one section of the logits, in order, and, for a draw, the sum of
// exp((score - greatest) / temperature) over the section behind them. One workgroup a section. Recent tokens are penalised;
// with noise a score is the logit over the temperature plus Gumbel noise, whose greatest is a draw from the softmax of all.
// Logits are read as words: f16 needs no support for it, and no arithmetic touches what is compared.
#variant ELEM = f32 | f16
#variant NOISE = false | true
#variant PENALTY = false | true
#import candidates
#import opaque_one

struct Params {
    count: u32,
    section: u32,
    k: u32,
    inverse_temperature: f32,
    seed_low: u32,
    seed_high: u32,
    window: u32,
    penalty: f32,
    inverse_penalty: f32,
    logits_offset: u32,
    parts_offset: u32,
#if PENALTY
    recent_offset: u32,
#endif
}

@group(0) @binding(0) var<storage, read_write> logits: array<u32>;
@group(0) @binding(1) var<storage, read_write> parts: array<u32>;
#if PENALTY
@group(0) @binding(2) var<storage, read_write> recent: array<u32>;
@group(0) @binding(3) var<uniform> params: Params;

// One bit for each token of the section.
var<workgroup> penalised: array<atomic<u32>, 256>;
#else
@group(0) @binding(2) var<uniform> params: Params;
#endif

var<workgroup> sums: array<f32, 64>;

fn logit(token: u32) -> f32 {
    let at = params.logits_offset + token;
#if ELEM == f16
    return unpack2x16float(logits[at / 2u])[at % 2u];
#else
    return bitcast<f32>(logits[at]);
#endif
}

#if NOISE
fn hash(x: u32) -> u32 {
    let state = x * 747796405u + 2891336453u;
    let word = ((state >> ((state >> 28u) + 4u)) ^ state) * 277803737u;
    return (word >> 22u) ^ word;
}

// -ln(-ln(1 - w)) for w even in (0, 1): large values come of small w, which floats hold well.
fn gumbel(token: u32) -> f32 {
    let w = (f32(hash(hash(token + params.seed_low) ^ params.seed_high)) + 0.5) / 4294967296.0;
    let exponential = select(-log(1.0 - w), w + w * w * (0.5 + w / 3.0), w < 0.01);
    return -log(max(exponential, 1e-20));
}
#endif

fn scored(token: u32, first: u32) -> vec2<u32> {
    var x = logit(token);
    let plain = candidate(x, token);
    if plain.x == 0u { return NOBODY; }
#if PENALTY
    let at = token - first;
    if (atomicLoad(&penalised[at / 32u]) & (1u << (at % 32u))) != 0u {
        x = x * select(params.inverse_penalty, params.penalty, x < 0.0);
    }
#endif
#if NOISE
    return candidate(x * params.inverse_temperature + gumbel(token), token);
#else
    return candidate(x, token);
#endif
}

// This thread's first token behind `last`, in the order of candidates.
fn first_behind(last: vec2<u32>, local: u32, first: u32, end: u32, one: u32) -> vec2<u32> {
    var best = NOBODY;
    for (var token = first + local; token < end; token += 64u * one) {
        let c = scored(token, first);
        if precedes(last, c) && precedes(c, best) { best = c; }
    }
    return best;
}

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) local: u32, @builtin(workgroup_id) workgroup: vec3<u32>) {
    let one = opaque_one(workgroup);
    let first = workgroup.x * params.section;
    let end = min(first + params.section, params.count);
#if PENALTY
    for (var i = local; i < 256u; i += 64u) { atomicStore(&penalised[i], 0u); }
    workgroupBarrier();
    for (var i = local; i < params.window; i += 64u * one) {
        let token = recent[params.recent_offset + i];
        if token >= first && token < end {
            let at = token - first;
            atomicOr(&penalised[at / 32u], 1u << (at % 32u));
        }
    }
    workgroupBarrier();
#endif
    let place = params.parts_offset + workgroup.x * (2u * params.k + 2u);
    var mine = first_behind(BEFORE_ALL, local, first, end, one);
    var greatest = NOBODY;
    for (var rank = 0u; rank < params.k; rank += one) {
        let best = first_of_workgroup(mine, local);
        if rank == 0u { greatest = best; }
        if local == 0u {
            parts[place + 2u * rank] = best.x;
            parts[place + 2u * rank + 1u] = best.y;
        }
        if best.x != 0u && best.x == mine.x && best.y == mine.y {
            mine = first_behind(best, local, first, end, one);
        }
    }
#if !NOISE
    if params.inverse_temperature == 0.0 { return; }
    let top = score_of(greatest);
    var sum = 0.0;
    for (var token = first + local; token < end; token += 64u * one) {
        let c = scored(token, first);
        if c.x == greatest.x {
            sum += 1.0;
        } else if c.x != 0u {
            sum += exp((score_of(c) - top) * params.inverse_temperature);
        }
    }
    sums[local] = sum;
    workgroupBarrier();
    if local != 0u { return; }
    for (var i = 1u; i < 64u; i++) { sum += sums[i]; }
    parts[place + 2u * params.k] = bitcast<u32>(sum);
#endif
}
