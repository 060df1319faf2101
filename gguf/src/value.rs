//! Metadata values. Arrays stay bytes in the file until they are asked for, so a file cannot make
//! the reader hold more than a small multiple of itself.

use crate::GgufError;
use crate::cursor::Cursor;

/// Arrays of arrays are read this deep.
const MAX_DEPTH: u32 = 4;

/// One metadata value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// Any of the unsigned integer types.
    Unsigned(u64),
    /// Any of the signed integer types.
    Signed(i64),
    /// A 32-bit float.
    F32(f32),
    /// A 64-bit float.
    F64(f64),
    /// A truth value.
    Bool(bool),
    /// Text.
    String(&'a str),
    /// Several values of one type.
    Array(Array<'a>),
}

impl Value<'_> {
    /// What the value is, in words for messages.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Unsigned(_) => "an unsigned integer",
            Self::Signed(_) => "a signed integer",
            Self::F32(_) | Self::F64(_) => "a float",
            Self::Bool(_) => "a bool",
            Self::String(_) => "a string",
            Self::Array(_) => "an array",
        }
    }
}

/// Several metadata values of one type, as they lie in the file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Array<'a> {
    element: ValueType,
    count: u64,
    bytes: &'a [u8],
}

impl<'a> Array<'a> {
    /// How many values there are.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.count
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The values, in order. An error inside (text that is not UTF-8) ends the sequence with that error.
    pub fn iter(&self) -> impl Iterator<Item = Result<Value<'a>, GgufError>> + use<'a> {
        let (element, mut cursor, mut left) = (self.element, Cursor::new(self.bytes), self.count);
        std::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            let value = element.read(&mut cursor, &|| "an array element".into(), 1);
            if value.is_err() {
                left = 0;
            }
            Some(value)
        })
    }
}

/// The type number of a value, as the GGUF specification counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ValueType {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    Bool,
    String,
    Array,
    U64,
    I64,
    F64,
}

impl ValueType {
    const ALL: [Self; 13] = {
        use ValueType::{Array, Bool, F32, F64, I8, I16, I32, I64, String, U8, U16, U32, U64};
        [U8, I8, U16, I16, U32, I32, F32, Bool, String, Array, U64, I64, F64]
    };

    /// Bytes of one value; `None` where that varies.
    fn width(self) -> Option<u64> {
        match self {
            Self::U8 | Self::I8 | Self::Bool => Some(1),
            Self::U16 | Self::I16 => Some(2),
            Self::U32 | Self::I32 | Self::F32 => Some(4),
            Self::U64 | Self::I64 | Self::F64 => Some(8),
            Self::String | Self::Array => None,
        }
    }

    fn read<'a>(
        self,
        cursor: &mut Cursor<'a>,
        what: &dyn Fn() -> String,
        depth: u32,
    ) -> Result<Value<'a>, GgufError> {
        let Some(width) = self.width() else {
            return match self {
                Self::Array => read_array(cursor, what, depth).map(Value::Array),
                _ => cursor.text(what).map(Value::String),
            };
        };
        let raw = cursor.take(width, what)?;
        let mut wide = [0; 8];
        wide[..raw.len()].copy_from_slice(raw);
        let bits = u64::from_le_bytes(wide);
        let unused = 64 - 8 * raw.len() as u32;
        Ok(match self {
            Self::I8 | Self::I16 | Self::I32 | Self::I64 => Value::Signed((bits << unused) as i64 >> unused),
            Self::F32 => Value::F32(f32::from_bits(bits as u32)),
            Self::F64 => Value::F64(f64::from_bits(bits)),
            Self::Bool => Value::Bool(bits != 0),
            _ => Value::Unsigned(bits),
        })
    }
}

/// Reads the type number and the value that follow a key.
pub(crate) fn read_value<'a>(cursor: &mut Cursor<'a>, key: &str) -> Result<Value<'a>, GgufError> {
    let what = || format!("metadata key {key:?}");
    read_type(cursor, &what)?.read(cursor, &what, 0)
}

fn read_type(cursor: &mut Cursor<'_>, what: &dyn Fn() -> String) -> Result<ValueType, GgufError> {
    let number = cursor.u32(what)?;
    ValueType::ALL.get(number as usize).copied().ok_or_else(|| GgufError::Metadata {
        what: what(),
        problem: format!("type number {number} is not one of GGUF's"),
    })
}

/// Steps over an array, checking that it lies inside the file.
fn read_array<'a>(
    cursor: &mut Cursor<'a>,
    what: &dyn Fn() -> String,
    depth: u32,
) -> Result<Array<'a>, GgufError> {
    if depth == MAX_DEPTH {
        let problem = format!("arrays are nested deeper than {MAX_DEPTH}");
        return Err(GgufError::Metadata { what: what(), problem });
    }
    let element = read_type(cursor, what)?;
    let count = cursor.u64(what)?;
    let start = cursor.position();
    match element.width() {
        Some(width) => {
            cursor.take(count.saturating_mul(width), what)?;
        }
        None if element == ValueType::String => {
            for _ in 0..count {
                let length = cursor.u64(what)?;
                cursor.take(length, what)?;
            }
        }
        None => {
            for _ in 0..count {
                read_array(cursor, what, depth + 1)?;
            }
        }
    }
    Ok(Array { element, count, bytes: cursor.since(start) })
}
