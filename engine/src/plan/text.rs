//! The plan's text form: roots with their places, then steps; stable, for golden tests and `inspect`.

use std::fmt;

use super::Plan;
use crate::op::{Param, RootKind, Slot, Step, View, WeightUse};

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "%{}+{}[", self.root.0, self.offset)?;
        for (at, dim) in self.dims.iter().enumerate() {
            write!(f, "{}{}:{}", if at == 0 { "" } else { ", " }, dim.size, dim.stride)?;
        }
        write!(f, "]")
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "arena {}", self.arena.size)?;
        for (at, root) in self.roots.iter().enumerate() {
            write!(f, "%{at} {} {} {:?}", root.name, root.elem.wgsl(), root.len)?;
            match root.kind {
                RootKind::Arena => match self.arena.place(at) {
                    Some(p) => writeln!(f, " at {} steps {}..={}", p.offset, p.first, p.last)?,
                    None => writeln!(f, " unused")?,
                },
                RootKind::Cache(cache) => writeln!(f, " cache {cache}")?,
                RootKind::Constant(weight) => writeln!(f, " constant {}", weight.0)?,
            }
        }
        for (at, step) in self.steps.iter().enumerate() {
            write_step(f, &self.weights, at, step)?;
        }
        Ok(())
    }
}

fn write_step(f: &mut fmt::Formatter<'_>, weights: &[WeightUse], at: usize, step: &Step) -> fmt::Result {
    let (node, call) = match step {
        Step::Fill { view, content } => return writeln!(f, "{at}: fill {view} with {content:?}"),
        Step::Dispatch { node, call } => (node, call),
    };
    write!(f, "{at}: {}", call.spec)?;
    for (name, slot) in &call.slots {
        match slot {
            Slot::View(view) => write!(f, " {name}={view}")?,
            Slot::Weight { weight, part, first, count } => {
                let texture = weights.get(weight.0 as usize).is_some_and(|w| w.texels(*part).is_some());
                let memory = if texture { "texture" } else { "weight" };
                write!(f, " {name}={memory}{}.{part:?}[{first}; {count}]", weight.0)?;
            }
        }
    }
    for (name, param) in &call.params {
        match param {
            Param::Int(e) => write!(f, " {name}={e}")?,
            Param::Float(v) => write!(f, " {name}={v}")?,
            Param::Ints(list) => write!(f, " {name}={list:?}")?,
        }
    }
    writeln!(f, " grid={:?} # {node}", call.grid)
}
