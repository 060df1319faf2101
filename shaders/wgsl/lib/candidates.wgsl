// Tokens in the order of the sampler: the greater score first, of equals the lower id. A candidate is the score's bits, turned
// so that they grow with the score (0 for NaN and minus infinity, which are never chosen), and the id's complement.

const NOBODY = vec2<u32>(0u, 0u);
const BEFORE_ALL = vec2<u32>(0xffffffffu, 0xffffffffu);

var<workgroup> offered: array<vec2<u32>, 64>;
var<workgroup> finalists: array<vec2<u32>, 8>;

fn candidate(score: f32, token: u32) -> vec2<u32> {
    let bits = bitcast<u32>(score);
    let key = select(bits | 0x80000000u, ~bits, (bits & 0x80000000u) != 0u);
    // 0x007fffff is minus infinity; below it and above 0xff800000 lies NaN.
    return select(NOBODY, vec2<u32>(key, ~token), key > 0x007fffffu && key <= 0xff800000u);
}

fn score_of(c: vec2<u32>) -> f32 {
    return bitcast<f32>(select(~c.x, c.x & 0x7fffffffu, (c.x & 0x80000000u) != 0u));
}

fn precedes(a: vec2<u32>, b: vec2<u32>) -> bool {
    return a.x > b.x || a.x == b.x && a.y > b.y;
}

// The first in order among what the 64 threads of the workgroup offer; every thread gets it. Calls may follow one another.
fn first_of_workgroup(mine: vec2<u32>, local: u32) -> vec2<u32> {
    offered[local] = mine;
    workgroupBarrier();
    if local < 8u {
        var best = offered[local * 8u];
        for (var i = 1u; i < 8u; i++) {
            let other = offered[local * 8u + i];
            if precedes(other, best) { best = other; }
        }
        finalists[local] = best;
    }
    workgroupBarrier();
    var best = finalists[0];
    for (var i = 1u; i < 8u; i++) {
        if precedes(finalists[i], best) { best = finalists[i]; }
    }
    return best;
}
