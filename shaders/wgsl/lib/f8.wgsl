// Floats of 8 bits, as KV caches hold them, in words of four: E4M3 of OCP's FP8 (a sign, 4 bits of exponent, 3 of mantissa;
// subnormals, no infinity; up to 448). Of elements 0 and 1 of a word, sign and the other 7 bits are at bits 15 and 13..7 of the
// lower and of the upper half, where an f16 has them; of elements 2 and 3 at bits 14 and 6..0. Such an f16 is the number / 256:
// readers multiply by 256 what they multiply anyway. A word with a NaN in it is all ones.

const F8_UNIT = 256.0;
const F8_NAN = 0xffffffffu;

// Numbers / 256.
fn f8_read(word: u32) -> vec4<f32> {
    let low = unpack2x16float(word & 0xbf80bf80u);
    let high = unpack2x16float(((word & 0x007f007fu) << 7u) | ((word & 0x40004000u) << 1u));
    return vec4(select(low.x, bitcast<f32>(word), word == F8_NAN), low.y, high);
}

// The nearest numbers, of two the even one; beyond +-448 these.
fn f8_word(value: vec4<f32>) -> u32 {
    let bits = bitcast<vec4<u32>>(value);
    let all = bits & vec4(0x7fffffffu);
    if any(all > vec4(0x7f800000u)) { return F8_NAN; }
    let size = min(all, vec4(0x43e00000u));
    // Half of the last place, or a bit less where that is even; then exponents count from 120 less.
    let normal = ((size + vec4(0x7ffffu) + ((size >> vec4(20u)) & vec4(1u))) >> vec4(20u)) - vec4(960u);
    let small = vec4<u32>(round(bitcast<vec4<f32>>(size) * 512.0));
    let code = select(normal, small, size < vec4(0x3c800000u));
    let sign = bits >> vec4(31u);
    let low = (sign.xy << vec2(15u)) | (code.xy << vec2(7u)) | (sign.zw << vec2(14u)) | code.zw;
    return low.x | (low.y << 16u);
}
