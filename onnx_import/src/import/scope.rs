//! What names mean where: frames of the main graph, of subgraphs (which see the graphs around them) and of inlined
//! functions (which see nothing but their inputs).

use std::collections::HashMap;
use std::rc::Rc;

use super::header::Opsets;
use crate::ValueId;
use crate::proto::AttributeProto;

/// A value and the depth of the graph that it belongs to; `None` is an optional input that is left out.
pub(super) type Meaning = Option<(usize, ValueId)>;

/// Names of one graph or function call.
pub(super) struct Frame<'p> {
    /// Frame in which unknown names are looked up.
    pub parent: Option<usize>,
    pub names: HashMap<&'p str, Meaning>,
    /// Values that the caller has for what a function's nodes write, until they are declared.
    pub results: HashMap<&'p str, ValueId>,
    pub opsets: Rc<Opsets>,
    /// Attributes of the call, inside of a function.
    pub arguments: Option<Rc<Arguments<'p>>>,
    /// Goes before the names of what an inlined function makes.
    pub prefix: Rc<str>,
}

/// A function call's attributes by name.
pub(super) type Arguments<'p> = HashMap<&'p str, Argument<'p>>;

/// An attribute as the caller wrote it.
#[derive(Clone, Copy)]
pub(super) struct Argument<'p> {
    pub proto: &'p AttributeProto,
    /// Frame in which the names of its subgraphs mean something.
    pub frame: usize,
    /// Whether it was reached through a reference, so that its value is copied once more.
    pub copied: bool,
}

impl<'p> Frame<'p> {
    pub fn main(opsets: Opsets) -> Self {
        Self::new(None, Rc::new(opsets), None)
    }

    /// The frame of a subgraph that stands in `frames[parent]`.
    pub fn subgraph(scopes: &Scopes<'p>, parent: usize) -> Self {
        let around = &scopes.frames[parent];
        Self::new(Some(parent), around.opsets.clone(), around.arguments.clone())
    }

    fn new(parent: Option<usize>, opsets: Rc<Opsets>, arguments: Option<Rc<Arguments<'p>>>) -> Self {
        Self { parent, names: HashMap::new(), results: HashMap::new(), opsets, arguments, prefix: "".into() }
    }
}

/// The frames that are open, outermost first.
#[derive(Default)]
pub(super) struct Scopes<'p> {
    pub frames: Vec<Frame<'p>>,
}

impl Scopes<'_> {
    /// What `name` means in a frame, if anything.
    pub fn find(&self, mut frame: usize, name: &str) -> Option<Meaning> {
        loop {
            let here = &self.frames[frame];
            if let Some(meaning) = here.names.get(name) {
                return Some(*meaning);
            }
            frame = here.parent?;
        }
    }
}
