//! Finds the ends of JSON values. All functions take text that is known to be UTF-8 and report
//! an error as its kind and byte offset.

use super::error::{JsonError, JsonErrorKind as Kind};

/// Deepest nesting inside one skipped or captured value, as Go's JSON package has it.
const MAX_DEPTH: usize = 10_000;

/// Says whether `bytes` are exactly one JSON value in UTF-8, white space around it allowed.
///
/// Payloads are checked with it once, when they enter; afterwards they are spliced unseen.
pub fn is_valid(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return false;
    };
    let bytes = text.as_bytes();
    match value_end(bytes, skip_whitespace(bytes, 0)) {
        Ok(end) => skip_whitespace(bytes, end) == bytes.len(),
        Err(_) => false,
    }
}

/// The first position from `position` on that is no white space.
#[inline]
pub(super) fn skip_whitespace(bytes: &[u8], mut position: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = bytes.get(position) {
        position += 1;
    }
    position
}

/// An error for what is, or is missing, at `position`.
#[cold]
pub(super) fn unexpected(bytes: &[u8], position: usize) -> JsonError {
    match bytes.get(position) {
        Some(byte) => JsonError::new(Kind::UnexpectedByte(*byte), position),
        None => JsonError::new(Kind::UnexpectedEnd, bytes.len()),
    }
}

/// One past the end of the value that starts at `position`. Uses no recursion.
pub(super) fn value_end(bytes: &[u8], mut position: usize) -> Result<usize, JsonError> {
    let mut nesting = Nesting::default();
    loop {
        // A value starts here.
        position = match bytes.get(position) {
            Some(b'{') => {
                let next = skip_whitespace(bytes, position + 1);
                if bytes.get(next) == Some(&b'}') {
                    next + 1
                } else {
                    nesting.push(true, position)?;
                    position = key_end(bytes, next)?;
                    continue;
                }
            }
            Some(b'[') => {
                let next = skip_whitespace(bytes, position + 1);
                if bytes.get(next) == Some(&b']') {
                    next + 1
                } else {
                    nesting.push(false, position)?;
                    position = next;
                    continue;
                }
            }
            Some(b'"') => string_end(bytes, position + 1)?.end + 1,
            Some(b'-' | b'0'..=b'9') => number_end(bytes, position)?,
            Some(b't') => literal_end(bytes, position, b"true")?,
            Some(b'f') => literal_end(bytes, position, b"false")?,
            Some(b'n') => literal_end(bytes, position, b"null")?,
            _ => return Err(unexpected(bytes, position)),
        };
        // A value ended here: go on in, or leave, what encloses it.
        loop {
            let Some(in_object) = nesting.top() else {
                return Ok(position);
            };
            position = skip_whitespace(bytes, position);
            match (bytes.get(position), in_object) {
                (Some(b','), true) => {
                    position = key_end(bytes, skip_whitespace(bytes, position + 1))?;
                    break;
                }
                (Some(b','), false) => {
                    position = skip_whitespace(bytes, position + 1);
                    break;
                }
                (Some(b'}'), true) | (Some(b']'), false) => {
                    nesting.pop();
                    position += 1;
                }
                _ => return Err(unexpected(bytes, position)),
            }
        }
    }
}

/// Start of the value whose key starts at `position`.
fn key_end(bytes: &[u8], position: usize) -> Result<usize, JsonError> {
    if bytes.get(position) != Some(&b'"') {
        return Err(unexpected(bytes, position));
    }
    let colon = skip_whitespace(bytes, string_end(bytes, position + 1)?.end + 1);
    if bytes.get(colon) != Some(&b':') {
        return Err(unexpected(bytes, colon));
    }
    Ok(skip_whitespace(bytes, colon + 1))
}

/// Where a string stops.
pub(super) struct StringEnd {
    /// Position of the closing quote.
    pub end: usize,
    /// Whether the text between the quotes differs from the string's value.
    pub escaped: bool,
}

/// The end of the string whose opening quote is just before `position`.
pub(super) fn string_end(bytes: &[u8], mut position: usize) -> Result<StringEnd, JsonError> {
    let mut escaped = false;
    loop {
        position = plain_end(bytes, position);
        match bytes.get(position) {
            Some(b'"') => {
                return Ok(StringEnd { end: position, escaped });
            }
            Some(b'\\') => {
                escaped = true;
                position = escape_end(bytes, position)?;
            }
            _ => return Err(unexpected(bytes, position)),
        }
    }
}

/// The first position from `position` on that holds a quote, a backslash or a control character.
#[inline]
fn plain_end(bytes: &[u8], mut position: usize) -> usize {
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGHS: u64 = u64::from_ne_bytes([0x80; 8]);
    // Eight bytes at a time: a high bit is set in `stops` where a byte stops the search. Carries
    // can only set further bits above a true one, so the answer "none" is exact.
    while let Some(chunk) = bytes.get(position..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*chunk);
        let zero_at = |word: u64| word.wrapping_sub(ONES) & !word;
        let quote = zero_at(word ^ (ONES * b'"' as u64));
        let backslash = zero_at(word ^ (ONES * b'\\' as u64));
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let stops = (quote | backslash | control) & HIGHS;
        if stops != 0 {
            return position + stops.trailing_zeros() as usize / 8;
        }
        position += 8;
    }
    while let Some(byte) = bytes.get(position) {
        if matches!(byte, b'"' | b'\\' | 0..0x20) {
            break;
        }
        position += 1;
    }
    position
}

/// One past the escape sequence whose backslash is at `position`.
fn escape_end(bytes: &[u8], position: usize) -> Result<usize, JsonError> {
    match bytes.get(position + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(position + 2),
        Some(b'u') => {
            let digits = bytes.get(position + 2..position + 6);
            match digits {
                Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => Ok(position + 6),
                Some(_) => Err(JsonError::new(Kind::InvalidEscape, position)),
                None => Err(unexpected(bytes, bytes.len())),
            }
        }
        Some(_) => Err(JsonError::new(Kind::InvalidEscape, position)),
        None => Err(unexpected(bytes, bytes.len())),
    }
}

/// One past the number that starts at `position`.
pub(super) fn number_end(bytes: &[u8], start: usize) -> Result<usize, JsonError> {
    let digits_end = |mut position: usize| {
        while bytes.get(position).is_some_and(u8::is_ascii_digit) {
            position += 1;
        }
        position
    };
    let invalid = || JsonError::new(Kind::InvalidNumber, start);
    let first = start + usize::from(bytes[start] == b'-');
    let mut position = digits_end(first);
    if position == first || (bytes[first] == b'0' && position > first + 1) {
        return Err(invalid());
    }
    if bytes.get(position) == Some(&b'.') {
        let fraction = position + 1;
        position = digits_end(fraction);
        if position == fraction {
            return Err(invalid());
        }
    }
    if let Some(b'e' | b'E') = bytes.get(position) {
        position += 1;
        if let Some(b'+' | b'-') = bytes.get(position) {
            position += 1;
        }
        let exponent = position;
        position = digits_end(exponent);
        if position == exponent {
            return Err(invalid());
        }
    }
    Ok(position)
}

/// One past `literal`, which must be at `position`.
pub(super) fn literal_end(bytes: &[u8], position: usize, literal: &[u8]) -> Result<usize, JsonError> {
    for (index, expected) in literal.iter().enumerate() {
        if bytes.get(position + index) != Some(expected) {
            return Err(unexpected(bytes, position + index));
        }
    }
    Ok(position + literal.len())
}

/// Which containers are open, one bit each: set for an object. The innermost 64 need no memory.
#[derive(Default)]
struct Nesting {
    inner: u64,
    outer: Vec<u64>,
    depth: usize,
}

impl Nesting {
    fn push(&mut self, object: bool, position: usize) -> Result<(), JsonError> {
        if self.depth == MAX_DEPTH {
            return Err(JsonError::new(Kind::TooDeep, position));
        }
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.outer.push(self.inner);
        }
        self.inner = (self.inner << 1) | u64::from(object);
        self.depth += 1;
        Ok(())
    }

    fn top(&self) -> Option<bool> {
        (self.depth > 0).then_some(self.inner & 1 == 1)
    }

    fn pop(&mut self) {
        self.depth -= 1;
        self.inner >>= 1;
        if self.depth > 0
            && self.depth.is_multiple_of(64)
            && let Some(word) = self.outer.pop()
        {
            self.inner = word;
        }
    }
}
