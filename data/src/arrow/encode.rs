//! From columns to arrays of Arrow, of the types that Minari makes.

use std::sync::Arc;

use arrow_array::types::{
    ArrowPrimitiveType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, FixedSizeListArray, PrimitiveArray, StringArray, StructArray,
};
use arrow_buffer::BooleanBuffer;
use arrow_schema::{Field, Fields};

use super::SHAPE;
use crate::{Array, Column, DataError, Dtype, Space};

/// Encodes rows of a space, with as many more to fill up.
pub(super) fn space(
    name: &str,
    column: &Column,
    space: &Space,
    filling: usize,
) -> Result<(Field, ArrayRef), DataError> {
    match (column, space) {
        (Column::Dict(parts), Space::Dict(spaces)) => {
            let parts = parts.iter().zip(spaces);
            let parts = parts.map(|((name, part), (_, space))| self::space(name, part, space, filling));
            structure(name, parts.collect::<Result<_, _>>()?)
        }
        (Column::Tuple(parts), Space::Tuple(spaces)) => {
            let parts = parts.iter().zip(spaces).enumerate();
            let parts =
                parts.map(|(index, (part, space))| self::space(&index.to_string(), part, space, filling));
            structure(name, parts.collect::<Result<_, _>>()?)
        }
        (Column::Array(array), Space::Discrete { .. }) => Ok(field(name, numbers(array, filling))),
        (Column::Array(array), _) => Ok(field(name, list(name, array, filling)?)),
        _ => Ok(leaf(name, column, filling)),
    }
}

/// Encodes infos, whose fields say of which shape a row is.
pub(super) fn infos(name: &str, column: &Column) -> Result<(Field, ArrayRef), DataError> {
    match column {
        Column::Dict(parts) => {
            structure(name, parts.iter().map(|(name, part)| infos(name, part)).collect::<Result<_, _>>()?)
        }
        Column::Tuple(parts) => {
            let parts = parts.iter().enumerate().map(|(index, part)| infos(&index.to_string(), part));
            structure(name, parts.collect::<Result<_, _>>()?)
        }
        Column::Array(array) if !array.shape().is_empty() => {
            let sizes: Vec<_> = array.shape().iter().map(usize::to_string).collect();
            let (field, list) = field(name, list(name, array, 0)?);
            Ok((
                field.with_metadata(std::collections::HashMap::from([(SHAPE.to_owned(), sizes.join(","))])),
                list,
            ))
        }
        _ => Ok(leaf(name, column, 0)),
    }
}

/// Encodes one number a row, where that is what the array has.
pub(super) fn numbers(array: &Array, filling: usize) -> ArrayRef {
    let mut bytes = array.bytes().to_vec();
    bytes.resize(bytes.len() + filling * array.row_size(), 0);
    match array.dtype() {
        Dtype::Bool => Arc::new(BooleanArray::new(
            BooleanBuffer::collect_bool(bytes.len(), |index| bytes[index] != 0),
            None,
        )),
        Dtype::I8 => primitive::<Int8Type, 1>(&bytes, i8::from_le_bytes),
        Dtype::I16 => primitive::<Int16Type, 2>(&bytes, i16::from_le_bytes),
        Dtype::I32 => primitive::<Int32Type, 4>(&bytes, i32::from_le_bytes),
        Dtype::I64 => primitive::<Int64Type, 8>(&bytes, i64::from_le_bytes),
        Dtype::U8 => primitive::<UInt8Type, 1>(&bytes, u8::from_le_bytes),
        Dtype::U16 => primitive::<UInt16Type, 2>(&bytes, u16::from_le_bytes),
        Dtype::U32 => primitive::<UInt32Type, 4>(&bytes, u32::from_le_bytes),
        Dtype::U64 => primitive::<UInt64Type, 8>(&bytes, u64::from_le_bytes),
        Dtype::F32 => primitive::<Float32Type, 4>(&bytes, f32::from_le_bytes),
        Dtype::F64 => primitive::<Float64Type, 8>(&bytes, f64::from_le_bytes),
    }
}

/// A field that may be null, as those that Minari makes.
pub(super) fn field(name: &str, array: ArrayRef) -> (Field, ArrayRef) {
    (Field::new(name, array.data_type().clone(), true), array)
}

fn leaf(name: &str, column: &Column, filling: usize) -> (Field, ArrayRef) {
    let nothing = std::iter::repeat_n(None, filling);
    match column {
        Column::Text(texts) => {
            let texts = texts.iter().map(|text| Some(text.as_str())).chain(nothing);
            field(name, Arc::new(texts.collect::<StringArray>()))
        }
        Column::Jpeg(frames) => {
            let nothing = std::iter::repeat_n(None, filling);
            let frames = frames.iter().map(|frame| Some(frame.as_slice())).chain(nothing);
            field(name, Arc::new(frames.collect::<BinaryArray>()))
        }
        Column::Array(array) => field(name, numbers(array, filling)),
        // Both are structures and never come here.
        Column::Dict(_) | Column::Tuple(_) => field(name, Arc::new(StructArray::new_empty_fields(0, None))),
    }
}

fn list(name: &str, array: &Array, filling: usize) -> Result<ArrayRef, DataError> {
    let length = array.shape().iter().product::<usize>();
    let size = i32::try_from(length)
        .map_err(|_| DataError::mismatch(name, "at most 2147483647 numbers a row", length))?;
    let (item, values) = field("item", numbers(array, filling));
    let list =
        FixedSizeListArray::try_new(Arc::new(item), size, values, None).map_err(DataError::arrow(name))?;
    Ok(Arc::new(list))
}

fn structure(name: &str, parts: Vec<(Field, ArrayRef)>) -> Result<(Field, ArrayRef), DataError> {
    let (fields, arrays): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
    let structure =
        StructArray::try_new(Fields::from(fields), arrays, None).map_err(DataError::arrow(name))?;
    Ok(field(name, Arc::new(structure)))
}

fn primitive<Kind: ArrowPrimitiveType, const SIZE: usize>(
    bytes: &[u8],
    from_bytes: fn([u8; SIZE]) -> Kind::Native,
) -> ArrayRef {
    let values: Vec<_> = bytes.as_chunks::<SIZE>().0.iter().map(|chunk| from_bytes(*chunk)).collect();
    Arc::new(PrimitiveArray::<Kind>::new(values.into(), None))
}
