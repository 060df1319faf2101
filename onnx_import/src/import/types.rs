//! Declared types: sizes become symbolic expressions, what is no tensor becomes words.

use std::collections::HashMap;

use symbolic::{Expr, Symbol};

use crate::proto::{DimensionProto, DimensionValue, TensorTypeProto, TypeProto, TypeValue};
use crate::{DataType, ImportError, Tensor, TensorType};

/// Characters of a value's name that go into the names of its unknown sizes.
const NAME_CHARS: usize = 64;

/// A declared type: of a tensor, or another in words, or none.
#[derive(Default)]
pub(super) struct Declared {
    pub info: Option<TensorType>,
    pub other: Option<String>,
}

/// Turns sizes into expressions; the same name is the same symbol in the whole model.
#[derive(Default)]
pub(super) struct Dims {
    /// What sizes' texts say: exporters write few, thousands of times.
    known: HashMap<String, Option<Expr>>,
    /// How often the name of an unknown size was given out.
    unknown: HashMap<String, u32>,
}

impl Dims {
    /// The type declared for the value `name`.
    pub fn declared(&mut self, name: &str, proto: Option<&TypeProto>) -> Result<Declared, ImportError> {
        match proto.and_then(|proto| proto.value.as_ref()) {
            Some(TypeValue::Tensor(tensor)) => Ok(Declared { info: self.tensor(name, tensor)?, other: None }),
            Some(other) => Ok(Declared { info: None, other: Some(type_words(other)?) }),
            None => Ok(Declared::default()),
        }
    }

    fn tensor(&mut self, name: &str, proto: &TensorTypeProto) -> Result<Option<TensorType>, ImportError> {
        if proto.elem_type() == 0 {
            return Ok(None);
        }
        let dtype = DataType::from_onnx(proto.elem_type())?;
        let Some(shape) = &proto.shape else { return Ok(Some(TensorType { dtype, shape: None })) };
        if shape.dim.len() > Tensor::MAX_RANK {
            return Err(ImportError::Rank { rank: shape.dim.len(), limit: Tensor::MAX_RANK });
        }
        let sizes = shape.dim.iter().enumerate().map(|(axis, dim)| self.size(name, axis, dim));
        Ok(Some(TensorType { dtype, shape: Some(sizes.collect::<Result<_, _>>()?) }))
    }

    fn size(&mut self, name: &str, axis: usize, proto: &DimensionProto) -> Result<Expr, ImportError> {
        match &proto.value {
            Some(DimensionValue::Value(size @ 0..)) => Ok(Expr::from(*size)),
            Some(DimensionValue::Value(size)) => Err(ImportError::NegativeSize { axis, size: *size }),
            Some(DimensionValue::Param(text)) => {
                Ok(self.known(text.trim()).unwrap_or_else(|| self.unknown(name, axis)))
            }
            None => Ok(self.unknown(name, axis)),
        }
    }

    fn known(&mut self, text: &str) -> Option<Expr> {
        if let Some(size) = self.known.get(text) {
            return size.clone();
        }
        let size = known(text);
        self.known.insert(text.to_owned(), size.clone());
        size
    }

    /// A symbol of its own: `name?axis`, with a number after it where two values of different graphs share a name.
    fn unknown(&mut self, name: &str, axis: usize) -> Expr {
        let name: String = name.chars().take(NAME_CHARS).collect();
        let base = format!("{}?{axis}", escape(&name));
        let count = self.unknown.entry(base.clone()).or_default();
        *count += 1;
        let unique = if *count == 1 { base } else { format!("{base}.{count}") };
        Expr::from(Symbol::new(&unique))
    }
}

/// What a size's text says; `None` where it says that the size is unknown. Text that is no expression names a symbol.
fn known(text: &str) -> Option<Expr> {
    if matches!(text, "" | "?" | "-1") {
        return None;
    }
    let parsed = symbolic::parse(text, &mut |name| Symbol::new(&escape(name)));
    let usable =
        parsed.ok().filter(|expr| !expr.is_overflow() && expr.constant().is_none_or(|size| size >= 0));
    Some(usable.unwrap_or_else(|| Expr::from(Symbol::new(&escape(text)))))
}

/// Doubles `?`, so that no name from the file is that of an unknown size, which has a single one.
fn escape(name: &str) -> String {
    name.replace('?', "??")
}

/// The type in words, such as `sequence(tensor(f32))`.
pub(super) fn words(proto: &TypeProto) -> Result<String, ImportError> {
    proto.value.as_ref().map_or(Ok("an unknown type".to_owned()), type_words)
}

fn type_words(value: &TypeValue) -> Result<String, ImportError> {
    let inner = |proto: &Option<Box<TypeProto>>| proto.as_deref().map_or(Ok("?".to_owned()), words);
    let element = |tensor: &TensorTypeProto| match tensor.elem_type() {
        0 => Ok("?".to_owned()),
        number => DataType::from_onnx(number).map(|dtype| dtype.to_string()),
    };
    Ok(match value {
        TypeValue::Tensor(tensor) => format!("tensor({})", element(tensor)?),
        TypeValue::Sparse(tensor) => format!("sparse_tensor({})", element(tensor)?),
        TypeValue::Sequence(sequence) => format!("sequence({})", inner(&sequence.elem_type)?),
        TypeValue::Optional(optional) => format!("optional({})", inner(&optional.elem_type)?),
        TypeValue::Map(map) => {
            let key = DataType::from_onnx(map.key_type())?;
            format!("map({key}, {})", inner(&map.value_type)?)
        }
    })
}
