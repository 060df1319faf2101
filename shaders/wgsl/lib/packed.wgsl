// Weights of 4 rows x 8 columns of a packed matrix as f32. The kernel has `weight` and, where SCALED, `scales`, and in
// `params` their offsets and k.
//
// Codes, of m0e4 and affine8, lie in a buffer of vec4s, or, with TEXTURE, in a texture: a texel a vec4, a row of
// texels for four rows of the matrix, so that neighbours along n are neighbours there too. Its offset counts rows of texels.
//
// Packed weights, one vec4 component a row (row n in vec4 n / 4, component n % 4), the vec4 of columns adjacent:
//   m0e4     [n/4][k/8]: u32 of 8 codes; columns 2i and 2i+1 of the 8 in bits 4i.. and 16+4i..; w = S * (1 + code/16) + B
//   affine8  [n/4][k/4]: u32 of 4 codes in byte order; w = S * code + B
//   f16      [n/4][k/2]: u32 of 2 halves, the even column low
//   f32      [n/4][k]
// Scales [n/4][k/GROUP]: S in the low half, B in the high half. k is a multiple of 8, but need not be one of GROUP.

override GROUP: u32 = 32;

// Two columns of 4 rows, codes not yet scaled.
struct Pair {
    even: vec4<f32>,
    odd: vec4<f32>,
}

// `weight_row`, and `scale_row` below, are where rows 4 * block .. 4 * block + 4 begin. Found outside of a loop, since not all
// compilers move them there: a chunk takes 148 instructions on an Adreno 750, not 156 or 168.
#if SCALED
#if TEXTURE
fn weight_row(block: u32) -> u32 {
    return params.weight_offset + block;
}

fn code_words(row: u32, column: u32) -> vec4<u32> {
    return textureLoad(weight, vec2(column, row), 0);
}
#else
fn weight_row(block: u32) -> u32 {
#if WEIGHT == m0e4
    return params.weight_offset + block * (params.k / 8u);
#else
    return params.weight_offset + block * (params.k / 4u);
#endif
}

fn code_words(row: u32, column: u32) -> vec4<u32> {
    return weight[row + column];
}
#endif
#endif

// `words` begins a chunk: columns 8j .. 8j+8 of four rows. pair<h><p> has its columns 4h+2p and 4h+2p+1.
#if WEIGHT == m0e4
alias Words = vec4<u32>;

fn words(row: u32, j: u32) -> Words {
    return code_words(row, j);
}

// The code is put at the top of an f32 mantissa with exponent 0: 1 + code/16, with no conversion.
fn code(bits: vec4<u32>) -> vec4<f32> {
    return bitcast<vec4<f32>>((bits & vec4(0x00780000u)) | vec4(0x3f800000u));
}

fn pair00(w: Words) -> Pair { return Pair(code(w << vec4(19u)), code(w << vec4(3u))); }
fn pair01(w: Words) -> Pair { return Pair(code(w << vec4(15u)), code(w >> vec4(1u))); }
fn pair10(w: Words) -> Pair { return Pair(code(w << vec4(11u)), code(w >> vec4(5u))); }
fn pair11(w: Words) -> Pair { return Pair(code(w << vec4(7u)), code(w >> vec4(9u))); }

// The codes of columns 4i .. 4i+4 of four rows, and two columns of those.
fn half_words(row: u32, i: u32) -> vec4<u32> { return code_words(row, i / 2u) >> vec4(i % 2u * 8u); }
fn half_pair0(w: vec4<u32>) -> Pair { return pair00(w); }
fn half_pair1(w: vec4<u32>) -> Pair { return pair01(w); }
#elif WEIGHT == affine8
struct Words {
    a: vec4<u32>,
    b: vec4<u32>,
}

fn words(row: u32, j: u32) -> Words {
    return Words(code_words(row, j * 2u), code_words(row, j * 2u + 1u));
}

fn code(bits: vec4<u32>) -> vec4<f32> {
    return vec4<f32>(bits & vec4(0xffu));
}

fn half_words(row: u32, i: u32) -> vec4<u32> { return code_words(row, i); }
fn half_pair0(w: vec4<u32>) -> Pair { return Pair(code(w), code(w >> vec4(8u))); }
fn half_pair1(w: vec4<u32>) -> Pair { return Pair(code(w >> vec4(16u)), code(w >> vec4(24u))); }

fn pair00(w: Words) -> Pair { return half_pair0(w.a); }
fn pair01(w: Words) -> Pair { return half_pair1(w.a); }
fn pair10(w: Words) -> Pair { return half_pair0(w.b); }
fn pair11(w: Words) -> Pair { return half_pair1(w.b); }
#elif WEIGHT == f16
alias Words = u32;

fn weight_row(block: u32) -> u32 {
    return params.weight_offset + block * (params.k / 2u);
}

fn words(row: u32, j: u32) -> Words {
    return row + j * 4u;
}

#for h in 0..2
#for p in 0..2
fn pair$h${p}(at: Words) -> Pair {
    let w = weight[at + 2u * ${h}u + ${p}u];
    return Pair(low(w), high(w));
}
#endfor
#endfor
#else
alias Words = u32;

fn weight_row(block: u32) -> u32 {
    return params.weight_offset + block * params.k;
}

fn words(row: u32, j: u32) -> Words {
    return row + j * 8u;
}

#for h in 0..2
#for p in 0..2
fn pair$h${p}(at: Words) -> Pair {
    let first = at + 4u * ${h}u + 2u * ${p}u;
    return Pair(weight[first], weight[first + 1u]);
}
#endfor
#endfor
#endif

fn low(a: vec4<u32>) -> vec4<f32> {
    return vec4(unpack2x16float(a.x).x, unpack2x16float(a.y).x, unpack2x16float(a.z).x, unpack2x16float(a.w).x);
}

fn high(a: vec4<u32>) -> vec4<f32> {
    return vec4(unpack2x16float(a.x).y, unpack2x16float(a.y).y, unpack2x16float(a.z).y, unpack2x16float(a.w).y);
}

#if SCALED
fn scale_row(block: u32) -> u32 {
    return params.scales_offset + block * ((params.k + GROUP - 1u) / GROUP);
}

fn load_scale(row: u32, j: u32) -> vec4<u32> {
    return scales[row + j / (GROUP / 8u)];
}
#endif

fn dot_chunk(w: Words, a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
    let c0 = pair00(w);
    let c1 = pair01(w);
    var sum = a.x * c0.even + a.y * c0.odd + a.z * c1.even + a.w * c1.odd;
    let c2 = pair10(w);
    let c3 = pair11(w);
    return sum + b.x * c2.even + b.y * c2.odd + b.z * c3.even + b.w * c3.odd;
}

// The same of a chunk in memory. Bytes are loaded by halves, which leaves an Adreno 660 with 8 registers, not 9.
#if WEIGHT == affine8
fn dot_half(w: vec4<u32>, x: vec4<f32>, sum: vec4<f32>) -> vec4<f32> {
    return sum + x.x * code(w) + x.y * code(w >> vec4(8u)) + x.z * code(w >> vec4(16u)) + x.w * code(w >> vec4(24u));
}

fn dot_at(row: u32, j: u32, a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
    let sum = dot_half(code_words(row, j * 2u), a, vec4<f32>());
    return dot_half(code_words(row, j * 2u + 1u), b, sum);
}
#else
fn dot_at(row: u32, j: u32, a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
    return dot_chunk(words(row, j), a, b);
}
#endif

fn add4(a: vec4<f32>) -> f32 {
    return a.x + a.y + a.z + a.w;
}
