//! From messages to JSON text.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::error::InvalidRaw;
use super::scan;

/// How payload bytes go into the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RawStyle {
    /// As they are, without line feeds, because lines separate messages of the client protocol.
    Verbatim,
    /// Without white space between tokens and with the characters `<`, `>`, `&`, U+2028 and
    /// U+2029 escaped: the server API and proxies.
    Compact,
}

/// Encodes a message as JSON: fields in the order of the contract, zero values left out unless
/// annotated `always`, no white space.
pub trait JsonEncode {
    /// How this message is written when nothing else is asked for.
    const RAW_STYLE: RawStyle;

    /// Appends the message to the writer's text. Generated.
    fn write_json(&self, writer: &mut Writer<'_>);

    /// Appends the JSON text to `out`. Payloads are spliced unseen: a payload that is not JSON
    /// makes the text invalid, see [`try_encode_json`](Self::try_encode_json).
    fn encode_json(&self, out: &mut Vec<u8>) {
        self.write_json(&mut Writer::new(out, Self::RAW_STYLE));
    }

    /// Appends the JSON text to `out` if every payload is valid JSON in UTF-8, so that the text
    /// is too.
    ///
    /// # Errors
    /// [`InvalidRaw`] names the first field that is not; `out` is as it was.
    fn try_encode_json(&self, out: &mut Vec<u8>) -> Result<(), InvalidRaw> {
        let start = out.len();
        let mut writer = Writer::new(out, Self::RAW_STYLE);
        writer.check = true;
        self.write_json(&mut writer);
        match writer.invalid {
            None => Ok(()),
            Some(invalid) => {
                out.truncate(start);
                Err(invalid)
            }
        }
    }

    /// The JSON text as a new vector.
    fn to_json(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        self.encode_json(&mut out);
        out
    }
}

/// Appends JSON to a buffer. Used by generated code; keys come as `,"name":`.
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
    style: RawStyle,
    check: bool,
    invalid: Option<InvalidRaw>,
}

impl<'a> Writer<'a> {
    /// A writer that appends to `out` and does not check payloads.
    pub fn new(out: &'a mut Vec<u8>, style: RawStyle) -> Self {
        Self { out, style, check: false, invalid: None }
    }

    /// Begins an object.
    #[inline]
    pub fn open(&mut self) {
        self.out.push(b'{');
    }

    /// Ends an object.
    #[inline]
    pub fn close(&mut self) {
        self.out.push(b'}');
    }

    /// Writes `,"name":`, without the comma for the first key of an object.
    #[inline]
    pub fn key(&mut self, key: &'static str) {
        let first = self.out.last() == Some(&b'{');
        self.out.extend_from_slice(&key.as_bytes()[usize::from(first)..]);
    }

    /// Writes an escaped string.
    pub fn string(&mut self, value: &str) {
        write_string(self.out, value);
    }

    /// Writes UTF-8 bytes as a string; what is not UTF-8 becomes U+FFFD.
    pub fn text(&mut self, value: &[u8]) {
        write_string(self.out, &String::from_utf8_lossy(value));
    }

    /// Writes bytes as a base64 string.
    pub fn base64(&mut self, value: &[u8]) {
        self.out.push(b'"');
        self.out.extend_from_slice(STANDARD.encode(value).as_bytes());
        self.out.push(b'"');
    }

    /// Splices JSON text; none at all becomes `null`.
    pub fn raw(&mut self, field: &'static str, value: &[u8]) {
        if value.is_empty() {
            self.out.extend_from_slice(b"null");
            return;
        }
        if self.check && self.invalid.is_none() && !scan::is_valid(value) {
            self.invalid = Some(InvalidRaw { field });
        }
        match self.style {
            RawStyle::Verbatim => write_without_line_feeds(self.out, value),
            RawStyle::Compact => write_compact(self.out, value),
        }
    }

    /// Writes an integer.
    #[inline]
    pub fn integer(&mut self, value: impl itoa::Integer) {
        self.out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }

    /// Writes a number in its shortest form; what is not finite has none and becomes `null`.
    pub fn double(&mut self, value: f64) {
        if value.is_finite() {
            self.out.extend_from_slice(value.to_string().as_bytes());
        } else {
            self.out.extend_from_slice(b"null");
        }
    }

    /// Writes `true` or `false`.
    #[inline]
    pub fn bool(&mut self, value: bool) {
        let literal: &[u8] = if value { b"true" } else { b"false" };
        self.out.extend_from_slice(literal);
    }

    /// Writes `null`.
    pub fn null(&mut self) {
        self.out.extend_from_slice(b"null");
    }

    /// Writes a list.
    pub fn list<T>(&mut self, items: &[T], mut item: impl FnMut(&mut Self, &T)) {
        self.out.push(b'[');
        for (index, value) in items.iter().enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            item(self, value);
        }
        self.out.push(b']');
    }

    /// Writes a map as an object, keys ascending.
    pub fn map<T>(&mut self, map: &BTreeMap<String, T>, mut value: impl FnMut(&mut Self, &T)) {
        self.out.push(b'{');
        for (index, (key, item)) in map.iter().enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            write_string(self.out, key);
            self.out.push(b':');
            value(self, item);
        }
        self.out.push(b'}');
    }
}

/// Appends `value` as a JSON string that is safe inside HTML and JavaScript: `<`, `>`, `&`,
/// U+2028 and U+2029 are escaped besides what JSON demands.
pub fn write_string(out: &mut Vec<u8>, value: &str) {
    let bytes = value.as_bytes();
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    let mut plain = 0;
    let mut position = 0;
    while let Some(&byte) = bytes.get(position) {
        if PLAIN[usize::from(byte)] {
            position += 1;
            continue;
        }
        let length = match byte {
            LINE_SEPARATOR_LEAD => match separator_at(bytes, position) {
                Some(_) => 3,
                None => {
                    position += 3;
                    continue;
                }
            },
            _ => 1,
        };
        out.extend_from_slice(&bytes[plain..position]);
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => write_escape(out, bytes, position),
        }
        position += length;
        plain = position;
    }
    out.extend_from_slice(&bytes[plain..]);
    out.push(b'"');
}

fn write_without_line_feeds(out: &mut Vec<u8>, value: &[u8]) {
    let mut rest = value;
    while let Some(at) = memchr::memchr(b'\n', rest) {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

fn write_compact(out: &mut Vec<u8>, value: &[u8]) {
    out.reserve(value.len());
    let mut in_string = false;
    let mut position = 0;
    while let Some(&byte) = value.get(position) {
        match byte {
            b' ' | b'\n' | b'\r' | b'\t' if !in_string => {}
            b'\\' if in_string => {
                out.push(byte);
                position += 1;
                if let Some(&escaped) = value.get(position) {
                    out.push(escaped);
                }
            }
            b'<' | b'>' | b'&' => write_escape(out, value, position),
            LINE_SEPARATOR_LEAD if separator_at(value, position).is_some() => {
                write_escape(out, value, position);
                position += 2;
            }
            _ => {
                in_string ^= byte == b'"';
                out.push(byte);
            }
        }
        position += 1;
    }
}

/// First byte of U+2028 and U+2029 in UTF-8.
const LINE_SEPARATOR_LEAD: u8 = 0xE2;

/// The last byte of U+2028 or U+2029 if one of them starts at `position`.
fn separator_at(bytes: &[u8], position: usize) -> Option<u8> {
    match bytes.get(position..position + 3) {
        Some([LINE_SEPARATOR_LEAD, 0x80, last @ (0xA8 | 0xA9)]) => Some(*last),
        _ => None,
    }
}

/// Writes the character at `position` as `\u` and four digits.
#[cold]
fn write_escape(out: &mut Vec<u8>, bytes: &[u8], position: usize) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    match separator_at(bytes, position) {
        Some(last) => {
            out.extend_from_slice(b"\\u202");
            out.push(DIGITS[usize::from(last & 0xF)]);
        }
        None => {
            let byte = bytes[position];
            out.extend_from_slice(b"\\u00");
            out.push(DIGITS[usize::from(byte >> 4)]);
            out.push(DIGITS[usize::from(byte & 0xF)]);
        }
    }
}

/// Bytes that go into a string as they are. The lead byte of U+2028 needs a look.
const PLAIN: [bool; 256] = {
    let mut plain = [true; 256];
    let mut byte = 0;
    while byte < 0x20 {
        plain[byte] = false;
        byte += 1;
    }
    plain[b'"' as usize] = false;
    plain[b'\\' as usize] = false;
    plain[b'<' as usize] = false;
    plain[b'>' as usize] = false;
    plain[b'&' as usize] = false;
    plain[LINE_SEPARATOR_LEAD as usize] = false;
    plain
};
