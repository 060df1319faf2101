// Sums and maxima over a 1-D workgroup of WG_X threads; every thread gets the result. Calls may follow one another.

var<workgroup> shared_values: array<f32, WG_X>;

struct Lane {
    @builtin(local_invocation_index) local: u32,
#if SUBGROUPS
    @builtin(subgroup_invocation_id) lane: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(num_subgroups) subgroups: u32,
#endif
}

#if SUBGROUPS
fn workgroup_sum(value: f32, at: Lane) -> f32 {
    let part = subgroupAdd(value);
    workgroupBarrier();
    if at.lane == 0u { shared_values[at.subgroup] = part; }
    workgroupBarrier();
    var total = 0.0;
    for (var i = 0u; i < at.subgroups; i++) { total += shared_values[i]; }
    return total;
}

fn workgroup_max(value: f32, at: Lane) -> f32 {
    let part = subgroupMax(value);
    workgroupBarrier();
    if at.lane == 0u { shared_values[at.subgroup] = part; }
    workgroupBarrier();
    var total = shared_values[0];
    for (var i = 1u; i < at.subgroups; i++) { total = max(total, shared_values[i]); }
    return total;
}
#else
fn workgroup_sum(value: f32, at: Lane) -> f32 {
    workgroupBarrier();
    shared_values[at.local] = value;
    for (var step = WG_X / 2u; step > 0u; step /= 2u) {
        workgroupBarrier();
        if at.local < step { shared_values[at.local] += shared_values[at.local + step]; }
    }
    workgroupBarrier();
    return shared_values[0];
}

fn workgroup_max(value: f32, at: Lane) -> f32 {
    workgroupBarrier();
    shared_values[at.local] = value;
    for (var step = WG_X / 2u; step > 0u; step /= 2u) {
        workgroupBarrier();
        if at.local < step { shared_values[at.local] = max(shared_values[at.local], shared_values[at.local + step]); }
    }
    workgroupBarrier();
    return shared_values[0];
}
#endif
