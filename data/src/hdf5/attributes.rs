//! Metadata of an episode as attributes of its group, where options are flattened to `options/name`.

use std::collections::{BTreeMap, HashMap};

use hdf5_pure::{AttrValue, Datatype};

use super::kind::is_bool;
use crate::{DataError, Value};

/// The attributes of a group by name, with objects unflattened.
pub(super) fn read(
    attributes: &HashMap<String, AttrValue>,
    datatypes: &HashMap<String, Datatype>,
) -> Result<BTreeMap<String, Value>, DataError> {
    let mut values = BTreeMap::new();
    // The library leaves out of the values what it cannot read, but not out of the types.
    let sorted: BTreeMap<_, _> = datatypes.iter().collect();
    for (name, datatype) in sorted {
        let place = format!("attribute {name}");
        let value = match attributes.get(name) {
            Some(value) => value_of(value, is_bool(datatype)),
            None => None,
        };
        let value =
            value.ok_or_else(|| DataError::unsupported(&place, format!("values of type {datatype}")))?;
        match name.split_once('/') {
            None => {
                values.insert(name.clone(), value);
            }
            Some((object, path)) => {
                let object = values.entry(object.to_owned()).or_insert_with(|| Value::Object(Vec::new()));
                insert(object, path, value, &place)?;
            }
        }
    }
    Ok(values)
}

/// The attributes that a value is: one, or for an object one for each of its leaves.
pub(super) fn write(name: &str, value: &Value) -> Result<Vec<(String, AttrValue)>, DataError> {
    let place = format!("attribute {name}");
    let Value::Object(entries) = value else {
        let attribute = attribute_of(value);
        let attribute =
            attribute.ok_or_else(|| DataError::unsupported(place, format!("{} in HDF5", value.to_json())))?;
        return Ok(vec![(name.to_owned(), attribute)]);
    };
    let mut attributes = Vec::new();
    for (key, value) in entries {
        if key.is_empty() || key.contains('/') {
            return Err(DataError::mismatch(place, "keys without /", format!("{key:?}")));
        }
        attributes.extend(write(&format!("{name}/{key}"), value)?);
    }
    Ok(attributes)
}

fn insert(object: &mut Value, path: &str, value: Value, place: &str) -> Result<(), DataError> {
    let Value::Object(entries) = object else {
        return Err(DataError::mismatch(place, "in an object", "a value of the same name"));
    };
    let Some((key, path)) = path.split_once('/') else {
        entries.push((path.to_owned(), value));
        return Ok(());
    };
    if !entries.iter().any(|(other, _)| other == key) {
        entries.push((key.to_owned(), Value::Object(Vec::new())));
    }
    match entries.iter_mut().find(|(other, _)| other == key) {
        Some((_, inner)) => insert(inner, path, value, place),
        None => Ok(()),
    }
}

fn value_of(attribute: &AttrValue, is_bool: bool) -> Option<Value> {
    let text = |text: &String| Value::Text(text.clone());
    if let Some(string) = attribute.as_str() {
        return Some(Value::Text(string.to_owned()));
    }
    if let Some(strings) = attribute.as_strings() {
        return Some(Value::List(strings.iter().map(text).collect()));
    }
    if let Some(integer) = attribute.as_i64() {
        return Some(if is_bool { Value::Boolean(integer != 0) } else { Value::Integer(integer.into()) });
    }
    if let Some(integer) = attribute.as_u64() {
        return Some(Value::Integer(integer.into()));
    }
    if let Some(number) = attribute.as_f64() {
        return Some(Value::Number(number));
    }
    let list = |items: Vec<Value>| Some(Value::List(items));
    if let Some(integers) = attribute.to_i64s() {
        let item = |integer| {
            if is_bool { Value::Boolean(integer != 0) } else { Value::Integer(i128::from(integer)) }
        };
        return list(integers.into_iter().map(item).collect());
    }
    if let Some(integers) = attribute.to_u64s() {
        return list(integers.into_iter().map(|integer| Value::Integer(integer.into())).collect());
    }
    list(attribute.to_f64s()?.into_iter().map(Value::Number).collect())
}

fn attribute_of(value: &Value) -> Option<AttrValue> {
    Some(match value {
        Value::Boolean(flag) => AttrValue::U8(u8::from(*flag)),
        Value::Integer(integer) => match i64::try_from(*integer) {
            Ok(integer) => AttrValue::I64(integer),
            Err(_) => AttrValue::U64(u64::try_from(*integer).ok()?),
        },
        Value::Number(number) => AttrValue::F64(*number),
        Value::Text(text) if !text.contains('\0') => AttrValue::VarLenString(text.clone()),
        Value::List(items) if items.is_empty() => return None,
        Value::List(items) => {
            if let Some(integers) = items.iter().map(Value::as_i64).collect::<Option<Vec<_>>>() {
                AttrValue::I64Array(integers)
            } else if items.iter().any(|item| matches!(item, Value::Boolean(_))) {
                return None;
            } else if let Some(numbers) = items.iter().map(Value::as_f64).collect::<Option<Vec<_>>>() {
                AttrValue::F64Array(numbers)
            } else {
                let texts = items
                    .iter()
                    .map(|item| item.as_text().filter(|text| !text.contains('\0')).map(str::to_owned));
                AttrValue::VarLenStringArray(texts.collect::<Option<_>>()?)
            }
        }
        Value::Null | Value::Text(_) | Value::Object(_) => return None,
    })
}
