//! Cuts the body of a stream into messages, however it came in pieces.

use anyhow::{Context, Result, bail};
use std::borrow::Cow;

/// Longest message accepted from a server.
const MAX_MESSAGE: usize = 16 << 20;

/// What stands between the messages of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// A line end after each message.
    Lines,
    /// The length before each message, as Protobuf writes it.
    Delimited,
    /// Server-sent events whose data are the messages.
    Events,
    /// A flag and a length of four bytes before each message.
    Grpc,
}

/// The first message of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub struct Unit<'a> {
    pub message: Cow<'a, [u8]>,
    /// Bytes the message occupies with all that frames it.
    pub length: usize,
}

impl Framing {
    /// Reads the first message in `bytes`, or returns `None` while it is incomplete.
    ///
    /// # Errors
    /// For bytes that are not framed like this, compressed gRPC messages and messages of more than 16 MiB.
    pub fn next(self, bytes: &[u8]) -> Result<Option<Unit<'_>>> {
        let unit = match self {
            Self::Lines => line(bytes),
            Self::Delimited => delimited(bytes)?,
            Self::Events => event(bytes),
            Self::Grpc => grpc(bytes)?,
        };
        if unit.is_none() && bytes.len() > MAX_MESSAGE {
            bail!("message has no end within {} MiB", MAX_MESSAGE >> 20);
        }
        Ok(unit)
    }
}

fn line(bytes: &[u8]) -> Option<Unit<'_>> {
    let end = memchr::memchr(b'\n', bytes)?;
    Some(Unit { message: Cow::Borrowed(&bytes[..end]), length: end + 1 })
}

fn delimited(bytes: &[u8]) -> Result<Option<Unit<'_>>> {
    /// Longest length there is.
    const MAX_PREFIX: usize = 10;
    let ends = |byte: &u8| byte & 0x80 == 0;
    if bytes.len() < MAX_PREFIX && !bytes.iter().any(ends) {
        return Ok(None);
    }
    let mut rest = bytes;
    let size = prost::decode_length_delimiter(&mut rest).context("bad length before a message")?;
    if size > MAX_MESSAGE {
        bail!("message of {size} bytes exceeds {MAX_MESSAGE}");
    }
    let prefix = bytes.len() - rest.len();
    let message = rest.get(..size);
    Ok(message.map(|message| Unit { message: Cow::Borrowed(message), length: prefix + size }))
}

fn grpc(bytes: &[u8]) -> Result<Option<Unit<'_>>> {
    const HEADER: usize = 5;
    let [flag, size @ ..] = *match bytes.first_chunk::<HEADER>() {
        Some(header) => header,
        None => return Ok(None),
    };
    if flag != 0 {
        bail!("gRPC message with flag {flag}, though no compression was offered");
    }
    let size = u32::from_be_bytes(size) as usize;
    if size > MAX_MESSAGE {
        bail!("message of {size} bytes exceeds {MAX_MESSAGE}");
    }
    let message = bytes.get(HEADER..HEADER + size);
    Ok(message.map(|message| Unit { message: Cow::Borrowed(message), length: HEADER + size }))
}

/// Reads one event with data; comments, other fields and events without data are passed over with it.
///
/// Source: HTML standard, section 9.2.6. A carriage return that ends the bytes waits for what follows it, which may be
/// a line feed.
fn event(bytes: &[u8]) -> Option<Unit<'_>> {
    let mut data: Option<Cow<'_, [u8]>> = None;
    let mut start = 0;
    loop {
        let rest = &bytes[start..];
        let end = memchr::memchr2(b'\n', b'\r', rest)?;
        let line = &rest[..end];
        start += match rest[end..] {
            [b'\r', b'\n', ..] => end + 2,
            [b'\r'] => return None,
            _ => end + 1,
        };
        if line.is_empty() {
            if let Some(message) = data {
                return Some(Unit { message, length: start });
            }
        } else if let Some(value) = field(line, b"data") {
            data = Some(match data {
                None => Cow::Borrowed(value),
                Some(before) => Cow::Owned([before.as_ref(), b"\n", value].concat()),
            });
        }
    }
}

/// Returns the value of a line when its field is called `name`.
fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    match line.strip_prefix(name)? {
        [] => Some(&[]),
        [b':', b' ', value @ ..] | [b':', value @ ..] => Some(value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All messages of `text`, and how many bytes are left over.
    fn messages(framing: Framing, text: &[u8]) -> (Vec<Vec<u8>>, usize) {
        let (mut seen, mut rest) = (Vec::new(), text);
        while let Some(unit) = framing.next(rest).expect("valid") {
            seen.push(unit.message.into_owned());
            rest = &rest[unit.length..];
        }
        (seen, rest.len())
    }

    /// Checks that `text` has these messages, and that no cut brings one that is not whole.
    fn check(framing: Framing, text: &[u8], expected: &[&[u8]]) {
        assert_eq!(messages(framing, text), (expected.iter().map(|message| message.to_vec()).collect(), 0));
        for cut in 0..text.len() {
            let (seen, _) = messages(framing, &text[..cut]);
            assert!(seen.len() < expected.len(), "cut {cut}");
            assert!(seen.iter().zip(expected).all(|(seen, expected)| seen == expected), "cut {cut}");
        }
    }

    #[test]
    fn lines_end_with_a_line_feed() {
        check(Framing::Lines, b"{\"id\":1}\n{}\n", &[b"{\"id\":1}", b"{}"]);
    }

    #[test]
    fn delimited_messages_have_their_length_before_them() {
        let mut text = vec![0xac, 0x02];
        text.extend([7; 300]);
        text.extend([0, 1, 9]);
        check(Framing::Delimited, &text, &[&[7; 300], &[], &[9]]);
        assert!(Framing::Delimited.next(&[0xff; 12]).is_err());
        assert!(Framing::Delimited.next(&[0xff, 0xff, 0xff, 0xff, 0x0f]).is_err());
    }

    #[test]
    fn grpc_messages_are_plain_and_have_their_length_before_them() {
        check(Framing::Grpc, b"\0\0\0\0\x03abc\0\0\0\0\0\0\0\0\0\x01d", &[b"abc", b"", b"d"]);
        assert!(Framing::Grpc.next(b"\x01\0\0\0\x01a").is_err());
        assert!(Framing::Grpc.next(&[0, 0xff, 0, 0, 0]).is_err());
    }

    #[test]
    fn events_carry_their_data_and_nothing_else() {
        check(
            Framing::Events,
            b"\r\n: comment\ndata: {\"id\":1}\n\ndatabase: no\nevent: x\n\nid: 4\r\ndata:a\r\ndata: b\r\ndata\r\n\r\n\
              data:  c\r\rdata: d\n\n",
            &[b"{\"id\":1}", b"a\nb\n", b" c", b"d"],
        );
        assert_eq!(messages(Framing::Events, b"\r\n\r\n").0, Vec::<Vec<u8>>::new());
    }
}
