// Products of codes with x in 8 bits. A span is 32 columns: x there is step * xi with whole xi of -127 .. 127, the largest
// of a span's magnitudes being 127. With a code c of a group, w = S * (UNIT * c + ZERO) + B, so a span adds up to
//   S * (step * UNIT * sum(c * xi) + ZERO * step * sum(xi)) + B * step * sum(xi)
// Codes in M0E4 are 0 .. 15; 8-bit ones are taken as c - 128, which signed products hold. By DOT products are
//   signed
//   unsigned  for compilers that spell signed ones out: x lies as xi + 128, and of a span 128 * sum(c) is taken away

#if WEIGHT == m0e4
const UNIT = 0.0625;
const ZERO = 1.0;
#elif DOT == signed
const UNIT = 1.0;
const ZERO = 128.0;
#else
const UNIT = 1.0;
const ZERO = 0.0;
#endif
#if DOT == signed
const X_SIGN = 0u;
#else
const X_SIGN = 0x80808080u;
#endif
const SPAN = 32u;

// Of 4 rows, the codes of a chunk, a byte each, in the order of `in_order`.
struct Codes {
    a: vec4<u32>,
    b: vec4<u32>,
}

#if WEIGHT == m0e4
fn codes_of(w: Words) -> Codes {
    return Codes(w & vec4(0x0f0f0f0fu), (w >> vec4(4u)) & vec4(0x0f0f0f0fu));
}

// Four bytes, two each in the even places of a word.
fn spread(bytes: u32) -> vec2<u32> {
    let halves = vec2(bytes, bytes >> 16u);
    return (halves & vec2(0xffu)) | ((halves & vec2(0xff00u)) << vec2(8u));
}

// Columns 8j .. 8j + 8, at most 1 in magnitude, as bytes.
fn in_order(u: vec4<f32>, v: vec4<f32>) -> vec2<u32> {
    return spread(pack4x8snorm(u)) | (spread(pack4x8snorm(v)) << vec2(8u));
}
#else
fn codes_of(w: Words) -> Codes {
#if DOT == signed
    return Codes(w.a ^ vec4(0x80808080u), w.b ^ vec4(0x80808080u));
#else
    return Codes(w.a, w.b);
#endif
}

fn in_order(u: vec4<f32>, v: vec4<f32>) -> vec2<u32> {
    return vec2(pack4x8snorm(u), pack4x8snorm(v));
}
#endif

#if DOT == signed
// `sum` with the products of a chunk.
fn dots(c: Codes, x: vec2<u32>, sum: vec4<i32>) -> vec4<i32> {
    return vec4(
#for r in 0..4
        sum[$r] + dot4I8Packed(c.a[$r], x.x) + dot4I8Packed(c.b[$r], x.y),
#endfor
    );
}

// The sum of 8 bytes, added to `sum`.
fn add8(x: vec2<u32>, sum: i32) -> i32 {
    return sum + dot4I8Packed(x.x, 0x01010101u) + dot4I8Packed(x.y, 0x01010101u);
}
#else
fn dots(c: Codes, x: vec2<u32>, sum: vec4<u32>) -> vec4<u32> {
    return vec4(
#for r in 0..4
        sum[$r] + dot4U8Packed(c.a[$r], x.x) + dot4U8Packed(c.b[$r], x.y),
#endfor
    );
}

fn add8(x: vec2<u32>, sum: i32) -> i32 {
    return sum + i32(dot4U8Packed(x.x, 0x01010101u) + dot4U8Packed(x.y, 0x01010101u)) - 1024;
}

// `sum` with the codes of a chunk; those of a span still fit into bytes in M0E4.
fn add_codes(c: Codes, sum: vec4<u32>) -> vec4<u32> {
#if WEIGHT == m0e4
    return sum + c.a + c.b;
#else
    return dots(c, vec2(0x01010101u), sum);
#endif
}

// The signed products of a span.
fn signed(products: vec4<u32>, codes: vec4<u32>) -> vec4<i32> {
#if WEIGHT == m0e4
    return vec4<i32>(products - vec4(
#for r in 0..4
        dot4U8Packed(codes[$r], 0x80808080u),
#endfor
    ));
#else
    return vec4<i32>(products - (codes << vec4(7u)));
#endif
}
#endif

// What the products of a span add to the sums of 4 rows whose scales are `s`.
fn scaled(s: vec4<u32>, products: vec4<i32>, times: vec2<f32>) -> vec4<f32> {
    return low(s) * (vec4<f32>(products) * times.x + ZERO * times.y) + high(s) * times.y;
}

// Columns 4i .. 4i + 4 of a row of x, the last ones beyond k; with NORM times the gain alone.
fn columns(row: u32, i: u32) -> vec4<f32> {
    let at = min(i, params.k / 4u - 1u);
#if NORM
    return vec4<f32>(x[row + at]) * gain[params.gain_offset / 4u + at];
#else
    return vec4<f32>(x[row + at]);
#endif
}

// The largest magnitude of the span whose columns begin at 4 * first. `one` is 1, which compilers do not know: unrolled, this
// takes more registers than a Mali has.
fn top_of(row: u32, first: u32, one: u32) -> f32 {
    var most = vec4<f32>();
    for (var i = first; i < first + 8u * one; i++) { most = max(most, abs(columns(row, i))); }
    return max(max(most.x, most.y), max(most.z, most.w));
}

// Columns 4i .. 4i + 8 of a span whose largest magnitude is `top`, zero beyond k.
fn rounded(row: u32, i: u32, top: f32) -> vec2<u32> {
    // The inverse of less would be beyond f32.
    let inverse = select(0.0, 1.0 / top, top > 1e-30 && i < params.k / 4u);
    return in_order(columns(row, i) * inverse, columns(row, i + 1u) * inverse) ^ vec2(X_SIGN);
}

// What the products of a span are to be multiplied by, step * UNIT, and step * sum(xi).
fn times(top: f32, sum: i32) -> vec2<f32> {
    let step = top / 127.0;
    return vec2(step * UNIT, step * f32(sum));
}
