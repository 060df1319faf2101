// out = softmax(scale * q k^T + bias, masked) v, where a thread has a row to itself and an octet of threads reads a key, or
// its value, together: thread t reads elements 8t .. 8t+8 of each 64 and shows them to the others. For subgroups of 8
// threads that broadcast at no cost (software Vulkan): nothing goes through shared memory and nothing is summed across
// threads. Workgroups: x over ceil(seq * group / 8), y over key heads, z over the batch; WG_X is 8.
#variant ELEM = f32 | f16
#variant CACHE = f32 | f16 | f8
#variant CHUNKS = 1 | 2 | 4
#variant PADDING = false | true
#variant BIAS = false | true
#variant SPLIT = false
#if ELEM == f16
enable f16;
#endif

#import attention
#import attention_eighths

override WG_X: u32 = 8;

@compute @workgroup_size(WG_X)
fn main(@builtin(subgroup_invocation_id) lane: u32, @builtin(workgroup_id) workgroup: vec3<u32>) {
    hidden_one = min(workgroup.x + 1u, 1u);
    let first_row = workgroup.x * WG_X;
    let row = first_row + lane;
    let kv = workgroup.y;
    let batch = workgroup.z;
    let rows = params.seq * params.group;
    let after_first = first_row / params.group + params.past + 1u;
    let after_last = (min(first_row + WG_X, rows) - 1u) / params.group + params.past + 1u;
    let end = min(params.total, after_last);
    let begin = select(0u, max(after_first, params.window) - params.window, params.window > 0u);
    let k_head = (params.k_offset + batch * params.k_strides.x + kv * params.k_strides.y) / 8u;
    let v_head = (params.v_offset + batch * params.v_strides.x + kv * params.v_strides.y) / 8u;
    let k_step = params.k_strides.z / 8u;
    let v_step = params.v_strides.z / 8u;
    let q_row = q_at(batch, kv, row);
#for c in 0..$CHUNKS
    let e$c = min(8u * $c + lane % 8u, EIGHTHS - 1u);
#for l in 0..8
    let used${c}_$l = 8u * $c + $l < EIGHTHS;
    let at${c}_$l = q_row + 2u * min(8u * $c + $l, EIGHTHS - 1u);
    let q${c}_${l}a = vec4<f32>(q[at${c}_$l]) * params.scale;
    let q${c}_${l}b = vec4<f32>(q[at${c}_$l + 1u]) * params.scale;
    var acc${c}_${l}a = vec4<f32>();
    var acc${c}_${l}b = vec4<f32>();
#endfor
#endfor
    var top = HIDDEN;
    var sum = 0.0;
    for (var first = begin; first < end; first += 8u * one()) {
#for i in 0..8
        let key$i = k_head + min(first + ${i}u, params.total - 1u) * k_step;
        var dot$i = vec4<f32>();
#for c in 0..$CHUNKS
        let k${i}_$c = keys(key$i + e$c);
#for l in 0..8
        if used${c}_$l {
            dot$i += q${c}_${l}a * subgroupBroadcast(k${i}_$c.a, ${l}u);
            dot$i += q${c}_${l}b * subgroupBroadcast(k${i}_$c.b, ${l}u);
        }
#endfor
#endfor
        let s$i = score(batch, kv, row, first + ${i}u, dot$i.x + dot$i.y + dot$i.z + dot$i.w);
#endfor
        let high = max(top, max(max(max(s0, s1), max(s2, s3)), max(max(s4, s5), max(s6, s7))));
        let factor = exp(top - high);
        top = high;
        sum *= factor;
#for i in 0..8
        let w$i = select(exp(s$i - top), 0.0, s$i <= HIDDEN);
        let value$i = v_head + min(first + ${i}u, params.total - 1u) * v_step;
        sum += w$i;
#endfor
#for c in 0..$CHUNKS
#for i in 0..8
        let v${i}_$c = values(value$i + e$c);
#endfor
#for l in 0..8
        if used${c}_$l {
            var a = acc${c}_${l}a * factor;
            var b = acc${c}_${l}b * factor;
#for i in 0..8
            a += w$i * subgroupBroadcast(v${i}_$c.a, ${l}u);
            b += w$i * subgroupBroadcast(v${i}_$c.b, ${l}u);
#endfor
            acc${c}_${l}a = a;
            acc${c}_${l}b = b;
        }
#endfor
#endfor
    }
    if row < rows {
        let at = row_at(batch, kv, row, params.out_offset, params.out_strides) / 4u;
        let share = select(UNIT / sum, 0.0, sum == 0.0);
#for c in 0..$CHUNKS
#for l in 0..8
        if used${c}_$l {
            out[at + 2u * (8u * $c + $l)] = vec4<Elem>(acc${c}_${l}a * share);
            out[at + 2u * (8u * $c + $l) + 1u] = vec4<Elem>(acc${c}_${l}b * share);
        }
#endfor
#endfor
    }
}
