// Runs over keys begin .. end; leaves acc<r>, the sums of weighted values of item r, and the rows' `largest` and
// `weight_sum`. To be imported in the body of main.
    hidden_one = min(workgroup.x + 1u, 1u);
    if local < ROWS {
        largest[local] = HIDDEN;
        weight_sum[local] = 0.0;
    }
#for r in 0..$D16
    var acc$r = vec4<f32>();
    let item$r = item(local, ${r}u);
    const used$r = ${r}u * WG_X < ROWS * HEAD_VEC4S;
#endfor
    for (var first = begin; first < end; first += TILE) {
        score_tile(batch, kv, row, first, local, lane);
        workgroupBarrier();
        weigh_tile(local);
        workgroupBarrier();
#for r in 0..$D16
        if used$r && item$r.row < ROWS { acc$r *= rescale[item$r.row]; }
#endfor
        for (var j = 0u; j < TILE / 4u && first + 4u * j < end; j += one()) {
#for i in 0..4
            let v${i}_0 = vec4<f32>(v[v_at(batch, kv, first + 4u * j + ${i}u, item0.d)]);
#endfor
#for r in 0..$D16
#if r != 0 && MIXED
            if used$r && item$r.row < ROWS {
#for i in 0..4
                let v${i}_$r = vec4<f32>(v[v_at(batch, kv, first + 4u * j + ${i}u, item$r.d)]);
#endfor
                let w = weights[item$r.row * (TILE / 4u) + j];
                acc$r += w.x * v0_$r + w.y * v1_$r + w.z * v2_$r + w.w * v3_$r;
            }
#else
            // Every item of this thread has the same d.
            if used$r && item$r.row < ROWS {
                let w = weights[item$r.row * (TILE / 4u) + j];
                acc$r += w.x * v0_0 + w.y * v1_0 + w.z * v2_0 + w.w * v3_0;
            }
#endif
#endfor
        }
        workgroupBarrier();
    }
