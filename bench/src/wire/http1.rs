//! The part of HTTP/1.1 a client that streams needs: the head of a response, and a body cut into chunks.

use anyhow::{Context, Result, bail};

/// Longest head of a response accepted from a server.
const MAX_HEAD: usize = 64 << 10;
/// Longest chunk accepted from a server.
const MAX_CHUNK: usize = 16 << 20;
/// Longest line before a chunk: the size and whatever extensions a server adds to it.
const MAX_SIZE_LINE: usize = 4 << 10;

/// The head of a response.
#[derive(Debug, PartialEq, Eq)]
pub struct Head<'a> {
    pub status: u16,
    /// Status line and fields, the empty line included.
    pub bytes: &'a [u8],
}

impl<'a> Head<'a> {
    /// Reads the head `bytes` begin with, or returns `None` while it is incomplete.
    ///
    /// # Errors
    /// When it has no end within 64 KiB or does not begin with a status.
    pub fn parse(bytes: &'a [u8]) -> Result<Option<Self>> {
        let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else {
            if bytes.len() > MAX_HEAD {
                bail!("HTTP head has no end within {} KiB", MAX_HEAD >> 10);
            }
            return Ok(None);
        };
        let status = bytes
            .strip_prefix(b"HTTP/1.1 ")
            .or(bytes.strip_prefix(b"HTTP/1.0 "))
            .and_then(|rest| rest.get(..3))
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| digits.parse().ok())
            .context("malformed HTTP status line")?;
        Ok(Some(Self { status, bytes: &bytes[..end + 4] }))
    }

    /// Returns the value of the first field called `name`.
    pub fn field(&self, name: &str) -> Option<&'a str> {
        self.bytes.split(|&byte| byte == b'\n').find_map(|line| {
            let (key, value) = line.split_at_checked(name.len())?;
            let value = value.strip_prefix(b":")?;
            key.eq_ignore_ascii_case(name.as_bytes())
                .then(|| std::str::from_utf8(value).ok().map(str::trim))?
        })
    }

    /// Whether the body comes in chunks.
    pub fn is_chunked(&self) -> bool {
        self.field("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"))
    }
}

/// One chunk of a body.
#[derive(Debug, PartialEq, Eq)]
pub enum Chunk<'a> {
    Data {
        data: &'a [u8],
        /// Bytes the chunk occupies, its size and the line end after it included.
        length: usize,
    },
    /// The body is over; what follows `length` bytes is the next response.
    End { length: usize },
}

/// Reads the first chunk in `bytes`, or returns `None` while it is incomplete.
///
/// # Errors
/// For bytes that are no chunk, and for chunks of more than 16 MiB.
///
/// Source: RFC 9112, section 7.1.
pub fn parse_chunk(bytes: &[u8]) -> Result<Option<Chunk<'_>>> {
    let Some(line) = memchr::memmem::find(bytes, b"\r\n") else {
        if bytes.len() > MAX_SIZE_LINE {
            bail!("size of a chunk has no end within {} KiB", MAX_SIZE_LINE >> 10);
        }
        return Ok(None);
    };
    let size = chunk_size(&bytes[..line])?;
    let start = line + 2;
    if size == 0 {
        return Ok(trailer_end(&bytes[start..]).map(|trailer| Chunk::End { length: start + trailer }));
    }
    let Some(after) = bytes.get(start + size..start + size + 2) else {
        return Ok(None);
    };
    if after != b"\r\n" {
        bail!("chunk of {size} bytes is not followed by a line end but by {after:?}");
    }
    Ok(Some(Chunk::Data { data: &bytes[start..start + size], length: start + size + 2 }))
}

fn chunk_size(line: &[u8]) -> Result<usize> {
    let digits = line.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii_end();
    let is_hexadecimal = !digits.is_empty() && digits.iter().all(u8::is_ascii_hexdigit);
    let size = std::str::from_utf8(digits).ok().filter(|_| is_hexadecimal);
    let size = size.and_then(|digits| usize::from_str_radix(digits, 16).ok());
    match size {
        Some(size) if size <= MAX_CHUNK => Ok(size),
        Some(size) => bail!("chunk of {size} bytes exceeds {MAX_CHUNK}"),
        None => bail!("bad size of a chunk: {:?}", String::from_utf8_lossy(&line[..line.len().min(40)])),
    }
}

/// Returns the length of the trailer fields and the empty line after them.
fn trailer_end(bytes: &[u8]) -> Option<usize> {
    if bytes.starts_with(b"\r\n") {
        return Some(2);
    }
    memchr::memmem::find(bytes, b"\r\n\r\n").map(|end| end + 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything a chunked body says, and the bytes it took; `None` while it has no end.
    fn body(mut bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>> {
        let (mut joined, mut used) = (Vec::new(), 0);
        loop {
            match parse_chunk(bytes)? {
                None => return Ok(None),
                Some(Chunk::End { length }) => return Ok(Some((joined, used + length))),
                Some(Chunk::Data { data, length }) => {
                    joined.extend_from_slice(data);
                    used += length;
                    bytes = &bytes[length..];
                }
            }
        }
    }

    #[test]
    fn a_body_ends_with_its_last_chunk_and_not_before() {
        let text: &[u8] = b"5\r\nhello\r\n1B;name=\"v\"\r\n0\r\n\r\n and line ends, inside\r\n0\r\n\r\n";
        let whole = b"hello0\r\n\r\n and line ends, inside".to_vec();
        for cut in 0..text.len() {
            assert_eq!(body(&text[..cut]).expect("valid so far"), None, "cut {cut}");
        }
        assert_eq!(body(text).expect("valid"), Some((whole, text.len())));
    }

    #[test]
    fn trailers_belong_to_the_body_and_the_next_response_does_not() {
        let text = b"1\r\nx\r\n0\r\nA: b\r\nC: d\r\n\r\nHTTP/1.1 200 OK";
        assert_eq!(body(text).expect("valid"), Some((b"x".to_vec(), text.len() - 15)));
    }

    #[test]
    fn bytes_that_are_no_chunk_are_refused() {
        let texts: [&[u8]; 6] =
            [b"\r\nabc", b"-1\r\n", b"0x5\r\n", b"+5\r\nhello\r\n", b"5\r\nhelloX\r", b"fffffff\r\n"];
        for text in texts {
            assert!(parse_chunk(text).is_err(), "{:?}", String::from_utf8_lossy(text));
        }
        assert!(parse_chunk(&[b'1'; 5000]).is_err());
    }

    #[test]
    fn a_head_tells_its_status_and_fields() {
        let text = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\ntransfer-encoding: Chunked\r\n\r\nbody";
        let head = Head::parse(text).expect("valid").expect("complete");
        assert_eq!((head.status, head.bytes.len()), (200, text.len() - 4));
        assert_eq!(head.field("content-type"), Some("text/plain"));
        assert_eq!(head.field("content"), None);
        assert!(head.is_chunked());
        assert_eq!(Head::parse(&text[..40]).expect("valid so far"), None);
        assert!(Head::parse(b"SMTP 200\r\n\r\n").is_err());
        assert!(Head::parse(&[b'a'; 70_000]).is_err());
    }
}
