//! Builds one graph: declares every name, then translates the nodes, then puts them in order.

use std::collections::{HashMap, HashSet};

use symbolic::Expr;

use super::scope::{Frame, Meaning};
use super::types::Declared;
use super::{Importer, MAX_DEPTH, sort};
use crate::proto::{GraphProto, NodeProto, TensorProto, TypeProto, ValueInfoProto};
use crate::{Capture, Graph, ImportError, Node, Tensor, TensorType, Value, ValueId, storage};

/// Declared types by name.
pub(super) type Types<'p> = HashMap<&'p str, &'p TypeProto>;

/// A graph under construction; its nodes are not in order yet.
#[derive(Default)]
pub(super) struct GraphBuilder {
    pub graph: Graph,
    /// Captures by the value around that they stand for.
    captured: HashMap<ValueId, ValueId>,
    /// Names in use, with how often each was asked for.
    names: HashMap<String, u32>,
}

impl GraphBuilder {
    /// Adds a value. Its name gets a number where another value has it: the file's own names come first and keep theirs.
    pub fn add(&mut self, mut value: Value) -> Result<ValueId, ImportError> {
        let id = u32::try_from(self.graph.values.len()).map_err(|_| ImportError::TooManyValues)?;
        value.name = self.unique(value.name);
        self.graph.values.push(value);
        Ok(ValueId(id))
    }

    fn unique(&mut self, name: String) -> String {
        let mut unique = name.clone();
        while self.names.contains_key(&unique) {
            let count = self.names.entry(name.clone()).or_default();
            *count += 1;
            unique = format!("{name}_{count}");
        }
        self.names.insert(unique.clone(), 0);
        unique
    }

    fn what(&self, meaning: Meaning) -> &'static str {
        let Some((_, id)) = meaning else { return "an input" };
        match () {
            () if self.graph.inputs.contains(&id) => "an input",
            () if self.graph[id].data.is_some() => "an initializer",
            () => "the output of another node",
        }
    }
}

impl<'p> Importer<'p, '_> {
    /// Imports a graph whose names mean what `frame` says.
    pub fn graph(&mut self, proto: &'p GraphProto, frame: Frame<'p>) -> Result<Graph, ImportError> {
        if !proto.sparse_initializer.is_empty() {
            return Err(ImportError::Unsupported { what: "sparse initializers" });
        }
        let depth = self.builders.len();
        let frame = self.enter(frame)?;
        self.builders.push(GraphBuilder::default());
        self.declare(proto, frame)?;
        self.nodes(&proto.node, frame)?;
        let outputs = proto.output.iter().map(|output| self.graph_output(output, frame));
        let outputs = outputs.collect::<Result<_, _>>()?;
        self.scopes.frames.truncate(frame);
        let mut graph = std::mem::take(&mut self.builders[depth].graph);
        self.builders.truncate(depth);
        graph.name = proto.name().to_owned();
        graph.outputs = outputs;
        sort::sort(&mut graph)?;
        Ok(graph)
    }

    /// Opens a frame, within the limit on depth.
    pub fn enter(&mut self, frame: Frame<'p>) -> Result<usize, ImportError> {
        let index = self.scopes.frames.len();
        if index >= MAX_DEPTH {
            return Err(ImportError::TooDeep { limit: MAX_DEPTH });
        }
        self.scopes.frames.push(frame);
        Ok(index)
    }

    fn declare(&mut self, proto: &'p GraphProto, frame: usize) -> Result<(), ImportError> {
        let types = types(proto.input.iter().chain(&proto.output).chain(&proto.value_info));
        let constants: HashSet<&str> = proto.initializer.iter().map(TensorProto::name).collect();
        for input in proto.input.iter().filter(|input| !constants.contains(input.name())) {
            let at = |error: ImportError| error.within(format!("input {:?}", input.name()));
            let id = self.declare_input(input.name(), &types, frame).map_err(at)?;
            self.current().graph.inputs.push(id);
        }
        for tensor in &proto.initializer {
            let at = |error: ImportError| error.within(format!("initializer {:?}", tensor.name()));
            self.declare_constant(tensor, &types, frame).map_err(at)?;
        }
        self.declare_outputs(&proto.node, &types, frame)
    }

    fn declare_input(
        &mut self,
        name: &'p str,
        types: &Types<'p>,
        frame: usize,
    ) -> Result<ValueId, ImportError> {
        if name.is_empty() {
            return Err(ImportError::Missing { what: "the name of an input" });
        }
        let id = self.add_value(name.to_owned(), types.get(name).copied())?;
        self.bind(name, id, frame)?;
        Ok(id)
    }

    fn declare_constant(
        &mut self,
        proto: &'p TensorProto,
        types: &Types<'p>,
        frame: usize,
    ) -> Result<(), ImportError> {
        if proto.name().is_empty() {
            return Err(ImportError::Missing { what: "the name" });
        }
        let tensor = storage::tensor(proto, self.external)?;
        let declared = self.dims.declared(proto.name(), types.get(proto.name()).copied())?;
        let info = Some(constant_type(&tensor, &declared)?);
        let name = proto.name().to_owned();
        let id = self.current().add(Value { name, info, other_type: None, data: Some(tensor) })?;
        self.bind(proto.name(), id, frame)
    }

    /// Gives a value to every output that has none yet.
    pub fn declare_outputs(
        &mut self,
        nodes: &'p [NodeProto],
        types: &Types<'p>,
        frame: usize,
    ) -> Result<(), ImportError> {
        for (index, node) in nodes.iter().enumerate() {
            for name in node.output.iter().filter(|name| !name.is_empty()) {
                let at =
                    |error: ImportError| error.within(format!("output {name:?}")).within(label(node, index));
                self.declare_output(name, types, frame).map_err(at)?;
            }
        }
        Ok(())
    }

    fn declare_output(&mut self, name: &'p str, types: &Types<'p>, frame: usize) -> Result<(), ImportError> {
        let id = match self.scopes.frames[frame].results.remove(name) {
            Some(result) => result,
            None => {
                let name_here = self.prefixed(name, frame)?;
                self.add_value(name_here, types.get(name).copied())?
            }
        };
        self.bind(name, id, frame)
    }

    /// The name that something of a graph or an inlined function gets.
    pub fn prefixed(&mut self, name: &str, frame: usize) -> Result<String, ImportError> {
        let prefix = &self.scopes.frames[frame].prefix;
        if !prefix.is_empty() {
            self.budget.spend(prefix.len() + name.len())?;
        }
        Ok(format!("{prefix}{name}"))
    }

    fn add_value(&mut self, name: String, declared: Option<&TypeProto>) -> Result<ValueId, ImportError> {
        let Declared { info, other } = self.dims.declared(&name, declared)?;
        self.current().add(Value { name, info, other_type: other, data: None })
    }

    /// Gives `name` its meaning in a frame of the current graph.
    fn bind(&mut self, name: &'p str, id: ValueId, frame: usize) -> Result<(), ImportError> {
        let depth = self.builders.len() - 1;
        match self.scopes.frames[frame].names.insert(name, Some((depth, id))) {
            None => Ok(()),
            Some(first) => {
                let first = self.builders[depth].what(first);
                Err(ImportError::DuplicateName { name: name.to_owned(), first })
            }
        }
    }

    /// Translates nodes of a graph or of a function.
    pub fn nodes(&mut self, nodes: &'p [NodeProto], frame: usize) -> Result<(), ImportError> {
        for (index, node) in nodes.iter().enumerate() {
            self.node(node, frame).map_err(|error| error.within(label(node, index)))?;
        }
        Ok(())
    }

    /// The value, in the current graph, that `name` means in a frame; `None` for an input left out.
    pub fn reference(&mut self, name: &str, frame: usize) -> Result<Option<ValueId>, ImportError> {
        if name.is_empty() {
            return Ok(None);
        }
        let unknown = || ImportError::UnknownValue { name: name.to_owned() };
        let Some((depth, mut id)) = self.scopes.find(frame, name).ok_or_else(unknown)? else {
            return Ok(None);
        };
        for inner in depth + 1..self.builders.len() {
            id = self.capture(id, inner)?;
        }
        Ok(Some(id))
    }

    /// The value of graph `inner` that stands for `outer` of the graph around it.
    fn capture(&mut self, outer: ValueId, inner: usize) -> Result<ValueId, ImportError> {
        if let Some(id) = self.builders[inner].captured.get(&outer) {
            return Ok(*id);
        }
        let around = &self.builders[inner - 1].graph[outer];
        let axes = around.info.as_ref().and_then(|info| info.shape.as_ref()).map_or(0, Vec::len);
        self.budget.spend(around.name.len() + axes * size_of::<Expr>())?;
        let (name, info, other_type) = (around.name.clone(), around.info.clone(), around.other_type.clone());
        let builder = &mut self.builders[inner];
        let id = builder.add(Value { name, info, other_type, data: None })?;
        builder.captured.insert(outer, id);
        builder.graph.captures.push(Capture { outer, inner: id });
        Ok(id)
    }

    fn graph_output(&mut self, proto: &ValueInfoProto, frame: usize) -> Result<ValueId, ImportError> {
        let id = self.reference(proto.name(), frame);
        let id = id.and_then(|id| id.ok_or(ImportError::Missing { what: "the name, or the value" }));
        id.map_err(|error| error.within(format!("output {:?}", proto.name())))
    }

    /// Adds a node to the current graph.
    pub fn push(&mut self, node: Node) {
        self.current().graph.nodes.push(node);
    }

    fn current(&mut self) -> &mut GraphBuilder {
        let last = self.builders.len() - 1;
        &mut self.builders[last]
    }
}

/// Declared types by name; the first declaration counts.
pub(super) fn types<'p>(infos: impl Iterator<Item = &'p ValueInfoProto>) -> Types<'p> {
    let mut types = Types::new();
    for info in infos {
        if let Some(proto) = info.r#type.as_deref() {
            types.entry(info.name()).or_insert(proto);
        }
    }
    types
}

/// The type of a constant; an error when it is declared as something else.
fn constant_type(tensor: &Tensor, declared: &Declared) -> Result<TensorType, ImportError> {
    let shape: Vec<Expr> = tensor.dims.iter().map(|&dim| Expr::from(dim)).collect();
    let differs = |(a, b): (&Expr, &Expr)| a.constant().is_some() && a != b;
    let conflict = declared.info.as_ref().is_some_and(|info| {
        let sizes = info.shape.as_ref();
        info.dtype != tensor.dtype
            || sizes.is_some_and(|sizes| sizes.len() != shape.len() || sizes.iter().zip(&shape).any(differs))
    });
    let found = TensorType { dtype: tensor.dtype, shape: Some(shape) };
    if conflict || declared.other.is_some() {
        let words = declared.info.as_ref().map(ToString::to_string).or_else(|| declared.other.clone());
        let declared = words.unwrap_or_default();
        return Err(ImportError::Declaration { declared, found: found.to_string() });
    }
    Ok(found)
}

fn label(node: &NodeProto, index: usize) -> String {
    match node.name() {
        "" => format!("node {index} ({})", node.op_type()),
        name => format!("node {name:?} ({})", node.op_type()),
    }
}
