//! The `tojson` filter as Hugging Face defines it: Python's `json.dumps` without ASCII escapes.

use minijinja::value::Kwargs;
use minijinja::{Error, ErrorKind, Value};
use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};
use std::io::{Result, Write};

/// `value` as JSON: on one line with spaces after commas and colons, or indented by up to 16 spaces. Options of Python's
/// that would change more than that are errors.
pub(crate) fn tojson(
    value: &Value,
    indent: Option<usize>,
    options: Kwargs,
) -> std::result::Result<String, Error> {
    let indent = indent.or(options.get("indent")?);
    let escaped: Option<bool> = options.get("ensure_ascii")?;
    options.assert_all_used()?;
    if escaped == Some(true) {
        return Err(Error::new(ErrorKind::InvalidOperation, "tojson does not know ensure_ascii=true"));
    }
    let mut bytes = Vec::new();
    let written = match indent {
        Some(width) => {
            let spaces = " ".repeat(width.min(16));
            value.serialize(&mut Serializer::with_formatter(
                &mut bytes,
                PrettyFormatter::with_indent(spaces.as_bytes()),
            ))
        }
        None => value.serialize(&mut Serializer::with_formatter(&mut bytes, Spaced)),
    };
    let failed = |problem: String| Error::new(ErrorKind::BadSerialization, problem);
    written.map_err(|e| failed(e.to_string()))?;
    String::from_utf8(bytes).map_err(|e| failed(e.to_string()))
}

/// One line, `", "` between elements and `": "` after keys.
struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> Result<()> {
        writer.write_all(b": ")
    }
}
