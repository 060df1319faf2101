// Joins the sections of `shortlist`, one for each of up to 64 threads, and chooses: the first of all, or, with a temperature, one
// of the first k by weight, after top-p and min-p. chosen = token = that token's id; chosen is TOO_SHORT where the filters
// reach behind the k first, NO_CHOICE where no logit is a number. The token also goes into the ring of recent ones.
#import candidates
#import opaque_one

struct Params {
    sections: u32,
    k: u32,
    whole: u32,
    inverse_temperature: f32,
    top_p: f32,
    min_p: f32,
    draw: f32,
    window: u32,
    recent_at: u32,
    parts_offset: u32,
    recent_offset: u32,
    chosen_offset: u32,
    token_offset: u32,
}

@group(0) @binding(0) var<storage, read_write> parts: array<u32>;
@group(0) @binding(1) var<storage, read_write> recent: array<u32>;
@group(0) @binding(2) var<storage, read_write> chosen: array<u32>;
@group(0) @binding(3) var<storage, read_write> token: array<u32>;
@group(0) @binding(4) var<uniform> params: Params;

const NO_CHOICE = 0xffffffffu;
const TOO_SHORT = 0xfffffffeu;

var<workgroup> list: array<vec2<u32>, 64>;
var<workgroup> weights: array<f32, 64>;
var<workgroup> masses: array<f32, 64>;

// exp((score - greatest) / temperature): the likeliest weighs 1.
fn weight(c: vec2<u32>, greatest: vec2<u32>) -> f32 {
    if c.x == 0u { return 0.0; }
    if c.x == greatest.x { return 1.0; }
    return exp((score_of(c) - score_of(greatest)) * params.inverse_temperature);
}

// One of the list, by weight. `whole` says that tokens behind the list count too.
fn drawn(one: u32) -> u32 {
    var total = 0.0;
    for (var i = 0u; i < 64u; i++) { total += select(weights[i], masses[i], params.whole != 0u); }
    let wanted = params.top_p * total;
    var kept = 0.0;
    var count = 0u;
    var cut = params.whole == 0u;
    while count < params.k * one {
        let w = weights[count];
        if w < params.min_p || list[count].x == 0u {
            cut = true;
            break;
        }
        kept += w;
        count++;
        if params.top_p < 1.0 && kept >= wanted {
            cut = true;
            break;
        }
    }
    if !cut { return TOO_SHORT; }
    var left = params.draw * kept;
    for (var i = 0u; i < count * one; i++) {
        left -= weights[i];
        if left < 0.0 { return ~list[i].y; }
    }
    return ~list[0].y;
}

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) local: u32, @builtin(workgroup_id) workgroup: vec3<u32>) {
    let one = opaque_one(workgroup);
    let place = params.parts_offset + local * (2u * params.k + 2u);
    let used = local < params.sections;
    list[local] = NOBODY;
    var next = 0u;
    var mine = NOBODY;
    if used { mine = vec2<u32>(parts[place], parts[place + 1u]); }
    let section_first = mine;
    for (var rank = 0u; rank < params.k; rank += one) {
        let best = first_of_workgroup(mine, local);
        if local == 0u { list[rank] = best; }
        if best.x != 0u && best.x == mine.x && best.y == mine.y {
            next++;
            mine = NOBODY;
            if next < params.k { mine = vec2<u32>(parts[place + 2u * next], parts[place + 2u * next + 1u]); }
        }
    }
    workgroupBarrier();
    let greatest = list[0];
    if params.inverse_temperature > 0.0 {
        weights[local] = weight(list[local], greatest);
        var mass = 0.0;
        if used && section_first.x != 0u {
            mass = bitcast<f32>(parts[place + 2u * params.k]) * weight(section_first, greatest);
        }
        masses[local] = mass;
    }
    workgroupBarrier();
    if local != 0u { return; }
    var choice = ~greatest.y;
    if greatest.x == 0u {
        choice = NO_CHOICE;
    } else if params.inverse_temperature > 0.0 {
        choice = drawn(one);
    }
    chosen[params.chosen_offset] = choice;
    let id = select(choice, 0u, choice >= TOO_SHORT);
    token[params.token_offset] = id;
    if params.window > 0u { recent[params.recent_offset + params.recent_at] = id; }
}
