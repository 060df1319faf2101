// How fast multiply-adds are: each thread does STEPS of them to each of 12 sums that do not wait for one another, in f16 to
// two at a time. What it starts from and its result are at its place in out. FUSED: by fma(), which is slow on Adreno; else as
// a product and a sum, which not every compiler makes one instruction.
#variant ELEM = f32 | f16
#variant FUSED = false | true
#if ELEM == f16
enable f16;
alias Sum = vec2<f16>;
#else
alias Sum = f32;
#endif
#import grid

override WG_X: u32 = 64;
override STEPS: u32 = 256;

@group(0) @binding(0) var<storage, read_write> out: array<Sum>;

@compute @workgroup_size(WG_X)
fn main(
    @builtin(local_invocation_index) local: u32,
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let at = workgroup_index(workgroup, count) * WG_X + local;
    let x = out[at];
    var a = x;
    var b = x + Sum(1.0);
    var c = x + Sum(2.0);
    var d = x + Sum(3.0);
    var e = x + Sum(4.0);
    var f = x + Sum(5.0);
    var g = x + Sum(6.0);
    var h = x + Sum(7.0);
    var i = x + Sum(8.0);
    var j = x + Sum(9.0);
    var k = x + Sum(10.0);
    var l = x + Sum(11.0);
    for (var step = 0u; step < STEPS; step++) {
#if FUSED
        a = fma(a, x, x);
        b = fma(b, x, x);
        c = fma(c, x, x);
        d = fma(d, x, x);
        e = fma(e, x, x);
        f = fma(f, x, x);
        g = fma(g, x, x);
        h = fma(h, x, x);
        i = fma(i, x, x);
        j = fma(j, x, x);
        k = fma(k, x, x);
        l = fma(l, x, x);
#else
        a = a * x + x;
        b = b * x + x;
        c = c * x + x;
        d = d * x + x;
        e = e * x + x;
        f = f * x + x;
        g = g * x + x;
        h = h * x + x;
        i = i * x + x;
        j = j * x + x;
        k = k * x + x;
        l = l * x + x;
#endif
    }
    // Kept small: overflow and denormal numbers are slow on some devices.
    out[at] = min(((a + b) + (c + d)) + ((e + f) + (g + h)) + ((i + j) + (k + l)), Sum(0.5));
}
