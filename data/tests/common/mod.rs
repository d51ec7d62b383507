//! What several tests of data sets need.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "every test takes what it needs")]

use std::path::PathBuf;

use agon_data::{Array, Column, Value};

pub(crate) fn golden() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests").join("golden")
}

pub(crate) fn expected() -> Value {
    let text = std::fs::read_to_string(golden().join("expected.json")).expect("expected values");
    Value::parse(&text).expect("expected values are JSON")
}

/// Copies a folder with all that is in it.
pub(crate) fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).expect("a copy");
        }
    }
}

/// Objects by name: HDF5 keeps no order of attributes.
pub(crate) fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(entries) => {
            let mut entries: Vec<_> =
                entries.iter().map(|(name, value)| (name.clone(), sorted(value))).collect();
            entries.sort_by(|one, other| one.0.cmp(&other.0));
            Value::Object(entries)
        }
        other => other.clone(),
    }
}

/// Compares a column with what the generator says, bit for bit.
pub(crate) fn matches(column: &Column, wanted: &Value, place: &str) {
    match column {
        Column::Dict(parts) => {
            let wanted = wanted.get("dict").and_then(Value::as_list).expect(place);
            assert_eq!(parts.len(), wanted.len(), "{place}");
            for ((name, part), wanted) in parts.iter().zip(wanted) {
                let [wanted_name, wanted] = wanted.as_list().expect(place) else { panic!("{place}") };
                assert_eq!(Some(name.as_str()), wanted_name.as_text(), "{place}");
                matches(part, wanted, &format!("{place}.{name}"));
            }
        }
        Column::Tuple(parts) => {
            let wanted = wanted.get("tuple").and_then(Value::as_list).expect(place);
            assert_eq!(parts.len(), wanted.len(), "{place}");
            for (index, (part, wanted)) in parts.iter().zip(wanted).enumerate() {
                matches(part, wanted, &format!("{place}.{index}"));
            }
        }
        Column::Text(texts) => {
            let wanted = wanted.get("text").and_then(Value::as_list).expect(place);
            let wanted: Vec<_> = wanted.iter().filter_map(Value::as_text).collect();
            assert_eq!(texts, &wanted, "{place}");
        }
        Column::Array(array) => matches_array(array, wanted, place),
        Column::Jpeg(_) => panic!("{place} has frames"),
    }
}

fn matches_array(array: &Array, wanted: &Value, place: &str) {
    assert_eq!(Some(array.dtype().name()), wanted.get("dtype").and_then(Value::as_text), "{place}");
    let shape: Vec<_> =
        wanted.get("shape").and_then(Value::as_list).expect(place).iter().filter_map(Value::as_i64).collect();
    assert_eq!(array.shape().iter().map(|size| *size as i64).collect::<Vec<_>>(), shape, "{place}");
    let values: Vec<_> = wanted
        .get("values")
        .and_then(Value::as_list)
        .expect(place)
        .iter()
        .filter_map(Value::as_f64)
        .collect();
    assert_eq!(array.to_f64().expect(place), values, "{place}");
}
