// sin and cos, off by less than 1e-7 up to 2^18, where rotary tables of long contexts need them. Drivers owe no more than 2^-11
// between -pi and pi, and nothing beyond.

// cos where `turn` is 1, sin where it is 0: what `turn` more quarters make of x.
fn turned(x: f32, turn: i32) -> f32 {
    let quarters = round(x * 0.636619772);
    // pi / 2 in parts, after Cody and Waite: products with the first three are exact.
    let r = x - quarters * 1.5625 - quarters * 0.00830078125 + quarters * 4.470348358154297e-06 - quarters * 1.5893254e-08;
    // Between -pi/4 and pi/4, the polynomials of Cephes.
    let z = r * r;
    let sine = ((-1.9515295891e-4 * z + 8.3321608736e-3) * z - 1.6666654611e-1) * z * r + r;
    let cosine = ((2.443315711809948e-5 * z - 1.388731625493765e-3) * z + 4.166664568298827e-2) * z * z - 0.5 * z + 1.0;
    let quarter = i32(quarters) + turn;
    let size = select(sine, cosine, (quarter & 1) != 0);
    return select(size, -size, (quarter & 2) != 0);
}
