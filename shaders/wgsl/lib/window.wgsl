// A window that moves along three axes, z, y and x, and runs of 4 neighbouring positions of it along x.

// The first position of a run.
fn run_start(run: u32, row_runs: u32, out_shape: vec3<u32>) -> vec3<u32> {
    let line = run / row_runs;
    return vec3(line / out_shape.y, line % out_shape.y, run % row_runs * 4u);
}

// Where the first tap of a position lies in the input; negative before it.
fn origin(position: vec3<u32>, stride: vec3<i32>, before: vec3<i32>) -> vec3<i32> {
    return vec3<i32>(position) * stride - before;
}
