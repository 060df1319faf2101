// Slices of `inner` elements that tuples of `depth` <= 4 indices name; axis_sizes and axis_strides are of the leading axes
// of the tensor that they lie in. Negative indices count from the end; others outside are brought inside.

// Where the slice of tuple i starts, in elements; one is opaque_one's.
fn slice_start(i: u32, one: u32) -> u32 {
    var at = 0u;
    for (var axis = 0u; axis < params.depth; axis += one) {
        let index = indices[params.indices_offset + i * params.depth + axis];
        at += wrapped(index, params.axis_sizes[axis]) * params.axis_strides[axis];
    }
    return at;
}
