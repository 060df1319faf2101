// Products of codes with x in 8 bits. A span is 32 columns: x there is step * xi with whole xi of -127 .. 127, the largest
// of a span's magnitudes being 127. With a code c of a group, w = S * (UNIT * c + ZERO) + B, so a span adds up to
//   S * (step * UNIT * sum(c * xi) + ZERO * step * sum(xi)) + B * step * sum(xi)
// Codes in M0E4 are 0 .. 15; 8-bit ones are taken as c - 128, which signed products hold.

#if WEIGHT == m0e4
const UNIT = 0.0625;
const ZERO = 1.0;
#else
const UNIT = 1.0;
const ZERO = 128.0;
#endif
const SPAN = 32u;

// Of 4 rows, the codes of a chunk, a byte each, in the order of `in_order`.
struct Codes {
    a: vec4<u32>,
    b: vec4<u32>,
}

// What a span of x is: 8 columns in two components, and `times`, step * UNIT and step * sum(xi).
struct Span {
    front: vec4<u32>,
    back: vec4<u32>,
    times: vec2<f32>,
}

#if WEIGHT == m0e4
fn codes_of(w: Words) -> Codes {
    return Codes(w & vec4(0x0f0f0f0fu), (w >> vec4(4u)) & vec4(0x0f0f0f0fu));
}

// Columns 8j .. 8j + 8, at most 1 in magnitude, as bytes.
fn in_order(u: vec4<f32>, v: vec4<f32>) -> vec2<u32> {
    return vec2(pack4x8snorm(vec4(u.x, v.x, u.y, v.y)), pack4x8snorm(vec4(u.z, v.z, u.w, v.w)));
}
#else
fn codes_of(w: Words) -> Codes {
    return Codes(w.a ^ vec4(0x80808080u), w.b ^ vec4(0x80808080u));
}

fn in_order(u: vec4<f32>, v: vec4<f32>) -> vec2<u32> {
    return vec2(pack4x8snorm(u), pack4x8snorm(v));
}
#endif

// `sum` with the products of a chunk.
fn dots(c: Codes, x: vec2<u32>, sum: vec4<i32>) -> vec4<i32> {
    return vec4(
#for r in 0..4
        sum[$r] + dot4I8Packed(c.a[$r], x.x) + dot4I8Packed(c.b[$r], x.y),
#endfor
    );
}

// What the products of a span add to the sums of 4 rows whose scales are `s`.
fn scaled(s: vec4<u32>, products: vec4<i32>, times: vec2<f32>) -> vec4<f32> {
    return low(s) * (vec4<f32>(products) * times.x + ZERO * times.y) + high(s) * times.y;
}

// The sum of 8 bytes, added to `sum`.
fn add8(x: vec2<u32>, sum: i32) -> i32 {
    return sum + dot4I8Packed(x.x, 0x01010101u) + dot4I8Packed(x.y, 0x01010101u);
}

// Columns 4i .. 4i + 4 of a row of x, zero beyond k; with NORM times the gain alone.
fn columns(row: u32, i: u32) -> vec4<f32> {
    let at = min(i, params.k / 4u - 1u);
    var u = vec4<f32>(x[row + at]);
#if NORM
    u *= gain[params.gain_offset / 4u + at];
#endif
    return select(vec4<f32>(), u, i == at);
}

// The span whose columns begin at 4 * first. `one` is 1, which compilers do not know: unrolled, this takes more registers than
// a Mali has.
fn span_at(row: u32, first: u32, one: u32) -> Span {
    var most = vec4<f32>();
    for (var i = first; i < first + 8u * one; i += 4u) {
        let least = max(abs(columns(row, i)), abs(columns(row, i + 1u)));
        most = max(most, max(least, max(abs(columns(row, i + 2u)), abs(columns(row, i + 3u)))));
    }
    let top = max(max(most.x, most.y), max(most.z, most.w));
    // The inverse of less would be beyond f32.
    let inverse = select(0.0, 1.0 / top, top > 1e-30);
    var span = Span();
    var sum = 0;
    for (var i = first; i < first + 8u * one; i += 4u) {
        let low = in_order(columns(row, i) * inverse, columns(row, i + 1u) * inverse);
        let high = in_order(columns(row, i + 2u) * inverse, columns(row, i + 3u) * inverse);
        span.front = select(span.front, vec4(low, high), i == first);
        span.back = vec4(low, high);
        sum = add8(low, add8(high, sum));
    }
    let step = top / 127.0;
    span.times = vec2(step * UNIT, step * f32(sum));
    return span;
}
