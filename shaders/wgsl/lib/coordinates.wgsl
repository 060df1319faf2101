// The coordinates of element `index` of a row-major shape, and where they lie in a strided view.

fn coordinates(index: u32, shape: vec4<u32>) -> vec4<u32> {
    let w = index % shape.w;
    let above = index / shape.w;
    let z = above % shape.z;
    let higher = above / shape.z;
    return vec4(higher / shape.y, higher % shape.y, z, w);
}

fn position(c: vec4<u32>, strides: vec4<u32>) -> u32 {
    return c.x * strides.x + c.y * strides.y + c.z * strides.z + c.w * strides.w;
}

// A negative index counts from the end; what lies outside is brought to the nearest element.
fn wrapped(index: i32, size: u32) -> u32 {
    return u32(clamp(select(index, index + i32(size), index < 0), 0, i32(size) - 1));
}
