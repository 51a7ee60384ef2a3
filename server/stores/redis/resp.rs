//! The protocol of Redis, versions 2 and 3: commands out, values in.
//!
//! A value is looked for without copying; its texts are slices of what was read.

use bytes::{Buf, Bytes, BytesMut};

/// Longest text Redis itself accepts; a longer one means that the peer speaks something else.
const LONGEST_TEXT: usize = 512 << 20;

/// Longest line of a header.
const LONGEST_LINE: usize = 64 << 10;

/// Deepest nesting; answers of scripts have four levels.
const DEEPEST: u32 = 16;

/// Something Redis said.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing there.
    Nil,
    /// A number; truth values are zero and one.
    Integer(i64),
    /// A text of any bytes.
    Text(Bytes),
    /// An error, its code first.
    Error(Bytes),
    /// Several values; a map is a list of keys and values in turn.
    List(Vec<Value>),
    /// What was not asked for: messages of subscriptions.
    Push(Vec<Value>),
}

impl Value {
    /// The text, or the digits of a number.
    pub fn into_text(self) -> Option<Bytes> {
        match self {
            Self::Text(text) => Some(text),
            Self::Integer(number) => {
                Some(Bytes::copy_from_slice(itoa::Buffer::new().format(number).as_bytes()))
            }
            _ => None,
        }
    }

    /// The number, also when it was given as text.
    pub fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            Self::Text(text) => std::str::from_utf8(text).ok()?.parse().ok(),
            _ => None,
        }
    }

    /// The elements of a list.
    pub fn into_list(self) -> Option<Vec<Value>> {
        match self {
            Self::List(values) | Self::Push(values) => Some(values),
            _ => None,
        }
    }

    /// The text as a string; none for anything else and for bytes that are no UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => std::str::from_utf8(text).ok(),
            _ => None,
        }
    }
}

/// The peer does not speak this protocol.
#[derive(Debug, thiserror::Error)]
#[error("malformed answer: {0}")]
pub struct Malformed(&'static str);

/// A command, written as it goes out, so that it can be sent again.
#[derive(Clone, Debug)]
pub struct Command(Bytes);

impl Command {
    /// Writes a command from its name and arguments.
    pub fn new<'a>(parts: impl IntoIterator<Item = &'a [u8], IntoIter: Clone>) -> Self {
        let parts = parts.into_iter();
        let (count, size) = parts.clone().fold((0, 16), |(n, size), part| (n + 1, size + part.len() + 16));
        let mut bytes = Vec::with_capacity(size);
        write_header(&mut bytes, b'*', count);
        for part in parts {
            write_header(&mut bytes, b'$', part.len());
            bytes.extend_from_slice(part);
            bytes.extend_from_slice(b"\r\n");
        }
        Self(bytes.into())
    }

    /// As it goes out.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

fn write_header(to: &mut Vec<u8>, kind: u8, number: usize) {
    to.push(kind);
    to.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    to.extend_from_slice(b"\r\n");
}

/// Finds values in what is read.
#[derive(Debug)]
pub struct Decoder {
    /// Bytes of the current value that were looked at.
    at: usize,
    /// Values still to be found until the current one is whole.
    missing: u64,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { at: 0, missing: 1 }
    }
}

impl Decoder {
    /// Takes the next whole value off the front of `buffer`; `None` when more has to be read.
    ///
    /// # Errors
    /// When the bytes are no Redis protocol; nothing can be read from this peer any more.
    pub fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Value>, Malformed> {
        if !self.scan(buffer)? {
            return Ok(None);
        }
        let mut frame = buffer.split_to(self.at).freeze();
        *self = Self::default();
        read_value(&mut frame, 0).map(Some)
    }

    /// Goes on to the end of the value; each byte is looked at once, however it is split.
    fn scan(&mut self, buffer: &mut BytesMut) -> Result<bool, Malformed> {
        while self.missing > 0 {
            let Some(line) = memchr::memchr(b'\n', &buffer[self.at..]) else {
                if buffer.len() - self.at > LONGEST_LINE {
                    return Err(Malformed("a line without end"));
                }
                return Ok(false);
            };
            let header = &buffer[self.at..self.at + line];
            let mut next = self.at + line + 1;
            let Some((kind, number)) = header.split_first() else { return Err(Malformed("an empty line")) };
            match kind {
                b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(' => self.missing -= 1,
                b'$' | b'=' | b'!' => {
                    if let Some(length) = length(number)? {
                        if length > LONGEST_TEXT {
                            return Err(Malformed("a text too long"));
                        }
                        next += length + 2;
                        if buffer.len() < next {
                            buffer.reserve(next - buffer.len());
                            return Ok(false);
                        }
                    }
                    self.missing -= 1;
                }
                b'*' | b'~' | b'>' => self.missing += length(number)?.unwrap_or(0) as u64,
                b'%' | b'|' => self.missing += 2 * length(number)?.unwrap_or(0) as u64,
                _ => return Err(Malformed("an unknown type")),
            }
            // An attribute stands before the value it belongs to; all other collections are values.
            if matches!(kind, b'*' | b'~' | b'>' | b'%') {
                self.missing -= 1;
            }
            self.at = next;
        }
        Ok(true)
    }
}

/// A length; `None` for the nothing of version 2.
fn length(text: &[u8]) -> Result<Option<usize>, Malformed> {
    let number = integer(text)?;
    if number == -1 {
        return Ok(None);
    }
    match usize::try_from(number) {
        Ok(length) if length <= u32::MAX as usize => Ok(Some(length)),
        _ => Err(Malformed("a wrong length")),
    }
}

fn integer(text: &[u8]) -> Result<i64, Malformed> {
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(Malformed("a wrong number"))
}

/// Reads a value of which all bytes are there.
fn read_value(frame: &mut Bytes, depth: u32) -> Result<Value, Malformed> {
    if depth > DEEPEST {
        return Err(Malformed("too deep"));
    }
    loop {
        let line = memchr::memchr(b'\n', frame).ok_or(Malformed("a line without end"))?;
        let mut header = frame.split_to(line);
        frame.advance(1);
        if header.last() == Some(&b'\r') {
            header.truncate(header.len() - 1);
        }
        if header.is_empty() {
            return Err(Malformed("an empty line"));
        }
        let rest = header.split_off(1);
        return Ok(match header[0] {
            b'+' | b',' | b'(' => Value::Text(rest),
            b'-' => Value::Error(rest),
            b':' => Value::Integer(integer(&rest)?),
            b'#' => Value::Integer(i64::from(&rest[..] == b"t")),
            b'_' => Value::Nil,
            b'$' => read_text(frame, &rest)?.map_or(Value::Nil, Value::Text),
            b'!' => read_text(frame, &rest)?.map_or(Value::Nil, Value::Error),
            // A verbatim text says what it is in its first four bytes.
            b'=' => match read_text(frame, &rest)? {
                Some(text) if text.len() >= 4 => Value::Text(text.slice(4..)),
                _ => return Err(Malformed("a verbatim text without type")),
            },
            b'*' | b'~' => match length(&rest)? {
                Some(count) => Value::List(read_list(frame, count, depth)?),
                None => Value::Nil,
            },
            b'>' => Value::Push(read_list(frame, length(&rest)?.unwrap_or(0), depth)?),
            b'%' => Value::List(read_list(frame, 2 * length(&rest)?.unwrap_or(0), depth)?),
            b'|' => {
                read_list(frame, 2 * length(&rest)?.unwrap_or(0), depth)?;
                continue;
            }
            _ => return Err(Malformed("an unknown type")),
        });
    }
}

fn read_text(frame: &mut Bytes, header: &[u8]) -> Result<Option<Bytes>, Malformed> {
    let Some(length) = length(header)? else { return Ok(None) };
    if frame.len() < length + 2 {
        return Err(Malformed("a text cut short"));
    }
    let text = frame.split_to(length);
    frame.advance(2);
    Ok(Some(text))
}

fn read_list(frame: &mut Bytes, count: usize, depth: u32) -> Result<Vec<Value>, Malformed> {
    // Each value takes three bytes at least, so the frame bounds what is allocated.
    let mut values = Vec::with_capacity(count.min(frame.len()));
    for _ in 0..count {
        values.push(read_value(frame, depth + 1)?);
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(text: &'static str) -> Value {
        Value::Text(Bytes::from_static(text.as_bytes()))
    }

    /// Decodes `bytes`, given in parts of `step` bytes.
    fn decode(bytes: &[u8], step: usize) -> Result<Vec<Value>, Malformed> {
        let (mut decoder, mut buffer, mut values) = (Decoder::default(), BytesMut::new(), Vec::new());
        for part in bytes.chunks(step.max(1)) {
            buffer.extend_from_slice(part);
            while let Some(value) = decoder.next(&mut buffer)? {
                values.push(value);
            }
        }
        Ok(values)
    }

    #[test]
    fn values_of_both_versions_are_read_however_they_are_split() {
        let bytes = b"+OK\r\n-ERR no\r\n:-7\r\n$3\r\na\r\n\r\n$-1\r\n*-1\r\n_\r\n#t\r\n,1.5\r\n=7\r\ntxt:abc\r\n\
            *2\r\n*1\r\n:1\r\n$0\r\n\r\n%1\r\n+k\r\n:2\r\n|1\r\n+a\r\n+b\r\n>2\r\n+message\r\n$1\r\nx\r\n~0\r\n";
        let expected = vec![
            text("OK"),
            Value::Error(Bytes::from_static(b"ERR no")),
            Value::Integer(-7),
            text("a\r\n"),
            Value::Nil,
            Value::Nil,
            Value::Nil,
            Value::Integer(1),
            text("1.5"),
            text("abc"),
            Value::List(vec![Value::List(vec![Value::Integer(1)]), text("")]),
            Value::List(vec![text("k"), Value::Integer(2)]),
            Value::Push(vec![text("message"), text("x")]),
            Value::List(vec![]),
        ];
        // The text of three bytes above ends in a line break of its own.
        for step in 1..bytes.len() {
            assert_eq!(decode(bytes, step).expect("decodes"), expected, "in steps of {step}");
        }
    }

    #[test]
    fn what_is_no_redis_is_refused() {
        for bytes in [&b"HTTP/1.1 400\r\n"[..], b"$9999999999\r\n", b"$x\r\n", b"*-5\r\n", b"\r\n"] {
            assert!(decode(bytes, 1).is_err(), "{:?}", String::from_utf8_lossy(bytes));
        }
        let deep = b"*1\r\n".repeat(20);
        assert!(decode(&[&deep[..], b":1\r\n"].concat(), 7).is_err());
    }

    #[test]
    fn commands_are_lists_of_texts() {
        let command = Command::new([&b"SET"[..], b"k", b"a\r\nb"]);
        assert_eq!(command.bytes(), b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4\r\na\r\nb\r\n");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>, step in 1_usize..9) {
            let _ = decode(&bytes, step);
        }

        #[test]
        fn commands_are_read_as_they_were_written(parts: Vec<Vec<u8>>, step in 1_usize..9) {
            let command = Command::new(parts.iter().map(Vec::as_slice));
            let expected = parts.into_iter().map(|part| Value::Text(part.into())).collect();
            prop_assert_eq!(decode(command.bytes(), step).expect("decodes"), vec![Value::List(expected)]);
        }
    }
}
