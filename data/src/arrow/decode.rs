//! From arrays of Arrow to columns.

use arrow_array::cast::AsArray as _;
use arrow_array::types::{
    ArrowPrimitiveType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array as _, ArrayRef};
use arrow_schema::{DataType, Field};

use super::SHAPE;
use crate::episode::Parts;
use crate::{Array, Column, DataError, Dtype, Space};

/// Decodes rows of a space, none of which may be null.
pub(super) fn space(array: &ArrayRef, space: &Space, jpeg: bool, place: &str) -> Result<Column, DataError> {
    match space {
        Space::Dict(parts) => {
            let parts = parts.iter().map(|(name, space)| {
                let place = format!("{place}.{name}");
                Ok((name.clone(), self::space(&part(array, name, &place)?, space, jpeg, &place)?))
            });
            parts.collect::<Result<_, _>>().map(Column::Dict)
        }
        Space::Tuple(parts) => {
            let parts = parts.iter().enumerate().map(|(index, space)| {
                let place = format!("{place}.{index}");
                self::space(&part(array, &index.to_string(), &place)?, space, jpeg, &place)
            });
            parts.collect::<Result<_, _>>().map(Column::Tuple)
        }
        Space::Text { .. } => texts(array, place).map(Column::Text),
        _ if jpeg && space.is_image() => frames(array, place).map(Column::Jpeg),
        _ => {
            let shape = space.array_kind().map_or(&[][..], |(_, shape)| shape);
            numbers(array, Some(shape), place).map(Column::Array)
        }
    }
}

/// Decodes infos, whose types say what they are.
pub(super) fn infos(
    array: &ArrayRef,
    field: &Field,
    place: &str,
    is_outermost: bool,
) -> Result<Option<Column>, DataError> {
    match array.data_type() {
        DataType::Struct(fields) => {
            let structure = array.as_struct();
            expect_whole(array, place)?;
            let mut parts: Vec<(String, Column)> = Vec::new();
            for (field, part) in fields.iter().zip(structure.columns()) {
                let place = format!("{place}.{}", field.name());
                if parts.iter().any(|(name, _)| name == field.name()) {
                    return Err(DataError::mismatch(place, "named once", "a second of that name"));
                }
                parts.extend(infos(part, field, &place, false)?.map(|part| (field.name().clone(), part)));
            }
            Ok(Parts::infos(parts, "", is_outermost))
        }
        DataType::Utf8 | DataType::LargeUtf8 => texts(array, place).map(Column::Text).map(Some),
        DataType::FixedSizeList(..) | DataType::List(_) => {
            let shape = field.metadata().get(SHAPE).map(|sizes| shape_of(sizes, place)).transpose()?;
            numbers(array, shape.as_deref(), place).map(Column::Array).map(Some)
        }
        _ => numbers(array, Some(&[]), place).map(Column::Array).map(Some),
    }
}

/// Decodes numbers, in lists of one length where a row is of more than one. Without a shape, a row is a list.
pub(super) fn numbers(array: &ArrayRef, shape: Option<&[usize]>, place: &str) -> Result<Array, DataError> {
    expect_whole(array, place)?;
    let (values, length) = match array.data_type() {
        DataType::FixedSizeList(_, length) => {
            let list = array.as_fixed_size_list();
            (list.values().clone(), usize::try_from(*length).unwrap_or(0))
        }
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            let length = list.offsets().lengths().next().unwrap_or(1);
            if list.offsets().lengths().any(|other| other != length) {
                return Err(DataError::unsupported(place, "lists of different lengths"));
            }
            let first = list.value_offsets().first().copied().unwrap_or(0);
            let first = usize::try_from(first).unwrap_or(0);
            (list.values().slice(first, list.len() * length), length)
        }
        _ => (array.clone(), 1),
    };
    expect_whole(&values, place)?;
    let shape = shape.map_or_else(|| vec![length], <[usize]>::to_vec);
    if shape.iter().try_fold(1_usize, |size, dimension| size.checked_mul(*dimension)) != Some(length) {
        return Err(DataError::mismatch(place, format!("of shape {shape:?}"), format!("lists of {length}")));
    }
    let (dtype, bytes) = bytes_of(&values, place)?;
    Array::new(dtype, shape, bytes).map_err(DataError::within(place))
}

/// The field of that name of a structure.
fn part(array: &ArrayRef, name: &str, place: &str) -> Result<ArrayRef, DataError> {
    let Some(structure) = array.as_struct_opt() else {
        return Err(DataError::mismatch(place, "in a structure", array.data_type()));
    };
    expect_whole(array, place)?;
    structure.column_by_name(name).cloned().ok_or_else(|| DataError::mismatch(place, "given", "nothing"))
}

fn bytes_of(values: &ArrayRef, place: &str) -> Result<(Dtype, Vec<u8>), DataError> {
    fn little_endian<Kind: ArrowPrimitiveType, const SIZE: usize>(
        values: &ArrayRef,
        to_bytes: fn(Kind::Native) -> [u8; SIZE],
    ) -> Vec<u8> {
        values.as_primitive::<Kind>().values().iter().flat_map(|value| to_bytes(*value)).collect()
    }
    Ok(match values.data_type() {
        DataType::Boolean => (Dtype::Bool, values.as_boolean().values().iter().map(u8::from).collect()),
        DataType::Int8 => (Dtype::I8, little_endian::<Int8Type, 1>(values, i8::to_le_bytes)),
        DataType::Int16 => (Dtype::I16, little_endian::<Int16Type, 2>(values, i16::to_le_bytes)),
        DataType::Int32 => (Dtype::I32, little_endian::<Int32Type, 4>(values, i32::to_le_bytes)),
        DataType::Int64 => (Dtype::I64, little_endian::<Int64Type, 8>(values, i64::to_le_bytes)),
        DataType::UInt8 => (Dtype::U8, little_endian::<UInt8Type, 1>(values, u8::to_le_bytes)),
        DataType::UInt16 => (Dtype::U16, little_endian::<UInt16Type, 2>(values, u16::to_le_bytes)),
        DataType::UInt32 => (Dtype::U32, little_endian::<UInt32Type, 4>(values, u32::to_le_bytes)),
        DataType::UInt64 => (Dtype::U64, little_endian::<UInt64Type, 8>(values, u64::to_le_bytes)),
        DataType::Float32 => (Dtype::F32, little_endian::<Float32Type, 4>(values, f32::to_le_bytes)),
        DataType::Float64 => (Dtype::F64, little_endian::<Float64Type, 8>(values, f64::to_le_bytes)),
        other => return Err(DataError::unsupported(place, format!("values of type {other}"))),
    })
}

fn texts(array: &ArrayRef, place: &str) -> Result<Vec<String>, DataError> {
    expect_whole(array, place)?;
    match array.data_type() {
        DataType::Utf8 => Ok(array.as_string::<i32>().iter().flatten().map(str::to_owned).collect()),
        DataType::LargeUtf8 => Ok(array.as_string::<i64>().iter().flatten().map(str::to_owned).collect()),
        other => Err(DataError::mismatch(place, "texts", other)),
    }
}

fn frames(array: &ArrayRef, place: &str) -> Result<Vec<Vec<u8>>, DataError> {
    expect_whole(array, place)?;
    match array.data_type() {
        DataType::Binary => Ok(array.as_binary::<i32>().iter().flatten().map(<[u8]>::to_vec).collect()),
        DataType::LargeBinary => Ok(array.as_binary::<i64>().iter().flatten().map(<[u8]>::to_vec).collect()),
        other => Err(DataError::mismatch(place, "JPEG frames as bytes", other)),
    }
}

fn expect_whole(array: &ArrayRef, place: &str) -> Result<(), DataError> {
    match array.logical_null_count() {
        0 => Ok(()),
        nulls => Err(DataError::mismatch(place, "a value in each row", format!("{nulls} without"))),
    }
}

/// Sizes with commas between; nothing is the shape of a single number.
fn shape_of(sizes: &str, place: &str) -> Result<Vec<usize>, DataError> {
    if sizes.is_empty() {
        return Ok(Vec::new());
    }
    let shape = sizes.split(',').map(str::parse).collect::<Result<_, _>>();
    shape
        .map_err(|_| DataError::mismatch(place, "a shape of sizes with commas between", format!("{sizes:?}")))
}
