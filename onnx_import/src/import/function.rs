//! The model's functions, and how a call of one is replaced by its body.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::Importer;
use super::budget;
use super::graph::types;
use super::header::{Opsets, domain, opsets};
use super::scope::{Argument, Arguments, Frame, Meaning};
use crate::proto::{AttributeProto, FunctionProto, NodeProto};
use crate::{ImportError, Node, ValueId};

/// Domain, name, overload.
type Key<'p> = (&'p str, &'p str, &'p str);

/// The functions that the model defines.
pub(super) struct Functions<'p> {
    by_key: HashMap<Key<'p>, Rc<Function<'p>>>,
    /// Functions that are being inlined, outermost first.
    active: Vec<Key<'p>>,
}

pub(super) struct Function<'p> {
    proto: &'p FunctionProto,
    key: Key<'p>,
    opsets: Rc<Opsets>,
    /// Attributes without a default.
    attributes: HashSet<&'p str>,
    /// What one copy of the body takes from the budget.
    cost: usize,
}

impl Function<'_> {
    fn label(&self) -> String {
        format!("{}::{}", self.key.0, self.key.1)
    }
}

impl<'p> Functions<'p> {
    pub fn new(protos: &'p [FunctionProto]) -> Result<Self, ImportError> {
        let mut by_key = HashMap::new();
        for proto in protos {
            let key = (domain(proto.domain()), proto.name(), proto.overload());
            let at = |error: ImportError| error.within(format!("function {}::{}", key.0, key.1));
            let function = Function {
                proto,
                key,
                opsets: Rc::new(opsets(&proto.opset_import).map_err(at)?),
                attributes: proto.attribute.iter().map(String::as_str).collect(),
                cost: budget::function_cost(proto),
            };
            if by_key.insert(key, Rc::new(function)).is_some() {
                let name = proto.name().to_owned();
                return Err(at(ImportError::DuplicateName { name, first: "another function" }));
            }
        }
        Ok(Self { by_key, active: Vec::new() })
    }

    pub fn find(&self, domain: &str, name: &str, overload: &str) -> Option<Rc<Function<'p>>> {
        self.by_key.get(&(domain, name, overload)).cloned()
    }
}

impl<'p> Importer<'p, '_> {
    /// Puts the body of `function` in the place of `call`.
    pub fn inline(
        &mut self,
        call: &'p NodeProto,
        function: Rc<Function<'p>>,
        frame: usize,
    ) -> Result<(), ImportError> {
        self.check_call(call, &function)?;
        self.budget.spend(function.cost)?;
        let names = self.bind_inputs(call, &function, frame)?;
        let results = self.node_outputs(call, frame)?;
        let arguments = self.bind_attributes(call, &function, frame)?;
        let callee = self.enter(Frame {
            parent: None,
            names,
            results: pairs(&function, &results).collect(),
            opsets: function.opsets.clone(),
            arguments: Some(Rc::new(arguments)),
            prefix: self.prefix(call, frame).into(),
        })?;
        self.functions.active.push(function.key);
        let body = self.body(&function, &results, callee);
        body.map_err(|error| error.within(format!("function {}", function.label())))?;
        self.functions.active.pop();
        self.scopes.frames.truncate(callee);
        Ok(())
    }

    fn check_call(&self, call: &NodeProto, function: &Function<'p>) -> Result<(), ImportError> {
        if self.functions.active.contains(&function.key) {
            return Err(ImportError::RecursiveFunction { function: function.label() });
        }
        let counts = [
            ("inputs", function.proto.input.len(), call.input.len()),
            ("outputs", function.proto.output.len(), call.output.len()),
        ];
        for (what, declared, given) in counts {
            if given > declared {
                return Err(ImportError::FunctionArity { function: function.label(), what, declared, given });
            }
        }
        Ok(())
    }

    fn prefix(&self, call: &NodeProto, frame: usize) -> String {
        let around = &self.scopes.frames[frame].prefix;
        let name = if call.name().is_empty() { call.op_type() } else { call.name() };
        format!("{around}{name}/")
    }

    fn bind_inputs(
        &mut self,
        call: &NodeProto,
        function: &Function<'p>,
        frame: usize,
    ) -> Result<HashMap<&'p str, Meaning>, ImportError> {
        let depth = self.builders.len() - 1;
        let actual = self.node_inputs(call, frame)?;
        let mut names = HashMap::new();
        for (index, formal) in function.proto.input.iter().enumerate() {
            let meaning = actual.get(index).copied().flatten().map(|id| (depth, id));
            if names.insert(formal.as_str(), meaning).is_some() {
                return Err(ImportError::DuplicateName { name: formal.clone(), first: "another input" });
            }
        }
        Ok(names)
    }

    fn bind_attributes(
        &self,
        call: &'p NodeProto,
        function: &Function<'p>,
        frame: usize,
    ) -> Result<Arguments<'p>, ImportError> {
        let callee = self.scopes.frames.len();
        let defaults = &function.proto.attribute_proto;
        let default =
            |proto: &'p AttributeProto| (proto.name(), Argument { proto, frame: callee, copied: true });
        let mut arguments: Arguments<'p> = defaults.iter().map(default).collect();
        for proto in &call.attribute {
            let name = proto.name();
            if !arguments.contains_key(name) && !function.attributes.contains(name) {
                let (function, attribute) = (function.label(), name.to_owned());
                return Err(ImportError::FunctionAttribute { function, attribute });
            }
            if let Some(argument) = self.resolve(proto, frame)? {
                arguments.insert(name, argument);
            }
        }
        Ok(arguments)
    }

    /// Inlines the body so that its outputs are `results`.
    fn body(
        &mut self,
        function: &Function<'p>,
        results: &[Option<ValueId>],
        callee: usize,
    ) -> Result<(), ImportError> {
        let proto = function.proto;
        self.declare_outputs(&proto.node, &types(proto.value_info.iter()), callee)?;
        self.nodes(&proto.node, callee)?;
        for (name, result) in pairs(function, results) {
            self.pass(name, result, callee).map_err(|error| error.within(format!("output {name:?}")))?;
        }
        Ok(())
    }

    /// Sees to it that `result` is what the output `name` means, by a node when it is also an input or another output.
    fn pass(&mut self, name: &str, result: ValueId, callee: usize) -> Result<(), ImportError> {
        let value = self.reference(name, callee)?;
        let frame = &self.scopes.frames[callee];
        if value == Some(result) && !frame.results.contains_key(name) {
            return Ok(());
        }
        let version = frame.opsets.get("").or_else(|| self.scopes.frames[0].opsets.get("")).copied();
        let node = Node {
            name: format!("{}pass", frame.prefix),
            op_type: "Identity".to_owned(),
            version: version.ok_or_else(|| ImportError::OpsetMissing { domain: String::new() })?,
            inputs: vec![Some(value.ok_or(ImportError::Missing { what: "its value" })?)],
            outputs: vec![Some(result)],
            ..Node::default()
        };
        self.push(node);
        Ok(())
    }
}

/// The function's output names with what the call wants of them.
fn pairs<'p>(
    function: &Function<'p>,
    results: &[Option<ValueId>],
) -> impl Iterator<Item = (&'p str, ValueId)> {
    let names = function.proto.output.iter().map(String::as_str);
    names.zip(results).filter_map(|(name, result)| result.map(|id| (name, id)))
}
