// Where row `row` of a view [shape.x, shape.y, shape.z, shape.w, n] begins.

fn row_start(row: u32, shape: vec4<u32>, strides: vec4<u32>) -> u32 {
    var rest = row;
    let w = rest % shape.w;
    rest /= shape.w;
    let z = rest % shape.z;
    rest /= shape.z;
    let y = rest % shape.y;
    return rest / shape.y * strides.x + y * strides.y + z * strides.z + w * strides.w;
}
