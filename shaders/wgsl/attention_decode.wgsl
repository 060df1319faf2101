// Attention of few rows over one of `splits` parts of the keys: writes the output where there is one part, and otherwise,
// unscaled, the weighted values of part i of row r to partial[(r * splits + i) * (head_dim + 4) ..], followed by the maximum
// and the sum of weights; attention_merge joins them. Row r of key head kv of the batch counts (batch * kv_heads + kv) * seq *
// group + r. Workgroups: x over ceil(seq * group / ROWS) * splits with the split innermost, y over key heads, z over the batch.
//
// Eight threads, an octet, take eight keys at a time and keep a softmax of their own, which a workgroup joins at the end.
// Of every 64 elements of a head thread t of an octet has 8t .. 8t+8, so that neighbours read what lies side by side; the
// dot products are then summed so that thread t has the score of key t, through shared memory or by shuffles.
#variant ELEM = f32 | f16
#variant CACHE = f32 | f16 | f8
#variant CHUNKS = 1 | 2 | 4
#variant ROWS = 1 | 2 | 3 | 4
#variant REDUCE = shared | shuffle
#variant PADDING = false | true
#variant BIAS = false | true
#variant SPLIT = true
#if ELEM == f16
enable f16;
#endif

#import attention
#import attention_eighths

override WG_X: u32 = 64;
#if REDUCE == shared
// (WG_X + 1) * 8 * ROWS: one more than there are threads from key to key, so that octets read from banks of their own.
override PARTS: u32 = 520;
// WG_X * ROWS.
override SCORES: u32 = 64;
#endif

const ROWS = ${ROWS}u;

var<workgroup> joined: array<vec4<f32>, WG_X * 2 * $CHUNKS>;
var<workgroup> tops: array<f32, WG_X / 8>;
var<workgroup> sums: array<f32, WG_X / 8>;
#if REDUCE == shared
var<workgroup> parts: array<f32, PARTS>;
var<workgroup> scores: array<f32, SCORES>;
#endif

@compute @workgroup_size(WG_X)
fn main(
#if REDUCE == shuffle
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_size) subgroup_size: u32,
    @builtin(subgroup_invocation_id) lane: u32,
#else
    @builtin(local_invocation_index) local: u32,
#endif
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    hidden_one = min(workgroup.x + 1u, 1u);
#if REDUCE == shuffle
    // Subgroups have 8 threads or more, a multiple of 8.
    let local = subgroup * subgroup_size + lane;
#endif
    let split = workgroup.x % params.splits;
    let row = workgroup.x / params.splits * ROWS;
    let kv = workgroup.y;
    let batch = workgroup.z;
    let rows = params.seq * params.group;
    let octet = local / 8u;
    let t = local % 8u;
    let after_first = row / params.group + params.past + 1u;
    let after_last = (min(row + ROWS, rows) - 1u) / params.group + params.past + 1u;
    let behind = min(params.total, after_last);
    let oldest = min(behind, select(0u, max(after_first, params.window) - params.window, params.window > 0u));
    // In whole turns of a workgroup.
    let part = ((behind - oldest + params.splits - 1u) / params.splits + WG_X - 1u) / WG_X * WG_X;
    let begin = oldest + split * part;
    let end = min(behind, begin + part);
    let k_head = (params.k_offset + batch * params.k_strides.x + kv * params.k_strides.y) / 8u;
    let v_head = (params.v_offset + batch * params.v_strides.x + kv * params.v_strides.y) / 8u;
    let k_step = params.k_strides.z / 8u;
    let v_step = params.v_strides.z / 8u;
#if REDUCE == shuffle
    let base = lane / 8u * 8u;
    let above4 = (t & 4u) != 0u;
    let above2 = (t & 2u) != 0u;
    let above1 = (t & 1u) != 0u;
#endif
#for c in 0..$CHUNKS
    let e$c = min(8u * $c + t, EIGHTHS - 1u);
    let used$c = select(0.0, params.scale, 8u * $c + t < EIGHTHS);
#endfor
#for r in 0..$ROWS
    let q$r = q_at(batch, kv, row + ${r}u);
    var top$r = HIDDEN;
    var sum$r = 0.0;
#for c in 0..$CHUNKS
    let q${r}a$c = vec4<f32>(q[q$r + 2u * e$c]) * used$c;
    let q${r}b$c = vec4<f32>(q[q$r + 2u * e$c + 1u]) * used$c;
    var acc${r}a$c = vec4<f32>();
    var acc${r}b$c = vec4<f32>();
#endfor
#endfor
    for (var first = begin; first < end; first += WG_X * one()) {
        let mine = first + 8u * octet;
#if REDUCE == shuffle
#for i in 0..8
        let key$i = k_head + min(mine + ${i}u, params.total - 1u) * k_step;
#for c in 0..$CHUNKS
        let k${i}_$c = keys(key$i + e$c);
#endfor
#for r in 0..$ROWS
#for c in 0..$CHUNKS
        let dot${r}_${i}_$c = dot(q${r}a$c, k${i}_$c.a) + dot(q${r}b$c, k${i}_$c.b);
#endfor
#if CHUNKS == 1
        let p${r}_$i = dot${r}_${i}_0;
#elif CHUNKS == 2
        let p${r}_$i = dot${r}_${i}_0 + dot${r}_${i}_1;
#else
        let p${r}_$i = dot${r}_${i}_0 + dot${r}_${i}_1 + dot${r}_${i}_2 + dot${r}_${i}_3;
#endif
#endfor
#endfor
        // Each step halves how many keys a thread has, and doubles over how many threads they are summed.
#for r in 0..$ROWS
        let x${r}_0 = select(p${r}_0, p${r}_4, above4) + subgroupShuffleXor(select(p${r}_4, p${r}_0, above4), 4u);
        let x${r}_1 = select(p${r}_1, p${r}_5, above4) + subgroupShuffleXor(select(p${r}_5, p${r}_1, above4), 4u);
        let x${r}_2 = select(p${r}_2, p${r}_6, above4) + subgroupShuffleXor(select(p${r}_6, p${r}_2, above4), 4u);
        let x${r}_3 = select(p${r}_3, p${r}_7, above4) + subgroupShuffleXor(select(p${r}_7, p${r}_3, above4), 4u);
        let y${r}_0 = select(x${r}_0, x${r}_2, above2) + subgroupShuffleXor(select(x${r}_2, x${r}_0, above2), 2u);
        let y${r}_1 = select(x${r}_1, x${r}_3, above2) + subgroupShuffleXor(select(x${r}_3, x${r}_1, above2), 2u);
        let dot$r = select(y${r}_0, y${r}_1, above1) + subgroupShuffleXor(select(y${r}_1, y${r}_0, above1), 1u);
        let s$r = select(HIDDEN, score(batch, kv, row + ${r}u, mine + t, dot$r), mine + t < end);
        let high${r}_4 = max(s$r, subgroupShuffleXor(s$r, 4u));
        let high${r}_2 = max(high${r}_4, subgroupShuffleXor(high${r}_4, 2u));
        let high$r = max(top$r, max(high${r}_2, subgroupShuffleXor(high${r}_2, 1u)));
        let w$r = select(exp(s$r - high$r), 0.0, s$r <= HIDDEN);
#endfor
#else
        for (var i = 0u; i < 8u; i += one()) {
            let key = k_head + min(mine + i, params.total - 1u) * k_step;
#for c in 0..$CHUNKS
            let k$c = keys(key + e$c);
#endfor
#for r in 0..$ROWS
            var p$r = 0.0;
#for c in 0..$CHUNKS
            p$r += dot(q${r}a$c, k$c.a) + dot(q${r}b$c, k$c.b);
#endfor
            parts[(${r}u * 8u + i) * (WG_X + 1u) + local] = p$r;
#endfor
        }
        workgroupBarrier();
#for r in 0..$ROWS
        var dot$r = 0.0;
        for (var i = 0u; i < 8u; i += one()) { dot$r += parts[(${r}u * 8u + t) * (WG_X + 1u) + 8u * octet + i]; }
        let s$r = score(batch, kv, row + ${r}u, mine + t, dot$r);
        scores[${r}u * WG_X + local] = select(HIDDEN, s$r, mine + t < end);
#endfor
        workgroupBarrier();
#for r in 0..$ROWS
        var high$r = top$r;
        for (var i = 0u; i < 8u; i += one()) { high$r = max(high$r, scores[${r}u * WG_X + 8u * octet + i]); }
#endfor
#endif
#for r in 0..$ROWS
        let factor$r = exp(top$r - high$r);
        top$r = high$r;
        sum$r *= factor$r;
#for c in 0..$CHUNKS
        acc${r}a$c *= factor$r;
        acc${r}b$c *= factor$r;
#endfor
#endfor
#if REDUCE == shuffle
#for r in 0..$ROWS
        sum$r += w$r;
#endfor
#for i in 0..8
        let value$i = v_head + min(mine + ${i}u, params.total - 1u) * v_step;
#for c in 0..$CHUNKS
        let v${i}_$c = values(value$i + e$c);
#endfor
#for r in 0..$ROWS
        let w${r}_$i = subgroupShuffle(w$r, base + ${i}u);
#for c in 0..$CHUNKS
        acc${r}a$c += w${r}_$i * v${i}_$c.a;
        acc${r}b$c += w${r}_$i * v${i}_$c.b;
#endfor
#endfor
#endfor
#else
        for (var i = 0u; i < 8u; i += one()) {
            let value = v_head + min(mine + i, params.total - 1u) * v_step;
#for c in 0..$CHUNKS
            let v$c = values(value + e$c);
#endfor
#for r in 0..$ROWS
            let s$r = scores[${r}u * WG_X + 8u * octet + i];
            let w$r = select(exp(s$r - top$r), 0.0, s$r <= HIDDEN);
            sum$r += w$r;
#for c in 0..$CHUNKS
            acc${r}a$c += w$r * v$c.a;
            acc${r}b$c += w$r * v$c.b;
#endfor
#endfor
        }
#endif
    }
    let vec4s = 2u * EIGHTHS;
    let place = params.partial_offset / 4u
        + (((batch * count.y + kv) * rows + row) * params.splits + split) * (vec4s + 1u);
#for r in 0..$ROWS
#if REDUCE == shuffle
    sum$r += subgroupShuffleXor(sum$r, 4u);
    sum$r += subgroupShuffleXor(sum$r, 2u);
    sum$r += subgroupShuffleXor(sum$r, 1u);
#endif
    if t == 0u { tops[octet] = top$r; }
    workgroupBarrier();
    var all$r = tops[0];
    for (var i = 1u; i < WG_X / 8u; i += one()) { all$r = max(all$r, tops[i]); }
    let share$r = exp(top$r - all$r);
    if t == 0u { sums[octet] = sum$r * share$r; }
#for c in 0..$CHUNKS
    joined[(8u * $c + t) * (WG_X / 4u) + octet] = acc${r}a$c * (share$r * UNIT);
    joined[(8u * $c + t) * (WG_X / 4u) + WG_X / 8u + octet] = acc${r}b$c * (share$r * UNIT);
#endfor
    workgroupBarrier();
    if row + ${r}u < rows {
        let at = place + ${r}u * params.splits * (vec4s + 1u);
        var weight = 0.0;
        for (var i = 0u; i < WG_X / 8u; i += one()) { weight += sums[i]; }
        for (var d = local; d < vec4s; d += WG_X * one()) {
            var whole = vec4<f32>();
            for (var i = 0u; i < WG_X / 8u; i += one()) { whole += joined[d * (WG_X / 8u) + i]; }
            if alone() {
                write_out(batch, kv, row + ${r}u, d, whole, weight);
            } else {
                partial[at + d] = whole;
            }
        }
        if local == 0u && !alone() { partial[at + vec4s] = vec4(all$r, weight, 0.0, 0.0); }
    }
    workgroupBarrier();
#endfor
}
