//! The `halfbyte` program.
fn main() {}
