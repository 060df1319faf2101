// Weights in M0E4 as f16, two columns at a time, and products with a chunk of them.

// Codes of two columns of 4 rows, as pairs of 1 + code/16. `codes<i>` has columns 2i and 2i + 1 of a chunk.
fn codes(bits: vec4<u32>) -> vec4<u32> {
    return (bits & vec4(0x03c003c0u)) | vec4(0x3c003c00u);
}

// Naga's bitcast keeps the size of a component; compilers see that these conversions do nothing.
fn pair(bits: u32) -> vec2<f16> {
    return vec2<f16>(unpack2x16float(bits));
}

fn codes0(w: Words) -> vec4<u32> { return codes(w << vec4(6u)); }
fn codes1(w: Words) -> vec4<u32> { return codes(w << vec4(2u)); }
fn codes2(w: Words) -> vec4<u32> { return codes(w >> vec4(2u)); }
fn codes3(w: Words) -> vec4<u32> { return codes(w >> vec4(6u)); }

// A lane of f16 adds up 4 products, of weights below 2.
fn product(w: Words, a: vec4<f16>, b: vec4<f16>) -> vec4<f32> {
    let c0 = codes0(w);
    let c1 = codes1(w);
    let c2 = codes2(w);
    let c3 = codes3(w);
#for r in 0..4
    let sum$r = pair(c0[$r]) * a.xy + pair(c1[$r]) * a.zw
        + pair(c2[$r]) * b.xy + pair(c3[$r]) * b.zw;
#endfor
    return vec4(
        f32(sum0.x) + f32(sum0.y), f32(sum1.x) + f32(sum1.y), f32(sum2.x) + f32(sum2.y), f32(sum3.x) + f32(sum3.y));
}

fn total(a: vec4<f16>) -> f32 {
    let sum = a.xy + a.zw;
    return f32(sum.x) + f32(sum.y);
}
