//! Nodes that name what they compute, and the small constants that they take.

use std::collections::HashSet;

use onnx_import::{DataType, GraphWriter, Setting, Size};

/// The operator set that nodes are of.
const OPSET: i64 = 23;

/// A graph that is being written.
#[derive(Debug)]
pub(super) struct Nodes {
    pub writer: GraphWriter,
    /// What the names of values begin with: the part of the model that they are in.
    pub scope: String,
    count: usize,
    constants: HashSet<String>,
}

impl Nodes {
    pub fn new(name: &str) -> Self {
        let writer = GraphWriter::new(name);
        Self { writer, scope: "model".to_owned(), count: 0, constants: HashSet::new() }
    }

    /// Adds a node with attributes; returns the name of its output.
    pub fn with(&mut self, op: &str, inputs: &[&str], attributes: &[(&str, Setting<'_>)]) -> String {
        self.count += 1;
        let output = format!("{}.{}_{}", self.scope, op.to_lowercase(), self.count);
        self.writer.node(op, inputs, &[&output], attributes);
        output
    }

    /// Adds a node; returns the name of its output.
    pub fn add(&mut self, op: &str, inputs: &[&str]) -> String {
        self.with(op, inputs, &[])
    }

    /// Adds a node whose output is one of the graph's.
    pub fn output(&mut self, op: &str, inputs: &[&str], output: (&str, &[Size<'_>])) {
        self.writer.node(op, inputs, &[output.0], &[]);
        self.writer.output(output.0, DataType::F32, output.1);
    }

    /// A list of integers.
    pub fn integers(&mut self, values: &[i64]) -> String {
        let name = format!("integers {values:?}");
        if self.constants.insert(name.clone()) {
            self.writer.integers(&name, &[values.len()], values);
        }
        name
    }

    /// An integer without dimensions.
    pub fn integer(&mut self, value: i64) -> String {
        let name = format!("integer {value}");
        if self.constants.insert(name.clone()) {
            self.writer.integers(&name, &[], &[value]);
        }
        name
    }

    /// A number without dimensions.
    pub fn float(&mut self, value: f32) -> String {
        let name = format!("float {value}");
        if self.constants.insert(name.clone()) {
            self.writer.floats(&name, &[], &[value]);
        }
        name
    }

    /// A vector of one value, which bears the name of a parameter.
    pub fn vector(&mut self, name: &str, len: usize, value: f32) {
        self.writer.floats(name, &[len], &vec![value; len]);
    }

    /// A value in another shape; 0 keeps a size, and one of them may be -1.
    pub fn reshape(&mut self, x: &str, sizes: &[i64]) -> String {
        let sizes = self.integers(sizes);
        self.add("Reshape", &[x, &sizes])
    }

    /// A value with further dimensions of 1.
    pub fn unsqueeze(&mut self, x: &str, axes: &[i64]) -> String {
        let axes = self.integers(axes);
        self.add("Unsqueeze", &[x, &axes])
    }

    /// Every `step`-th of the elements `start..end` of the last dimension.
    pub fn slice(&mut self, x: &str, start: i64, end: i64, step: i64) -> String {
        let [start, end, axis, step] = [start, end, -1, step].map(|n| self.integers(&[n]));
        self.add("Slice", &[x, &start, &end, &axis, &step])
    }

    /// Values one behind the other.
    pub fn concat(&mut self, parts: &[&str], axis: i64) -> String {
        self.with("Concat", parts, &[("axis", Setting::Int(axis))])
    }

    pub fn transpose(&mut self, x: &str, order: &[i64]) -> String {
        self.with("Transpose", &[x], &[("perm", Setting::Ints(order))])
    }

    pub fn cast(&mut self, x: &str, to: DataType) -> String {
        self.with("Cast", &[x], &[("to", Setting::Int(to.to_onnx().into()))])
    }

    pub fn finish(self) -> Vec<u8> {
        self.writer.finish("halfbyte", OPSET)
    }
}
