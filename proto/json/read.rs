//! From JSON text to messages.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::marker::PhantomData;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::error::{JsonError, JsonErrorKind as Kind};
use super::scan;

/// Deepest nesting of messages, as Protobuf has it. Payloads may nest deeper.
const MAX_MESSAGE_DEPTH: u32 = 100;

/// A message that can be filled field by field. Generated for each message with a JSON form.
pub trait ReadFields {
    /// Keys of the fields, in the order of their indexes.
    fn field_names(&self) -> &'static [&'static str];

    /// Reads the value of the field with this index, replacing what the field held.
    fn read_field(&mut self, index: usize, reader: &mut Reader<'_>) -> Result<(), JsonError>;
}

/// Decodes a message from JSON.
///
/// Unknown fields are skipped, keys match regardless of ASCII case, `null` is the same as an
/// absent field except in raw payloads, which keep it, and the last of several equal keys counts.
/// The value `null` itself is the empty message. Nothing is allocated for a declared size; memory
/// is bounded by the length of the text.
pub trait JsonDecode: ReadFields + Default {
    /// Decodes a text that holds this message and nothing else but white space.
    ///
    /// # Errors
    /// [`JsonError`] if the text is not one JSON object (or `null`) with fitting values.
    fn decode_json(input: &[u8]) -> Result<Self, JsonError> {
        let mut reader = Reader::new(input)?;
        let message = reader.top_level()?;
        reader.finish()?;
        Ok(message)
    }

    /// Decodes the message at the start of a text; returns it with its length in bytes. What
    /// follows must be UTF-8 but is otherwise not looked at.
    ///
    /// # Errors
    /// As [`decode_json`](Self::decode_json), except for what follows.
    fn decode_json_prefix(input: &[u8]) -> Result<(Self, usize), JsonError> {
        let mut reader = Reader::new(input)?;
        let message = reader.top_level()?;
        Ok((message, reader.position))
    }

    /// Like [`decode_json_prefix`](Self::decode_json_prefix), but raw payloads are slices of
    /// `input` and keep all of it alive: for messages that are soon dropped.
    ///
    /// # Errors
    /// As [`decode_json_prefix`](Self::decode_json_prefix).
    fn decode_json_prefix_shared(input: &Bytes) -> Result<(Self, usize), JsonError> {
        let mut reader = Reader::new(input)?;
        reader.source = Some(input);
        let message = reader.top_level()?;
        Ok((message, reader.position))
    }
}

impl<M: ReadFields + Default> JsonDecode for M {}

/// Messages that follow one another in a text, white space between them or not.
///
/// Yields at most one error, after which nothing follows.
pub struct Sequence<'a, M> {
    reader: Reader<'a>,
    failed: bool,
    message: PhantomData<fn() -> M>,
}

impl<'a, M> Sequence<'a, M> {
    /// The messages of a text.
    ///
    /// # Errors
    /// [`JsonError`] if the text is not UTF-8.
    pub fn new(input: &'a [u8]) -> Result<Self, JsonError> {
        Ok(Self { reader: Reader::new(input)?, failed: false, message: PhantomData })
    }
}

impl<M: ReadFields + Default> Iterator for Sequence<'_, M> {
    type Item = Result<M, JsonError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.reader.peek().is_none() {
            return None;
        }
        let result = self.reader.top_level();
        self.failed = result.is_err();
        Some(result)
    }
}

/// A cursor over JSON text. Methods read one value each and, unless they say otherwise, take
/// `null` for the zero value.
pub struct Reader<'a> {
    text: &'a str,
    position: usize,
    /// Holds the same bytes as `text`, when payloads may share them.
    source: Option<&'a Bytes>,
    depth: u32,
}

impl<'a> Reader<'a> {
    fn new(input: &'a [u8]) -> Result<Self, JsonError> {
        let text = std::str::from_utf8(input)
            .map_err(|error| JsonError::new(Kind::InvalidUtf8, error.valid_up_to()))?;
        Ok(Self { text, position: 0, source: None, depth: 0 })
    }

    fn top_level<M: ReadFields + Default>(&mut self) -> Result<M, JsonError> {
        Ok(self.message()?.unwrap_or_default())
    }

    fn finish(mut self) -> Result<(), JsonError> {
        if self.peek().is_some() {
            return Err(self.error(Kind::TrailingData));
        }
        Ok(())
    }

    /// Reads a message, `None` for `null`.
    pub fn message<M: ReadFields + Default>(&mut self) -> Result<Option<M>, JsonError> {
        if self.null()? {
            return Ok(None);
        }
        let mut message = M::default();
        self.object(&mut message)?;
        Ok(Some(message))
    }

    /// Reads a message as an element of a list or map; `null` is the empty message.
    pub fn element<M: ReadFields + Default>(&mut self) -> Result<M, JsonError> {
        Ok(self.message()?.unwrap_or_default())
    }

    /// Whether the next value is a string.
    pub fn at_string(&mut self) -> bool {
        self.peek() == Some(b'"')
    }

    /// An error that says what the value just read should have been.
    #[cold]
    pub fn wrong_value(&self, expected: &'static str) -> JsonError {
        self.error(Kind::WrongType(expected))
    }

    /// Reads a list with `item`.
    pub fn list<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T, JsonError>,
    ) -> Result<Vec<T>, JsonError> {
        let mut items = Vec::new();
        if self.null()? {
            return Ok(items);
        }
        self.open(b'[', "an array")?;
        if self.closes(b']') {
            return Ok(items);
        }
        loop {
            items.push(item(self)?);
            if !self.goes_on(b']')? {
                return Ok(items);
            }
        }
    }

    /// Reads an object as a map with `value`.
    pub fn map<T>(
        &mut self,
        mut value: impl FnMut(&mut Self) -> Result<T, JsonError>,
    ) -> Result<BTreeMap<String, T>, JsonError> {
        let mut map = BTreeMap::new();
        if self.null()? {
            return Ok(map);
        }
        self.open(b'{', "an object")?;
        if self.closes(b'}') {
            return Ok(map);
        }
        loop {
            let key = self.key()?.into_owned();
            map.insert(key, value(self)?);
            if !self.goes_on(b'}')? {
                return Ok(map);
            }
        }
    }

    /// Reads a string.
    pub fn string(&mut self) -> Result<String, JsonError> {
        if self.null()? {
            return Ok(String::new());
        }
        Ok(self.string_value()?.into_owned())
    }

    /// Reads a string as its UTF-8 bytes.
    pub fn text(&mut self) -> Result<Bytes, JsonError> {
        self.string().map(Bytes::from)
    }

    /// Reads a string of standard base64 as the bytes it stands for.
    pub fn base64(&mut self) -> Result<Bytes, JsonError> {
        if self.null()? {
            return Ok(Bytes::new());
        }
        let start = self.position;
        let encoded = self.string_value()?;
        let decoded =
            STANDARD.decode(encoded.as_bytes()).map_err(|_| JsonError::new(Kind::InvalidBase64, start))?;
        Ok(decoded.into())
    }

    /// Captures one value as it is written, `null` too.
    pub fn raw(&mut self) -> Result<Bytes, JsonError> {
        let start = self.next_value();
        self.position = scan::value_end(self.bytes(), start)?;
        Ok(match self.source {
            Some(source) => source.slice(start..self.position),
            None => Bytes::copy_from_slice(&self.bytes()[start..self.position]),
        })
    }

    /// Reads `true` or `false`.
    pub fn bool(&mut self) -> Result<bool, JsonError> {
        if self.null()? {
            return Ok(false);
        }
        let (value, literal) = match self.peek() {
            Some(b't') => (true, b"true".as_slice()),
            Some(b'f') => (false, b"false".as_slice()),
            _ => return Err(self.wrong_type("a boolean")),
        };
        self.position = scan::literal_end(self.bytes(), self.position, literal)?;
        Ok(value)
    }

    /// Reads an integer from 0 to 2³² − 1.
    pub fn u32(&mut self) -> Result<u32, JsonError> {
        self.integer("an unsigned 32-bit integer")
    }

    /// Reads an integer from 0 to 2⁶⁴ − 1.
    pub fn u64(&mut self) -> Result<u64, JsonError> {
        self.integer("an unsigned 64-bit integer")
    }

    /// Reads an integer from −2³¹ to 2³¹ − 1.
    pub fn i32(&mut self) -> Result<i32, JsonError> {
        self.integer("a signed 32-bit integer")
    }

    /// Reads an integer from −2⁶³ to 2⁶³ − 1.
    pub fn i64(&mut self) -> Result<i64, JsonError> {
        self.integer("a signed 64-bit integer")
    }

    /// Reads any number as the nearest double.
    pub fn f64(&mut self) -> Result<f64, JsonError> {
        if self.null()? {
            return Ok(0.0);
        }
        let start = self.position;
        let value: f64 = self.number()?.parse().map_err(|_| JsonError::new(Kind::InvalidNumber, start))?;
        if value.is_infinite() {
            return Err(JsonError::new(Kind::OutOfRange("a double"), start));
        }
        Ok(value)
    }

    /// Reads any number as the nearest single.
    pub fn f32(&mut self) -> Result<f32, JsonError> {
        let start = self.next_value();
        let value = self.f64()? as f32;
        if value.is_infinite() {
            return Err(JsonError::new(Kind::OutOfRange("a float"), start));
        }
        Ok(value)
    }

    fn integer<T: Integer>(&mut self, name: &'static str) -> Result<T, JsonError> {
        if self.null()? {
            return Ok(T::default());
        }
        let start = self.position;
        let number = self.number()?;
        // The grammar of numbers is checked; an integer has neither fraction nor exponent.
        if number.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E')) {
            return Err(JsonError::new(Kind::WrongType("an integer"), start));
        }
        number.parse().map_err(|_| JsonError::new(Kind::OutOfRange(name), start))
    }

    fn number(&mut self) -> Result<&'a str, JsonError> {
        let start = self.position;
        match self.peek() {
            Some(b'-' | b'0'..=b'9') => {}
            _ => return Err(self.wrong_type("a number")),
        }
        self.position = scan::number_end(self.bytes(), start)?;
        Ok(&self.text[start..self.position])
    }

    /// Reads an object into `target`. Not generic, so that it exists once for all messages.
    fn object(&mut self, target: &mut dyn ReadFields) -> Result<(), JsonError> {
        self.open(b'{', "an object")?;
        self.depth += 1;
        if self.depth > MAX_MESSAGE_DEPTH {
            return Err(self.error(Kind::TooDeep));
        }
        if !self.closes(b'}') {
            let names = target.field_names();
            loop {
                let key = self.key()?;
                match field_index(names, &key) {
                    Some(index) => {
                        target.read_field(index, self).map_err(|error| error.in_field(names[index]))?
                    }
                    None => {
                        let start = self.next_value();
                        self.position = scan::value_end(self.bytes(), start)?;
                    }
                }
                if !self.goes_on(b'}')? {
                    break;
                }
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// Reads a key and the colon after it.
    fn key(&mut self) -> Result<Cow<'a, str>, JsonError> {
        if self.peek() != Some(b'"') {
            return Err(scan::unexpected(self.bytes(), self.position));
        }
        let key = self.string_value()?;
        if self.peek() != Some(b':') {
            return Err(scan::unexpected(self.bytes(), self.position));
        }
        self.position += 1;
        Ok(key)
    }

    fn string_value(&mut self) -> Result<Cow<'a, str>, JsonError> {
        if self.peek() != Some(b'"') {
            return Err(self.wrong_type("a string"));
        }
        let start = self.position + 1;
        let stop = scan::string_end(self.bytes(), start)?;
        self.position = stop.end + 1;
        let content = &self.text[start..stop.end];
        Ok(if stop.escaped { Cow::Owned(unescape(content)) } else { Cow::Borrowed(content) })
    }

    /// Consumes `null` if it is next; afterwards `position` is at the value that is next.
    fn null(&mut self) -> Result<bool, JsonError> {
        if self.peek() != Some(b'n') {
            return Ok(false);
        }
        self.position = scan::literal_end(self.bytes(), self.position, b"null")?;
        Ok(true)
    }

    fn open(&mut self, bracket: u8, expected: &'static str) -> Result<(), JsonError> {
        if self.peek() != Some(bracket) {
            return Err(self.wrong_type(expected));
        }
        self.position += 1;
        Ok(())
    }

    /// Consumes the closing bracket of an empty container.
    fn closes(&mut self, bracket: u8) -> bool {
        let closes = self.peek() == Some(bracket);
        self.position += usize::from(closes);
        closes
    }

    /// Consumes what follows an element: true for a comma, false for the closing bracket.
    fn goes_on(&mut self, bracket: u8) -> Result<bool, JsonError> {
        match self.peek() {
            Some(b',') => {
                self.position += 1;
                Ok(true)
            }
            Some(byte) if byte == bracket => {
                self.position += 1;
                Ok(false)
            }
            _ => Err(scan::unexpected(self.bytes(), self.position)),
        }
    }

    fn bytes(&self) -> &'a [u8] {
        self.text.as_bytes()
    }

    fn next_value(&mut self) -> usize {
        self.position = scan::skip_whitespace(self.bytes(), self.position);
        self.position
    }

    fn peek(&mut self) -> Option<u8> {
        let next = self.next_value();
        self.bytes().get(next).copied()
    }

    #[cold]
    fn error(&self, kind: Kind) -> JsonError {
        JsonError::new(kind, self.position)
    }

    /// The value at the cursor is not what the field holds, or no value at all.
    #[cold]
    fn wrong_type(&self, expected: &'static str) -> JsonError {
        match scan::value_end(self.bytes(), self.position) {
            Ok(_) => self.error(Kind::WrongType(expected)),
            Err(error) => error,
        }
    }
}

trait Integer: Default + std::str::FromStr {}
impl Integer for u32 {}
impl Integer for u64 {}
impl Integer for i32 {}
impl Integer for i64 {}

/// The field with this key: an equal name first, then one that differs in ASCII case.
fn field_index(names: &[&str], key: &str) -> Option<usize> {
    names
        .iter()
        .position(|name| *name == key)
        .or_else(|| names.iter().position(|name| name.eq_ignore_ascii_case(key)))
}

/// The value of a string whose escape sequences are known to be well formed. Halves of surrogate
/// pairs that stand alone become U+FFFD.
fn unescape(content: &str) -> String {
    let mut value = String::with_capacity(content.len());
    let mut rest = content;
    while let Some(at) = rest.find('\\') {
        value.push_str(&rest[..at]);
        let escape = rest.as_bytes()[at + 1];
        rest = &rest[at + 2..];
        match escape {
            b'b' => value.push('\u{8}'),
            b'f' => value.push('\u{c}'),
            b'n' => value.push('\n'),
            b'r' => value.push('\r'),
            b't' => value.push('\t'),
            b'u' => {
                let first = hex(&rest[..4]);
                rest = &rest[4..];
                let low = match first {
                    0xD800..0xDC00 => rest
                        .strip_prefix("\\u")
                        .map(|digits| hex(&digits[..4]))
                        .filter(|unit| (0xDC00..0xE000).contains(unit)),
                    _ => None,
                };
                let code = match low {
                    Some(low) => {
                        rest = &rest[6..];
                        0x10000 + ((first - 0xD800) << 10) + (low - 0xDC00)
                    }
                    None => first,
                };
                value.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            // A quote, a slash or a backslash stands for itself.
            other => value.push(char::from(other)),
        }
    }
    value.push_str(rest);
    value
}

fn hex(digits: &str) -> u32 {
    digits.chars().fold(0, |value, digit| value << 4 | digit.to_digit(16).unwrap_or(0))
}
