// Fills a packed matrix with noise: vector out_offset + i of out is vector v = first + i of the matrix, i < total. One thread
// a vector: word v % block of four rows, 4 (v / block) and those behind it. By FILL, a word is
//   codes    32 bits of noise
//   halves   two numbers, uniform between -scale / 2 and scale / 2; where `single`, a row's last word is one
//   floats   one such number
//   same     `word`
// Rows from `rows` on are zeros.
#variant FILL = codes | halves | floats | same
#import grid

override WG_X: u32 = 64;

struct Params {
    total: u32,
    out_offset: u32,
    first: u32,
    block: u32,
    rows: u32,
    single: u32,
    seed_low: u32,
    seed_high: u32,
    word: u32,
    scale: f32,
}

@group(0) @binding(0) var<storage, read_write> out: array<vec4<u32>>;
@group(0) @binding(1) var<uniform> params: Params;

// PCG's output function behind one step of its generator.
fn hash(x: vec4<u32>) -> vec4<u32> {
    let h = x * 747796405u + 2891336453u;
    let mixed = ((h >> ((h >> vec4(28u)) + 4u)) ^ h) * 277803737u;
    return (mixed >> vec4(22u)) ^ mixed;
}

#if FILL == halves
// Between -1/2 and 1/2, of 16 bits.
fn uniform16(bits: u32) -> f32 {
    return (f32(bits & 0xffffu) + 0.5) / 65536.0 - 0.5;
}

fn halves(bits: u32, both: bool) -> u32 {
    let high = select(0.0, uniform16(bits >> 16u), both);
    return pack2x16float(params.scale * vec2(uniform16(bits), high));
}
#endif

fn word(vector: u32) -> vec4<u32> {
#if FILL == same
    return vec4(params.word);
#else
    let bits = hash(hash((4u * vector + vec4(0u, 1u, 2u, 3u)) ^ vec4(params.seed_low)) + params.seed_high);
#if FILL == codes
    return bits;
#elif FILL == floats
    // The upper 24 bits are exact as f32.
    return bitcast<vec4<u32>>(params.scale * ((vec4<f32>(bits >> vec4(8u)) + 0.5) / 16777216.0 - 0.5));
#else
    let both = params.single == 0u || vector % params.block != params.block - 1u;
    return vec4(halves(bits.x, both), halves(bits.y, both), halves(bits.z, both), halves(bits.w, both));
#endif
#endif
}

@compute @workgroup_size(WG_X)
fn main(
    @builtin(local_invocation_index) local: u32,
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let i = workgroup_index(workgroup, count) * WG_X + local;
    if i >= params.total { return; }
    let vector = params.first + i;
    let row = vector / params.block * 4u;
    let there = vec4(row, row + 1u, row + 2u, row + 3u) < vec4(params.rows);
    out[params.out_offset + i] = select(vec4(0u), word(vector), there);
}
