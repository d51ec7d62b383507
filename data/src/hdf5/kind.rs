//! Kinds of numbers and their types in an HDF5 file.

use hdf5_pure::{
    Datatype, DatatypeByteOrder, EnumTypeBuilder, FloatingPointLayout, make_f32_type, make_f64_type,
    make_i8_type, make_i16_type, make_i32_type, make_i64_type, make_u8_type, make_u16_type, make_u32_type,
    make_u64_type,
};

use crate::{DataError, Dtype};

/// How numbers lie in the file.
#[derive(Clone, Copy)]
pub(super) struct Stored {
    pub(super) dtype: Dtype,
    pub(super) is_big_endian: bool,
}

impl Stored {
    /// The kind of a type, where it is one of [`Dtype`] in either order of bytes.
    pub(super) fn of(datatype: &Datatype, place: &str) -> Result<Self, DataError> {
        let (dtype, order) = match datatype {
            Datatype::FixedPoint { size, byte_order, layout }
                if layout.bit_offset == 0 && u32::from(layout.bit_precision) == size * 8 =>
            {
                let dtype = match (size, layout.signed) {
                    (1, true) => Some(Dtype::I8),
                    (2, true) => Some(Dtype::I16),
                    (4, true) => Some(Dtype::I32),
                    (8, true) => Some(Dtype::I64),
                    (1, false) => Some(Dtype::U8),
                    (2, false) => Some(Dtype::U16),
                    (4, false) => Some(Dtype::U32),
                    (8, false) => Some(Dtype::U64),
                    _ => None,
                };
                (dtype, *byte_order)
            }
            Datatype::FloatingPoint { size: 4, byte_order, layout }
                if *layout == FloatingPointLayout::IEEE754_BINARY32 =>
            {
                (Some(Dtype::F32), *byte_order)
            }
            Datatype::FloatingPoint { size: 8, byte_order, layout }
                if *layout == FloatingPointLayout::IEEE754_BINARY64 =>
            {
                (Some(Dtype::F64), *byte_order)
            }
            Datatype::Enumeration { .. } if is_bool(datatype) => {
                (Some(Dtype::Bool), DatatypeByteOrder::LittleEndian)
            }
            _ => (None, DatatypeByteOrder::LittleEndian),
        };
        match (dtype, order) {
            (Some(dtype), DatatypeByteOrder::LittleEndian) => Ok(Self { dtype, is_big_endian: false }),
            (Some(dtype), DatatypeByteOrder::BigEndian) => Ok(Self { dtype, is_big_endian: true }),
            _ => Err(DataError::unsupported(place, format!("values of type {datatype}"))),
        }
    }
}

/// Whether a type is the enumeration that h5py makes of truth values.
pub(super) fn is_bool(datatype: &Datatype) -> bool {
    match datatype {
        Datatype::Enumeration { size: 1, members, .. } => {
            members.len() == 2
                && members.iter().any(|member| member.name == "FALSE" && member.value == [0])
                && members.iter().any(|member| member.name == "TRUE" && member.value == [1])
        }
        _ => false,
    }
}

/// The type that h5py reads as that kind.
pub(super) fn datatype_of(dtype: Dtype) -> Result<Datatype, DataError> {
    Ok(match dtype {
        Dtype::Bool => {
            let builder =
                EnumTypeBuilder::with_base(make_i8_type()).raw_value("FALSE", &[0]).raw_value("TRUE", &[1]);
            builder
                .build()
                .map_err(hdf5_pure::Error::from)
                .map_err(DataError::hdf5("the type of truth values"))?
        }
        Dtype::I8 => make_i8_type(),
        Dtype::I16 => make_i16_type(),
        Dtype::I32 => make_i32_type(),
        Dtype::I64 => make_i64_type(),
        Dtype::U8 => make_u8_type(),
        Dtype::U16 => make_u16_type(),
        Dtype::U32 => make_u32_type(),
        Dtype::U64 => make_u64_type(),
        Dtype::F32 => make_f32_type(),
        Dtype::F64 => make_f64_type(),
    })
}
