//! The graph's text form: one line a node, stable, for golden tests and `inspect`.

use std::fmt;

use super::{Fact, Graph, Node, ValueId};

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[", self.dtype)?;
        for (index, dim) in self.shape.iter().enumerate() {
            write!(f, "{}{dim}", if index == 0 { "" } else { ", " })?;
        }
        write!(f, "]")?;
        if let Some(content) = &self.content {
            let shown: Vec<String> = content.iter().take(8).map(ToString::to_string).collect();
            write!(f, " = {}{}", shown.join(", "), if content.len() > 8 { ", …" } else { "" })?;
        }
        Ok(())
    }
}

impl Graph {
    fn write_value(&self, f: &mut fmt::Formatter<'_>, id: ValueId) -> fmt::Result {
        match self.fact(id) {
            Some(fact) => write!(f, "{}: {fact}", self.value(id).name),
            None => write!(f, "{}", self.value(id).name),
        }
    }

    fn write_node(&self, f: &mut fmt::Formatter<'_>, node: &Node) -> fmt::Result {
        for (index, output) in node.outputs.iter().enumerate() {
            write!(f, "{}", if index == 0 { "" } else { "; " })?;
            self.write_value(f, *output)?;
        }
        write!(f, " <- {:?}(", node.op)?;
        for (index, input) in node.inputs.iter().enumerate() {
            let name = input.map_or("_", |id| self.value(id).name.as_str());
            write!(f, "{}{name}", if index == 0 { "" } else { ", " })?;
        }
        writeln!(f, ")")
    }
}

impl Graph {
    /// How a value is computed, with the types of all that is read: `y f32[2] = Add(x f32[2], b f32[])`.
    #[must_use]
    pub fn line(&self, id: ValueId) -> String {
        let typed = |id: ValueId| match self.fact(id) {
            Some(fact) => format!("{} {}", self.value(id).name, Fact::new(fact.dtype, fact.shape.clone())),
            None => self.value(id).name.clone(),
        };
        let Some(node) = self.nodes.iter().find(|n| n.outputs.contains(&id)) else {
            let what = if self.is_constant(id) { "a constant" } else { "an input" };
            return format!("{}, {what}", typed(id));
        };
        let inputs: Vec<String> = node.inputs.iter().map(|i| i.map_or("_".to_owned(), typed)).collect();
        format!("{} = {}({})", typed(id), node.op.name(), inputs.join(", "))
    }
}

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (word, ids) in [("input", &self.inputs), ("output", &self.outputs)] {
            for id in ids {
                write!(f, "{word} ")?;
                self.write_value(f, *id)?;
                writeln!(f)?;
            }
        }
        self.pending.iter().try_for_each(|equality| writeln!(f, "where {equality}"))?;
        self.nodes.iter().try_for_each(|node| self.write_node(f, node))
    }
}
