// Float functions that keep NaN and infinity: tests look at bits, since compilers may assume that neither occurs.

fn is_nan(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

fn is_inf(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) == 0x7f800000u;
}

// Drivers compute tanh through exp, which overflows, and of small numbers has few digits.
fn safe_tanh(x: f32) -> f32 {
    let wide = select(tanh(clamp(x, -15.0, 15.0)), x, is_nan(x));
    return select(wide, x - x * x * x / 3.0, abs(x) < 0.02);
}

fn sigmoid(x: f32) -> f32 {
    return 1.0 / (1.0 + exp(-x));
}

fn silu(x: f32) -> f32 {
    return x / (1.0 + exp(-x));
}

fn quick_gelu(x: f32) -> f32 {
    return x / (1.0 + exp(-1.702 * x));
}

// 1 - erf(x) for x >= 0, Abramowitz and Stegun 7.1.26; absolute error below 1.5e-7.
fn erfc_of_positive(x: f32) -> f32 {
    let t = 1.0 / (1.0 + 0.3275911 * x);
    let p = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;
    return p * exp(-x * x);
}

fn erf(x: f32) -> f32 {
    return sign(x) * (1.0 - erfc_of_positive(abs(x)));
}

fn gelu(x: f32) -> f32 {
    let tail = erfc_of_positive(abs(x) * 0.70710678);
    return 0.5 * x * select(2.0 - tail, tail, x < 0.0);
}

fn gelu_tanh(x: f32) -> f32 {
    return x * sigmoid(1.5957691 * (x + 0.044715 * x * x * x));
}

// log(1 + exp(x)). Near 1 the logarithm is a series: 1 + u has few of the digits of a small u.
fn softplus(x: f32) -> f32 {
    let u = exp(-abs(x));
    let series = u * (1.0 - u * (0.5 - u * (1.0 / 3.0 - u * 0.25)));
    return max(x, 0.0) + select(log(1.0 + u), series, u < 0.02);
}
