// A chunk of a packed matrix as halves, scale and bias applied. Layouts are in lib/packed.wgsl; the kernel has `weight` and,
// where SCALED, `scales`, and in `params` their offsets and k.

// What is read of columns 8j .. 8j+8 of rows 4 * block .. 4 * block + 4.
struct Chunk {
#if WEIGHT == m0e4
    words: vec4<u32>,
#elif WEIGHT == affine8
    words0: vec4<u32>,
    words1: vec4<u32>,
#else
    words0: vec4<u32>,
    words1: vec4<u32>,
    words2: vec4<u32>,
    words3: vec4<u32>,
#endif
#if SCALED
    scale: vec4<u32>,
#endif
}

#if WEIGHT == m0e4
fn chunk(block: u32, j: u32) -> Chunk {
    return Chunk(words(weight_row(block), j), load_scale(scale_row(block), j));
}
#elif WEIGHT == affine8
fn chunk(block: u32, j: u32) -> Chunk {
    let w = words(weight_row(block), j);
    return Chunk(w.a, w.b, load_scale(scale_row(block), j));
}
#else
fn chunk(block: u32, j: u32) -> Chunk {
    let at = words(weight_row(block), j);
    return Chunk(weight[at], weight[at + 1u], weight[at + 2u], weight[at + 3u]);
}
#endif

// naga has no bitcast to vec2<f16>; a compiler may leave out this way there and back.
fn pair_of(word: u32) -> vec2<f16> {
    return vec2<f16>(unpack2x16float(word));
}

#if WEIGHT == m0e4
// The code is put at the top of an f16 mantissa with exponent 0: 1 + code/16. fma rounds once.
fn scaled(word: u32, s: vec2<f16>) -> vec2<f16> {
    return fma(pair_of((word & 0x03c003c0u) | 0x3c003c00u), s.xx, s.yy);
}
#elif WEIGHT == affine8
// A byte at the foot of the mantissa of 1024 is 1024 + byte.
fn bytes(word: u32) -> vec2<f16> {
    return pair_of((word & 0x00ff00ffu) | 0x64006400u) - vec2(1024.0h);
}

fn scaled(word: u32, s: vec2<f16>) -> vec4<f16> {
    let even = fma(bytes(word), s.xx, s.yy);
    let odd = fma(bytes(word >> 8u), s.xx, s.yy);
    return vec4(even.x, odd.x, even.y, odd.y);
}
#endif

// halves<r><h> is columns 8j+4h .. 8j+4h+4 of row r of the four.
#for r in 0..4
#if WEIGHT == m0e4
fn halves${r}0(c: Chunk) -> vec4<f16> {
    let s = pair_of(c.scale[$r]);
    return vec4(scaled(c.words[$r] << 6u, s), scaled(c.words[$r] << 2u, s));
}

fn halves${r}1(c: Chunk) -> vec4<f16> {
    let s = pair_of(c.scale[$r]);
    return vec4(scaled(c.words[$r] >> 2u, s), scaled(c.words[$r] >> 6u, s));
}
#elif WEIGHT == affine8
fn halves${r}0(c: Chunk) -> vec4<f16> { return scaled(c.words0[$r], pair_of(c.scale[$r])); }
fn halves${r}1(c: Chunk) -> vec4<f16> { return scaled(c.words1[$r], pair_of(c.scale[$r])); }
#else
fn halves${r}0(c: Chunk) -> vec4<f16> {
    return vec4(pair_of(c.words0[$r]), pair_of(c.words1[$r]));
}

fn halves${r}1(c: Chunk) -> vec4<f16> {
    return vec4(pair_of(c.words2[$r]), pair_of(c.words3[$r]));
}
#endif
#endfor
