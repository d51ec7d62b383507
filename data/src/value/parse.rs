//! From text to [`Value`].

use crate::{DataError, Value};

/// Deeper texts are refused, since every level takes a frame of the stack.
const MAXIMUM_DEPTH: usize = 128;

pub(super) fn parse(text: &str) -> Result<Value, DataError> {
    let mut parser = Parser { text, position: 0 };
    let value = parser.value(0)?;
    parser.skip_space();
    match parser.peek() {
        None => Ok(value),
        Some(_) => Err(parser.error("the end")),
    }
}

struct Parser<'text> {
    text: &'text str,
    position: usize,
}

impl Parser<'_> {
    fn value(&mut self, depth: usize) -> Result<Value, DataError> {
        self.skip_space();
        if depth > MAXIMUM_DEPTH {
            return Err(self.error("a nesting of at most 128"));
        }
        for (word, value) in [
            ("null", Value::Null),
            ("true", Value::Boolean(true)),
            ("false", Value::Boolean(false)),
            ("NaN", Value::Number(f64::NAN)),
            ("Infinity", Value::Number(f64::INFINITY)),
            ("-Infinity", Value::Number(f64::NEG_INFINITY)),
        ] {
            if self.rest().starts_with(word) {
                self.position += word.len();
                return Ok(value);
            }
        }
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.list(depth),
            Some(b'"') => self.string().map(Value::Text),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => Err(self.error("a value")),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, DataError> {
        self.position += 1;
        let mut entries = Vec::new();
        self.skip_space();
        if self.take(b'}') {
            return Ok(Value::Object(entries));
        }
        loop {
            self.skip_space();
            if self.peek() != Some(b'"') {
                return Err(self.error("a key"));
            }
            let key = self.string()?;
            self.skip_space();
            if !self.take(b':') {
                return Err(self.error("a colon"));
            }
            entries.push((key, self.value(depth + 1)?));
            self.skip_space();
            if self.take(b'}') {
                return Ok(Value::Object(entries));
            }
            if !self.take(b',') {
                return Err(self.error("a comma or }"));
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value, DataError> {
        self.position += 1;
        let mut items = Vec::new();
        self.skip_space();
        if self.take(b']') {
            return Ok(Value::List(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.skip_space();
            if self.take(b']') {
                return Ok(Value::List(items));
            }
            if !self.take(b',') {
                return Err(self.error("a comma or ]"));
            }
        }
    }

    fn number(&mut self) -> Result<Value, DataError> {
        let start = self.position;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        let mut is_integer = true;
        if self.take(b'.') {
            is_integer = false;
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            is_integer = false;
            let _sign = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'0'..=b'9')) {
            return Err(self.error("no digit after a leading zero"));
        }
        let token = &self.text[start..self.position];
        if is_integer && let Ok(integer) = token.parse() {
            return Ok(Value::Integer(integer));
        }
        token.parse().map(Value::Number).map_err(|_| self.error("a number"))
    }

    fn digits(&mut self) -> Result<(), DataError> {
        let start = self.position;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.position += 1;
        }
        if self.position == start { Err(self.error("a digit")) } else { Ok(()) }
    }

    fn string(&mut self) -> Result<String, DataError> {
        self.position += 1;
        let mut string = String::new();
        loop {
            let rest = self.rest();
            let Some(end) = rest.find(|character| character == '"' || character == '\\' || character < ' ')
            else {
                self.position = self.text.len();
                return Err(self.error("the end of the text"));
            };
            string.push_str(&rest[..end]);
            self.position += end;
            if self.take(b'"') {
                return Ok(string);
            }
            if !self.take(b'\\') {
                return Err(self.error("no control character"));
            }
            string.push(self.escape()?);
        }
    }

    fn escape(&mut self) -> Result<char, DataError> {
        let character = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(),
            _ => return Err(self.error("an escape")),
        };
        self.position += 1;
        Ok(character)
    }

    fn unicode(&mut self) -> Result<char, DataError> {
        let first = self.unit()?;
        let mut units = vec![first];
        if (0xd800..0xdc00).contains(&first) {
            if !self.take(b'\\') {
                return Err(self.error("the second half of a pair"));
            }
            units.push(self.unit()?);
        }
        match char::decode_utf16(units).next() {
            Some(Ok(character)) => Ok(character),
            _ => Err(self.error("a whole pair")),
        }
    }

    /// The four digits after `u`.
    fn unit(&mut self) -> Result<u16, DataError> {
        if !self.take(b'u') {
            return Err(self.error("the letter u"));
        }
        let digits = self
            .text
            .get(self.position..self.position + 4)
            .filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()));
        let unit = digits.and_then(|digits| u16::from_str_radix(digits, 16).ok());
        let unit = unit.ok_or_else(|| self.error("four hexadecimal digits"))?;
        self.position += 4;
        Ok(unit)
    }

    fn rest(&self) -> &str {
        self.text.get(self.position..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.position).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let is_there = self.peek() == Some(byte);
        self.position += usize::from(is_there);
        is_there
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.position += 1;
        }
    }

    fn error(&self, expected: &'static str) -> DataError {
        let found = match self.rest().chars().next() {
            Some(character) => format!("{character:?}"),
            None => "the end".to_owned(),
        };
        DataError::Json { expected, position: self.position, found }
    }
}
