//! The layout of a kernel's parameter block, and writing into one by name.

use crate::error::ShaderError;

/// What a parameter holds. The lanes of vectors and of arrays of vectors lie together, four bytes each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FieldType {
    /// One `u32`.
    U32,
    /// One `i32`.
    I32,
    /// One `f32`.
    F32,
    /// A vector of `u32`, or an array of `vec4<u32>`; the number of lanes.
    U32s(u32),
    /// A vector of `i32`, or an array of `vec4<i32>`; the number of lanes.
    I32s(u32),
    /// A vector of `f32`, or an array of `vec4<f32>`; the number of lanes.
    F32s(u32),
}

impl FieldType {
    /// How many values it holds.
    #[must_use]
    pub fn lanes(self) -> u32 {
        match self {
            Self::U32 | Self::I32 | Self::F32 => 1,
            Self::U32s(n) | Self::I32s(n) | Self::F32s(n) => n,
        }
    }
}

/// One parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name in the kernel's `Params`.
    pub name: String,
    /// Where it starts, in bytes.
    pub offset: u32,
    /// What it holds.
    pub ty: FieldType,
}

/// A kernel's parameter block, a uniform buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParamLayout {
    /// The binding in group 0; it comes after all slots.
    pub binding: u32,
    /// Its size in bytes, a multiple of 16.
    pub size: u32,
    /// The parameters in the order of their offsets; at most 64.
    pub fields: Vec<Field>,
}

impl ParamLayout {
    /// The parameter of this name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|f| f.name == name)
    }

    /// Starts filling `bytes`, which must hold `size` bytes or more.
    ///
    /// # Errors
    /// When `bytes` is too short.
    pub fn writer<'a>(&'a self, bytes: &'a mut [u8]) -> Result<ParamWriter<'a>, ShaderError> {
        if bytes.len() < self.size as usize {
            return Err(wrong("params", format!("{} bytes given, {} needed", bytes.len(), self.size)));
        }
        Ok(ParamWriter { layout: self, bytes, written: 0 })
    }
}

fn wrong(name: &str, message: String) -> ShaderError {
    ShaderError::Param { name: name.to_owned(), message }
}

/// Writes parameters by name, each exactly once, without allocating.
#[derive(Debug)]
pub struct ParamWriter<'a> {
    layout: &'a ParamLayout,
    bytes: &'a mut [u8],
    written: u64,
}

impl ParamWriter<'_> {
    /// Writes one `u32`.
    ///
    /// # Errors
    /// When the name is unknown, was written already, or has another type. So do the other writers.
    pub fn u32(&mut self, name: &str, value: u32) -> Result<(), ShaderError> {
        self.write(name, FieldType::U32, [value.to_le_bytes()])
    }

    /// Writes one `i32`.
    ///
    /// # Errors
    /// As [`u32`](Self::u32).
    pub fn i32(&mut self, name: &str, value: i32) -> Result<(), ShaderError> {
        self.write(name, FieldType::I32, [value.to_le_bytes()])
    }

    /// Writes one `f32`.
    ///
    /// # Errors
    /// As [`u32`](Self::u32).
    pub fn f32(&mut self, name: &str, value: f32) -> Result<(), ShaderError> {
        self.write(name, FieldType::F32, [value.to_le_bytes()])
    }

    /// Writes a vector, or an array of vectors, of `u32`; `values` has one value for each lane.
    ///
    /// # Errors
    /// As [`u32`](Self::u32).
    pub fn u32s(&mut self, name: &str, values: &[u32]) -> Result<(), ShaderError> {
        self.write(name, FieldType::U32s(values.len() as u32), values.iter().map(|v| v.to_le_bytes()))
    }

    /// Writes a vector, or an array of vectors, of `i32`.
    ///
    /// # Errors
    /// As [`u32`](Self::u32).
    pub fn i32s(&mut self, name: &str, values: &[i32]) -> Result<(), ShaderError> {
        self.write(name, FieldType::I32s(values.len() as u32), values.iter().map(|v| v.to_le_bytes()))
    }

    /// Writes a vector, or an array of vectors, of `f32`.
    ///
    /// # Errors
    /// As [`u32`](Self::u32).
    pub fn f32s(&mut self, name: &str, values: &[f32]) -> Result<(), ShaderError> {
        self.write(name, FieldType::F32s(values.len() as u32), values.iter().map(|v| v.to_le_bytes()))
    }

    /// Ends writing.
    ///
    /// # Errors
    /// When a parameter was not written, naming the first one.
    pub fn finish(self) -> Result<(), ShaderError> {
        match self.layout.fields.iter().enumerate().find(|(i, _)| self.written & (1 << i) == 0) {
            None => Ok(()),
            Some((_, field)) => Err(wrong(&field.name, "was not written".to_owned())),
        }
    }

    fn write(
        &mut self,
        name: &str,
        ty: FieldType,
        values: impl IntoIterator<Item = [u8; 4]>,
    ) -> Result<(), ShaderError> {
        let found = self.layout.fields.iter().enumerate().find(|(_, f)| f.name == name);
        let (index, field) = found.ok_or_else(|| wrong(name, "is not in the kernel's Params".to_owned()))?;
        if field.ty != ty {
            return Err(wrong(name, format!("is {:?}, written as {:?}", field.ty, ty)));
        }
        if self.written & (1 << index) != 0 {
            return Err(wrong(name, "was written twice".to_owned()));
        }
        self.written |= 1 << index;
        let room = self.bytes[field.offset as usize..].chunks_exact_mut(4);
        for (place, value) in room.zip(values) {
            place.copy_from_slice(&value);
        }
        Ok(())
    }
}
