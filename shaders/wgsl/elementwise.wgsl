// out[i] = OP(a[i], b[i], c[i]). One thread: one element at strides (0 broadcasts), or four adjacent ones where
// CONTIGUOUS (then total and all offsets are multiples of 4, and no operand broadcasts).
// Booleans are u32 0 and 1. `where` takes b where the u32 a is not 0, else c. `clip` is min(max(a, b), c).
// A cast to low_i32 or low_u32 keeps the low WIDTH bits, as a signed or unsigned number; NaN becomes the integer 0.
// A cast to minifloat gives a number of a float of MANTISSA bits (beside the leading one), whose least exponent, biased as
// in f32, is LEAST: the nearest one, or without a mantissa the power of two that is the exponent after INCREMENT is added to
// the bits. BEYOND, the bits of a f32, stands for what is larger than LARGEST, NOTHING for NaN.
// Slots: a, b and c as OP has operands, out. Offsets and strides count elements; shape and strides: innermost last.
#variant OP = identity | cast | neg | abs | sqrt | rsqrt | reciprocal | exp | log | sin | cos | tanh | erf | sigmoid | silu | quick_gelu | gelu | gelu_tanh | relu | floor | ceil | round | sign | not | isnan | isinf | acos | acosh | asin | asinh | atan | atanh | cosh | sinh | tan | softplus | add | sub | mul | div | pow | min | max | mod | fmod | equal | less | less_equal | greater | greater_equal | and | or | xor | bit_and | bit_or | bit_xor | shift_left | shift_right | silu_mul | quick_gelu_mul | gelu_mul | gelu_tanh_mul | where | clip
#variant ELEM = f32 | f16 | i32 | u32
#variant TO = elem | f32 | f16 | i32 | u32 | bool | low_i32 | low_u32 | minifloat
#variant CONTIGUOUS = false | true
#variant RANK = 4 | 8
#let TERNARY = OP == where || OP == clip
#let LOGIC = OP == and || OP == or || OP == xor
#let COMPARE = OP == equal || OP == less || OP == less_equal || OP == greater || OP == greater_equal
#let BITS = OP == bit_and || OP == bit_or || OP == bit_xor || OP == shift_left || OP == shift_right
#let FLOAT_BINARY = OP == silu_mul || OP == quick_gelu_mul || OP == gelu_mul || OP == gelu_tanh_mul || OP == pow
#let BINARY = LOGIC || BITS || COMPARE || FLOAT_BINARY || OP == add || OP == sub || OP == mul || OP == div || OP == min || OP == max || OP == mod || OP == fmod
#let UNARY = !BINARY && !TERNARY
#let MOVES = OP == identity || OP == cast
#let FLOAT = ELEM == f32 || ELEM == f16
#let LOW = TO == low_i32 || TO == low_u32
#let TO_BOOL = COMPARE || LOGIC || OP == not || OP == isnan || OP == isinf || TO == bool
#exclude OP == cast && TO == elem || OP != cast && TO != elem
#exclude CONTIGUOUS && RANK == 8
#exclude (LOGIC || OP == not) && ELEM != u32
#exclude FLOAT_BINARY && !FLOAT
#exclude BITS && FLOAT
#exclude UNARY && !MOVES && !FLOAT && OP != not && !(ELEM == i32 && (OP == neg || OP == abs || OP == sign || OP == relu))
#if ELEM == f16 || TO == f16
enable f16;
#endif
#import grid
#import float
#if OP == sin || OP == cos || OP == tan
#import angle
#endif

override WG_X: u32 = 64;
#if LOW
override WIDTH: u32 = 8;
#elif TO == minifloat
override MANTISSA: u32 = 3;
override LEAST: u32 = 121;
override INCREMENT: u32 = 0;
override LARGEST: u32 = 0x43e00000;
override BEYOND: u32 = 0x43e00000;
override NOTHING: u32 = 0x7fc00000;
#endif

alias Elem = $ELEM;
#if FLOAT
alias Num = f32;
#else
alias Num = $ELEM;
#endif
#if OP == where
alias First = u32;
#else
alias First = Num;
#endif
#if TO_BOOL
alias Out = u32;
#elif TO == elem
alias Out = $ELEM;
#elif TO == low_i32
alias Out = i32;
#elif TO == low_u32
alias Out = u32;
#elif TO == minifloat
alias Out = f32;
#else
alias Out = $TO;
#endif

struct Params {
    total: u32,
    a_offset: u32,
#if !UNARY
    b_offset: u32,
#endif
#if TERNARY
    c_offset: u32,
#endif
    out_offset: u32,
#if !CONTIGUOUS && RANK == 4
    shape: vec4<u32>,
    a_strides: vec4<u32>,
#if !UNARY
    b_strides: vec4<u32>,
#endif
#if TERNARY
    c_strides: vec4<u32>,
#endif
    out_strides: vec4<u32>,
#elif !CONTIGUOUS
    shape: array<vec4<u32>, 2>,
    a_strides: array<vec4<u32>, 2>,
#if !UNARY
    b_strides: array<vec4<u32>, 2>,
#endif
#if TERNARY
    c_strides: array<vec4<u32>, 2>,
#endif
    out_strides: array<vec4<u32>, 2>,
#endif
}

#if CONTIGUOUS && OP == where
@group(0) @binding(0) var<storage, read_write> a: array<vec4<u32>>;
#elif CONTIGUOUS
@group(0) @binding(0) var<storage, read_write> a: array<vec4<Elem>>;
#elif OP == where
@group(0) @binding(0) var<storage, read_write> a: array<u32>;
#else
@group(0) @binding(0) var<storage, read_write> a: array<Elem>;
#endif
#if UNARY && CONTIGUOUS
@group(0) @binding(1) var<storage, read_write> out: array<vec4<Out>>;
@group(0) @binding(2) var<uniform> params: Params;
#elif UNARY
@group(0) @binding(1) var<storage, read_write> out: array<Out>;
@group(0) @binding(2) var<uniform> params: Params;
#elif BINARY && CONTIGUOUS
@group(0) @binding(1) var<storage, read_write> b: array<vec4<Elem>>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4<Out>>;
@group(0) @binding(3) var<uniform> params: Params;
#elif BINARY
@group(0) @binding(1) var<storage, read_write> b: array<Elem>;
@group(0) @binding(2) var<storage, read_write> out: array<Out>;
@group(0) @binding(3) var<uniform> params: Params;
#elif CONTIGUOUS
@group(0) @binding(1) var<storage, read_write> b: array<vec4<Elem>>;
@group(0) @binding(2) var<storage, read_write> c: array<vec4<Elem>>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4<Out>>;
@group(0) @binding(4) var<uniform> params: Params;
#else
@group(0) @binding(1) var<storage, read_write> b: array<Elem>;
@group(0) @binding(2) var<storage, read_write> c: array<Elem>;
@group(0) @binding(3) var<storage, read_write> out: array<Out>;
@group(0) @binding(4) var<uniform> params: Params;
#endif

#if OP == pow
// WGSL's pow is undefined for a negative base.
fn power(x: f32, y: f32) -> f32 {
    if y == 2.0 { return x * x; }
    if y == 0.5 { return sqrt(x); }
    if y == -1.0 { return 1.0 / x; }
    if x == 1.0 || y == 0.0 { return 1.0; }
    if y == 1.0 || is_nan(x) { return x; }
    if is_nan(y) { return y; }
    var size = pow(abs(x), y);
    if x == 0.0 || is_inf(x) { size = select(1.0 / abs(x), abs(x), y > 0.0); }
    let half = 0.5 * y;
    if x >= 0.0 || floor(half) == half { return size; }
    return select(-size, select(sqrt(x), size, is_inf(x)), floor(y) != y);
}
#endif

#if TO == minifloat
fn narrowed(x: f32) -> f32 {
    let bits = bitcast<u32>(x);
    let size = bits & 0x7fffffffu;
    var rounded = (size + INCREMENT) & 0x7f800000u;
    if MANTISSA > 0u {
        // Of the distance between neighbours, a power of two.
        let exponent = max(size >> 23u, LEAST) - MANTISSA;
        let steps = round(bitcast<f32>(size) * bitcast<f32>((254u - exponent) << 23u));
        rounded = bitcast<u32>(steps * bitcast<f32>(exponent << 23u));
    }
    rounded = select(rounded, BEYOND, rounded > LARGEST);
    let none = size > 0x7f800000u || MANTISSA == 0u && bits > 0x80000000u;
    return bitcast<f32>((bits & 0x80000000u) | select(rounded, NOTHING, none));
}
#endif

fn apply(x: First, y: Num, z: Num) -> Out {
#if OP == identity
    return Out(x);
#elif OP == cast && TO == bool
    return u32(x != Num(0));
#elif OP == cast && (LOW || TO == i32 || TO == u32)
#if FLOAT
    let number = select(x, 0.0, is_nan(x));
#else
    let number = x;
#endif
#if TO == low_i32
    return i32(number) << (32u - WIDTH) >> (32u - WIDTH);
#elif TO == low_u32
    return u32(i32(number)) & ((1u << WIDTH) - 1u);
#else
    return Out(number);
#endif
#elif OP == cast && TO == minifloat
    return narrowed(f32(x));
#elif OP == cast
    return Out(x);
#elif OP == not
    return u32(x == 0u);
#elif OP == isnan
    return u32(is_nan(x));
#elif OP == isinf
    return u32(is_inf(x));
#elif OP == equal
    return u32(x == y);
#elif OP == less
    return u32(x < y);
#elif OP == less_equal
    return u32(x <= y);
#elif OP == greater
    return u32(x > y);
#elif OP == greater_equal
    return u32(x >= y);
#elif OP == and
    return u32(x != 0u && y != 0u);
#elif OP == or
    return u32(x != 0u || y != 0u);
#elif OP == xor
    return u32((x != 0u) != (y != 0u));
#elif OP == bit_and
    return x & y;
#elif OP == bit_or
    return x | y;
#elif OP == bit_xor
    return x ^ y;
#elif OP == shift_left
    return select(x << u32(y), Num(0), u32(y) > 31u);
#elif OP == shift_right
    return select(x >> u32(y), Num(0), u32(y) > 31u);
#elif OP == neg
    return Out(-x);
#elif OP == rsqrt
    return Out(1.0 / sqrt(x));
#elif OP == reciprocal
    return Out(1.0 / x);
#elif OP == sin
    return Out(turned(x, 0));
#elif OP == cos
    return Out(turned(x, 1));
#elif OP == tan
    return Out(turned(x, 0) / turned(x, 1));
#elif OP == asin
    // Drivers' own is right to 12 bits only.
    return Out(atan2(x, sqrt((1.0 + x) * (1.0 - x))));
#elif OP == acos
    return Out(atan2(sqrt((1.0 + x) * (1.0 - x)), x));
#elif OP == tanh
    return Out(safe_tanh(x));
#elif OP == sign && FLOAT
    return Out(select(sign(x), x, is_nan(x)));
#elif OP == relu
    return Out(select(x, Num(0), x < Num(0)));
#elif OP == add
    return Out(x + y);
#elif OP == sub
    return Out(x - y);
#elif OP == mul
    return Out(x * y);
#elif OP == div
    return Out(x / y);
#elif OP == pow
    return Out(power(x, y));
#elif (OP == min || OP == max) && FLOAT
    return Out(select(select($OP(x, y), y, is_nan(y)), x, is_nan(x)));
#elif OP == min || OP == max
    return Out($OP(x, y));
#elif OP == fmod && FLOAT
    return Out(select(x - y * trunc(x / y), x, is_inf(y) && !is_inf(x)));
#elif OP == mod && FLOAT
    return Out(x - y * floor(x / y));
#elif OP == fmod || OP == mod && ELEM == u32
    return Out(x % y);
#elif OP == mod
    let r = x % y;
    return Out(select(r, r + y, r != 0 && (r < 0) != (y < 0)));
#elif OP == silu_mul
    return Out(silu(x) * y);
#elif OP == quick_gelu_mul
    return Out(quick_gelu(x) * y);
#elif OP == gelu_mul
    return Out(gelu(x) * y);
#elif OP == gelu_tanh_mul
    return Out(gelu_tanh(x) * y);
#elif OP == where
    return Out(select(z, y, x != 0u));
#elif OP == clip && FLOAT
    return Out(select(min(max(x, y), z), x, is_nan(x)));
#elif OP == clip
    return Out(min(max(x, y), z));
#else
    return Out($OP(x));
#endif
}

#if CONTIGUOUS
@compute @workgroup_size(WG_X)
fn main(
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let i = workgroup_index(workgroup, count) * WG_X + local.x;
    if i * 4u >= params.total { return; }
    let x = vec4<First>(a[params.a_offset / 4u + i]);
#if UNARY
    let y = vec4<Num>();
#else
    let y = vec4<Num>(b[params.b_offset / 4u + i]);
#endif
#if TERNARY
    let z = vec4<Num>(c[params.c_offset / 4u + i]);
#else
    let z = vec4<Num>();
#endif
    out[params.out_offset / 4u + i] = vec4<Out>(
        apply(x.x, y.x, z.x), apply(x.y, y.y, z.y), apply(x.z, y.z, z.z), apply(x.w, y.w, z.w));
}
#else
@compute @workgroup_size(WG_X)
fn main(
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    var rest = workgroup_index(workgroup, count) * WG_X + local.x;
    if rest >= params.total { return; }
    var at = vec4<u32>(params.a_offset, 0u, 0u, params.out_offset);
#if !UNARY
    at.y = params.b_offset;
#endif
#if TERNARY
    at.z = params.c_offset;
#endif
    for (var d = ${RANK}u; d > 0u; d--) {
        let axis = d - 1u;
#if RANK == 4
        let size = params.shape[axis];
#else
        let size = params.shape[axis / 4u][axis % 4u];
#endif
        let coordinate = rest % size;
        rest /= size;
#if RANK == 4
        at.x += coordinate * params.a_strides[axis];
        at.w += coordinate * params.out_strides[axis];
#if !UNARY
        at.y += coordinate * params.b_strides[axis];
#endif
#if TERNARY
        at.z += coordinate * params.c_strides[axis];
#endif
#else
        at.x += coordinate * params.a_strides[axis / 4u][axis % 4u];
        at.w += coordinate * params.out_strides[axis / 4u][axis % 4u];
#if !UNARY
        at.y += coordinate * params.b_strides[axis / 4u][axis % 4u];
#endif
#if TERNARY
        at.z += coordinate * params.c_strides[axis / 4u][axis % 4u];
#endif
#endif
    }
#if UNARY
    out[at.w] = apply(First(a[at.x]), Num(0), Num(0));
#elif BINARY
    out[at.w] = apply(First(a[at.x]), Num(b[at.y]), Num(0));
#else
    out[at.w] = apply(First(a[at.x]), Num(b[at.y]), Num(c[at.z]));
#endif
}
#endif
