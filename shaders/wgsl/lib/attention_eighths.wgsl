// Keys and values in pieces of 8 elements, as f32, from a cache whose floats are CACHE.

#if CACHE == f16
// Eight halves each: half as many loads as of four.
alias Held = vec4<u32>;
#elif CACHE == f8
alias Held = vec2<u32>;
#else
alias Held = vec4<f32>;
#endif

// head_dim / 8, at most 8 * CHUNKS.
override EIGHTHS: u32 = 8;

struct Eight {
    a: vec4<f32>,
    b: vec4<f32>,
}

#if CACHE == f16
fn eight(w: Held) -> Eight {
    return Eight(
        vec4(unpack2x16float(w.x), unpack2x16float(w.y)),
        vec4(unpack2x16float(w.z), unpack2x16float(w.w)),
    );
}
#elif CACHE == f8
fn eight(w: Held) -> Eight {
    return Eight(f8_read(w.x), f8_read(w.y));
}
#endif

// Elements 8i .. of the keys.
fn keys(i: u32) -> Eight {
#if CACHE != f32
    return eight(k[i]);
#else
    return Eight(k[2u * i], k[2u * i + 1u]);
#endif
}

fn values(i: u32) -> Eight {
#if CACHE != f32
    return eight(v[i]);
#else
    return Eight(v[2u * i], v[2u * i + 1u]);
#endif
}
