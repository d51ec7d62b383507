//! The JSON of Minari's `serialize_space`, with the fields in its order.

use super::Space;
use crate::{DataError, Dtype, Value};

/// Nested lists of numbers beyond this many dimensions are refused, as NumPy does beyond 64.
const MAXIMUM_DIMENSIONS: usize = 64;

pub(super) fn read(value: &Value, place: &str) -> Result<Space, DataError> {
    let Some(kind) = value.get("type").and_then(Value::as_text) else {
        return Err(DataError::mismatch(place, "an object with a type", value.kind()));
    };
    match kind {
        "Box" => read_box(value, place),
        "Discrete" => {
            let start = value.get("start").map_or(Ok(0), |start| integer(start, &within(place, "start")))?;
            let n = integer(field(value, "n", place)?, &within(place, "n"))?;
            if n < 1 {
                return Err(DataError::mismatch(within(place, "n"), "at least 1", n));
            }
            Ok(Space::Discrete { start, n })
        }
        "MultiDiscrete" => read_multi_discrete(value, place),
        "MultiBinary" => {
            let n = field(value, "n", place)?;
            let shape = match n {
                Value::List(_) => shape_of(n, &within(place, "n"))?,
                _ => vec![dimension(n, &within(place, "n"))?],
            };
            Ok(Space::MultiBinary { shape })
        }
        "Text" => {
            let length = |name| {
                let length = integer(field(value, name, place)?, &within(place, name))?;
                u64::try_from(length)
                    .map_err(|_| DataError::mismatch(within(place, name), "at least 0", length))
            };
            let charset = field(value, "charset", place)?;
            let Some(charset) = charset.as_text() else {
                return Err(DataError::mismatch(within(place, "charset"), "a text", charset.kind()));
            };
            Ok(Space::Text {
                max_length: length("max_length")?,
                min_length: length("min_length")?,
                charset: charset.to_owned(),
            })
        }
        "Dict" => {
            let parts = field(value, "subspaces", place)?;
            let Some(parts) = parts.as_object() else {
                return Err(DataError::mismatch(within(place, "subspaces"), "an object", parts.kind()));
            };
            let mut spaces: Vec<(String, Space)> = Vec::with_capacity(parts.len());
            for (name, part) in parts {
                if spaces.iter().any(|(other, _)| other == name) {
                    return Err(DataError::mismatch(
                        within(place, name),
                        "named once",
                        "a second of that name",
                    ));
                }
                spaces.push((name.clone(), read(part, &within(place, name))?));
            }
            Ok(Space::Dict(spaces))
        }
        "Tuple" => {
            let parts = field(value, "subspaces", place)?;
            let Some(parts) = parts.as_list() else {
                return Err(DataError::mismatch(within(place, "subspaces"), "a list", parts.kind()));
            };
            let parts = parts.iter().enumerate();
            parts
                .map(|(index, part)| read(part, &within(place, &index.to_string())))
                .collect::<Result<_, _>>()
                .map(Space::Tuple)
        }
        _ => Err(DataError::unsupported(place, format!("a space of type {kind}"))),
    }
}

pub(super) fn write(space: &Space) -> Value {
    let text = |text: &str| Value::Text(text.to_owned());
    let sizes =
        |shape: &[usize]| Value::List(shape.iter().map(|size| Value::Integer(*size as i128)).collect());
    let mut entries = vec![("type".to_owned(), text(space.kind()))];
    let mut add = |name: &str, value| entries.push((name.to_owned(), value));
    match space {
        Space::Box { dtype, shape, low, high } => {
            add("dtype", text(dtype.name()));
            add("shape", sizes(shape));
            add("low", nested(shape, &mut low.iter().map(|bound| number(*bound, *dtype))));
            add("high", nested(shape, &mut high.iter().map(|bound| number(*bound, *dtype))));
        }
        Space::Discrete { start, n } => {
            add("dtype", text("int64"));
            add("start", Value::Integer((*start).into()));
            add("n", Value::Integer((*n).into()));
        }
        Space::MultiDiscrete { dtype, shape, nvec, start } => {
            add("dtype", text(dtype.name()));
            add("nvec", nested(shape, &mut nvec.iter().map(|count| Value::Integer((*count).into()))));
            add("start", nested(shape, &mut start.iter().map(|least| Value::Integer((*least).into()))));
        }
        Space::MultiBinary { shape } => match shape.as_slice() {
            [n] => add("n", Value::Integer(*n as i128)),
            _ => add("n", sizes(shape)),
        },
        Space::Text { max_length, min_length, charset } => {
            add("max_length", Value::Integer((*max_length).into()));
            add("min_length", Value::Integer((*min_length).into()));
            add("charset", text(charset));
        }
        Space::Dict(parts) => {
            add(
                "subspaces",
                Value::Object(parts.iter().map(|(name, part)| (name.clone(), write(part))).collect()),
            );
        }
        Space::Tuple(parts) => add("subspaces", Value::List(parts.iter().map(write).collect())),
    }
    Value::Object(entries)
}

fn read_box(value: &Value, place: &str) -> Result<Space, DataError> {
    let dtype = dtype_of(value, place)?;
    let shape = shape_of(field(value, "shape", place)?, &within(place, "shape"))?;
    let bounds = |name| {
        let place_of_bounds = within(place, name);
        let mut bounds = Vec::new();
        flatten(field(value, name, place)?, &shape, &place_of_bounds, &mut |item| {
            let bound = item.as_f64();
            bounds.push(bound.ok_or_else(|| DataError::mismatch(&place_of_bounds, "numbers", item.kind()))?);
            Ok(())
        })?;
        Ok(bounds)
    };
    let (low, high) = (bounds("low")?, bounds("high")?);
    Ok(Space::Box { dtype, shape, low, high })
}

fn read_multi_discrete(value: &Value, place: &str) -> Result<Space, DataError> {
    let dtype = dtype_of(value, place)?;
    let list = field(value, "nvec", place)?;
    let mut shape = Vec::new();
    let mut inner = list;
    while let Some(items) = inner.as_list() {
        if shape.len() == MAXIMUM_DIMENSIONS {
            return Err(DataError::mismatch(within(place, "nvec"), "at most 64 dimensions", "more"));
        }
        shape.push(items.len());
        match items.first() {
            Some(first) => inner = first,
            None => {
                return Err(DataError::mismatch(
                    within(place, "nvec"),
                    "at least one number",
                    "an empty list",
                ));
            }
        }
    }
    let integers = |list: &Value, name| {
        let place = within(place, name);
        let mut integers = Vec::new();
        flatten(list, &shape, &place, &mut |item| {
            integers.push(integer(item, &place)?);
            Ok(())
        })?;
        Ok(integers)
    };
    let nvec: Vec<i64> = integers(list, "nvec")?;
    let start = match value.get("start") {
        Some(list) => integers(list, "start")?,
        None => vec![0; nvec.len()],
    };
    Ok(Space::MultiDiscrete { dtype, shape, nvec, start })
}

fn field<'value>(value: &'value Value, name: &str, place: &str) -> Result<&'value Value, DataError> {
    value.get(name).ok_or_else(|| DataError::mismatch(within(place, name), "given", "nothing"))
}

fn dtype_of(value: &Value, place: &str) -> Result<Dtype, DataError> {
    let place_of_dtype = within(place, "dtype");
    let name = field(value, "dtype", place)?;
    let name = name.as_text().ok_or_else(|| DataError::mismatch(&place_of_dtype, "a text", name.kind()))?;
    Dtype::from_name(name).ok_or_else(|| DataError::unsupported(place_of_dtype, format!("numbers of {name}")))
}

fn integer(value: &Value, place: &str) -> Result<i64, DataError> {
    value.as_i64().ok_or_else(|| DataError::mismatch(place, "an integer of 64 bits", value.kind()))
}

fn dimension(value: &Value, place: &str) -> Result<usize, DataError> {
    let size = integer(value, place)?;
    match usize::try_from(size) {
        Ok(size) if size > 0 => Ok(size),
        _ => Err(DataError::mismatch(place, "at least 1", size)),
    }
}

fn shape_of(value: &Value, place: &str) -> Result<Vec<usize>, DataError> {
    let sizes = value.as_list().ok_or_else(|| DataError::mismatch(place, "a list", value.kind()))?;
    let shape = sizes.iter().map(|size| dimension(size, place)).collect::<Result<Vec<_>, _>>()?;
    let bytes = shape.iter().try_fold(8_usize, |bytes, size| bytes.checked_mul(*size));
    match bytes {
        Some(_) => Ok(shape),
        None => Err(DataError::mismatch(place, "of a size that can be counted", format!("{shape:?}"))),
    }
}

/// Visits the numbers of nested lists, whose lengths must be those of the shape.
fn flatten(
    value: &Value,
    shape: &[usize],
    place: &str,
    visit: &mut impl FnMut(&Value) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let Some((size, inner)) = shape.split_first() else {
        return visit(value);
    };
    match value.as_list() {
        Some(items) if items.len() == *size => {
            items.iter().try_for_each(|item| flatten(item, inner, place, visit))
        }
        Some(items) => {
            Err(DataError::mismatch(place, format!("a list of {size}"), format!("one of {}", items.len())))
        }
        None => Err(DataError::mismatch(place, format!("a list of {size}"), value.kind())),
    }
}

/// The opposite of [`flatten`].
fn nested(shape: &[usize], items: &mut impl Iterator<Item = Value>) -> Value {
    match shape.split_first() {
        None => items.next().unwrap_or(Value::Null),
        Some((size, inner)) => Value::List((0..*size).map(|_| nested(inner, items)).collect()),
    }
}

fn number(bound: f64, dtype: Dtype) -> Value {
    match dtype.integer_range() {
        Some(_) if dtype == Dtype::Bool => Value::Boolean(bound != 0.0),
        Some((least, greatest)) => Value::Integer((bound as i128).clamp(least, greatest)),
        None => Value::Number(bound),
    }
}

fn within(place: &str, name: &str) -> String {
    format!("{place}.{name}")
}
