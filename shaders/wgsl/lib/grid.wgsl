// The number of a workgroup, and of a thread, in a grid that is spread over x and y.

fn workgroup_index(workgroup: vec3<u32>, count: vec3<u32>) -> u32 {
    return workgroup.x + workgroup.y * count.x;
}
