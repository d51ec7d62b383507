//! JSON as Python writes it: objects keep their order, which is the order of a space's parts, and numbers may be `NaN`,
//! `Infinity` or `-Infinity`, which bounds and scores are and which other readers of JSON refuse.

mod parse;

use std::fmt::Write as _;

use crate::DataError;

/// A value of a metadata file.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `null`.
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// A number without fraction or exponent that fits.
    Integer(i128),
    /// Any other number, also `NaN` and the infinities.
    Number(f64),
    /// A string.
    Text(String),
    /// An array.
    List(Vec<Value>),
    /// An object, in its order; of a repeated key, the last value counts, as in Python.
    Object(Vec<(String, Value)>),
}

impl Value {
    /// Reads a JSON text.
    ///
    /// # Errors
    /// [`DataError::Json`] names the first byte that does not fit, or a nesting of more than 128.
    pub fn parse(text: &str) -> Result<Self, DataError> {
        parse::parse(text)
    }

    /// The JSON text, in one line, with the separators that Python writes.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut text = String::new();
        self.write(&mut text);
        text
    }

    /// The value of a key, where this is an object that has it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Object(entries) => {
                entries.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value)
            }
            _ => None,
        }
    }

    /// The text, where this is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The number, where this is one or a truth value, which Python counts as 0 and 1.
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Boolean(flag) => Some(f64::from(u8::from(*flag))),
            Self::Integer(integer) => Some(*integer as f64),
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// The integer, where this is one that fits.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Integer(integer) => i64::try_from(*integer).ok(),
            _ => None,
        }
    }

    /// The items, where this is a list.
    #[must_use]
    pub fn as_list(&self) -> Option<&[Self]> {
        match self {
            Self::List(items) => Some(items),
            _ => None,
        }
    }

    /// The entries in order, where this is an object.
    #[must_use]
    pub fn as_object(&self) -> Option<&[(String, Self)]> {
        match self {
            Self::Object(entries) => Some(entries),
            _ => None,
        }
    }

    /// What kind of value this is, for an error.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean(_) => "a truth value",
            Self::Integer(_) => "an integer",
            Self::Number(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }

    fn write(&self, text: &mut String) {
        // Writing into a `String` cannot fail.
        match self {
            Self::Null => text.push_str("null"),
            Self::Boolean(flag) => text.push_str(if *flag { "true" } else { "false" }),
            Self::Integer(integer) => {
                let _ = write!(text, "{integer}");
            }
            Self::Number(number) if number.is_nan() => text.push_str("NaN"),
            Self::Number(number) if number.is_infinite() => {
                text.push_str(if *number > 0.0 { "Infinity" } else { "-Infinity" });
            }
            Self::Number(number) => {
                let _ = write!(text, "{number:?}");
            }
            Self::Text(string) => write_text(string, text),
            Self::List(items) => {
                text.push('[');
                for (index, item) in items.iter().enumerate() {
                    text.push_str(if index == 0 { "" } else { ", " });
                    item.write(text);
                }
                text.push(']');
            }
            Self::Object(entries) => {
                text.push('{');
                for (index, (key, value)) in entries.iter().enumerate() {
                    text.push_str(if index == 0 { "" } else { ", " });
                    write_text(key, text);
                    text.push_str(": ");
                    value.write(text);
                }
                text.push('}');
            }
        }
    }
}

/// Everything but ASCII is escaped, as Python does: the file reads the same under every locale.
fn write_text(string: &str, text: &mut String) {
    text.push('"');
    for character in string.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            ' '..='~' => text.push(character),
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    let _ = write!(text, "\\u{unit:04x}");
                }
            }
        }
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_json_does_not_know_survive() {
        let text =
            r#"{"low": [-Infinity, 0.1, NaN], "high": [Infinity, 1e+300, -0.0], "n": 18446744073709551615}"#;
        let value = Value::parse(text).expect("text is right");
        let again = Value::parse(&value.to_json()).expect("own text is right");
        assert_eq!(value.to_json(), again.to_json());
        assert_eq!(value.get("n"), Some(&Value::Integer(u64::MAX.into())));
        let low = value.get("low").and_then(Value::as_list).expect("a list");
        assert_eq!(low[0], Value::Number(f64::NEG_INFINITY));
        assert!(low[2].as_f64().is_some_and(f64::is_nan));
    }

    #[test]
    fn texts_are_escaped_as_python_does_and_read_back() {
        let value = Value::Text("a\"b\\c\n\u{1}é\u{1F600}\u{7f}".to_owned());
        assert_eq!(value.to_json(), r#""a\"b\\c\n\u0001\u00e9\ud83d\ude00\u007f""#);
        assert_eq!(Value::parse(&value.to_json()).expect("own text"), value);
    }

    #[test]
    fn objects_keep_their_order_and_the_last_of_a_repeated_key_counts() {
        let value = Value::parse(r#"{"b": 1, "a": 2, "b": 3}"#).expect("text is right");
        assert_eq!(value.get("b"), Some(&Value::Integer(3)));
        assert_eq!(value.as_object().map(|entries| entries[0].0.as_str()), Some("b"));
    }

    #[test]
    fn damaged_texts_are_errors() {
        let deep = "[".repeat(100_000);
        for text in [
            "",
            "{",
            "[1,",
            "[1 2]",
            "tru",
            "\"a",
            "\"\\u12\"",
            "\"\\ud800\"",
            "01",
            "-",
            "1.",
            "1e",
            "+1",
            "{1: 2}",
            "[1] x",
            "nan",
            &deep,
            "\"\u{1}\"",
            "\"\\ud800\\u0041\"",
            ".5",
            "[,]",
            "{\"a\":}",
        ] {
            let error = Value::parse(text).expect_err(text);
            assert!(matches!(error, DataError::Json { .. }), "{error}");
        }
    }
}
