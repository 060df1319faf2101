// Rows that are heads of head_dim in three runs, which end at row ends.x and ends.y, written as q, k and v of [batch, head,
// position, element]; row m is that of batch * seq + position. k and v lie in a cache whose floats are HELD: with f8 in words of
// four (lib/f8.wgsl), in the order of rows, and strides are multiples of 4 but for the last, which is 1.
// Where EPILOGUE is rope, the first `turned` runs are turned by a table of cosines and, behind them, sines: the first `rotary`
// rows of a head are pairs, elements i and i + rotary/2, or neighbours where INTERLEAVED is 1; they are written in the order of
// rows where IN_ROWS is 1. head_dim, rotary and the ends of runs are multiples of 4.

#if HELD == f8
#import f8
alias Held = u32;
#elif HELD == f16
alias Held = f16;
#else
alias Held = $ELEM;
#endif

@group(0) @binding(1) var<storage, read_write> q: array<$ELEM>;
@group(0) @binding(2) var<storage, read_write> k: array<Held>;
@group(0) @binding(3) var<storage, read_write> v: array<Held>;
#if EPILOGUE == rope
@group(0) @binding(9) var<storage, read_write> rotations: array<$ELEM>;

override INTERLEAVED: u32 = 0;
// Whether a cosine and a sine are for both of a pair.
override HALF_TABLE: u32 = 0;
override IN_ROWS: u32 = 0;

fn turn(m: u32, elements: vec4<u32>, value: vec4<f32>) -> vec4<f32> {
    var column = elements;
    var width = params.rotary;
    if HALF_TABLE == 1u {
        width /= 2u;
        column = select(elements % width, elements / 2u, vec4(INTERLEAVED == 1u));
    }
    let row = params.rotations_offset
        + m / params.seq * params.rotations_strides.x + m % params.seq * params.rotations_strides.y;
    let at = vec4(row) + column * params.rotations_strides.z;
    let sines = at + vec4(width * params.rotations_strides.z);
    let c = vec4(f32(rotations[at.x]), f32(rotations[at.y]), f32(rotations[at.z]), f32(rotations[at.w]));
    let s = vec4(f32(rotations[sines.x]), f32(rotations[sines.y]), f32(rotations[sines.z]), f32(rotations[sines.w]));
    return value * c + vec4(-value.y, value.x, -value.w, value.z) * s;
}
#endif

// 0, 1 or 2: what row n is of.
fn run_of(n: u32) -> u32 {
    return u32(n >= params.ends.x) + u32(n >= params.ends.y);
}

// The elements of a head that its rows from `first` on are.
fn elements_of(run: u32, first: u32) -> vec4<u32> {
#if EPILOGUE == rope
    if INTERLEAVED == 0u && run < params.turned && first < params.rotary {
        let half = params.rotary / 2u;
        return vec4(first / 2u, first / 2u + half, first / 2u + 1u, first / 2u + 1u + half);
    }
#endif
    return vec4(first, first + 1u, first + 2u, first + 3u);
}

// Where element `e` of head `h` lies in row `m`.
fn head_at(m: u32, h: u32, e: u32, offset: u32, strides: vec4<u32>) -> u32 {
    return offset + m / params.seq * strides.x + h * strides.y + m % params.seq * strides.z + e * strides.w;
}

// Writes rows n .. n + 3, which lie in one head.
fn store_heads(m: u32, n: u32, rows: vec4<f32>) {
    let run = run_of(n);
    let row = n - select(select(params.ends.x, params.ends.y, run == 2u), 0u, run == 0u);
    let h = row / params.head_dim;
    let first = row % params.head_dim;
    var value = rows;
    var e = elements_of(run, first);
#if EPILOGUE == rope
    if run < params.turned && first < params.rotary {
        value = turn(m, e, value);
        if IN_ROWS == 1u { e = vec4(first, first + 1u, first + 2u, first + 3u); }
    }
#endif
    if run == 0u {
        let at = head_at(m, h, 0u, params.q_offset, params.q_strides);
#for i in 0..4
        q[at + e[$i] * params.q_strides.w] = $ELEM(value[$i]);
#endfor
    } else if run == 1u {
        let at = head_at(m, h, 0u, params.k_offset, params.k_strides);
#if HELD == f8
        k[(at + first) / 4u] = f8_word(value);
#else
#for i in 0..4
        k[at + e[$i] * params.k_strides.w] = Held(value[$i]);
#endfor
#endif
    } else {
        let at = head_at(m, h, 0u, params.v_offset, params.v_strides);
#if HELD == f8
        v[(at + first) / 4u] = f8_word(value);
#else
#for i in 0..4
        v[at + e[$i] * params.v_strides.w] = Held(value[$i]);
#endfor
#endif
    }
}
