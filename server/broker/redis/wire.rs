//! What stands in Redis and travels through it: protobuf messages, with a prefix when a position belongs to them.

use crate::broker::{ClientInfo, Epoch, Publication, StreamPosition};
use bytes::{Buf, Bytes};
use gyre_proto::client;
use prost::Message;
use std::sync::Arc;

/// The bytes are no message of this protocol.
#[derive(Debug, thiserror::Error)]
#[error("malformed message: {0}")]
pub(super) struct Malformed(pub(super) &'static str);

/// Something that arrived in a channel.
#[derive(Debug, PartialEq)]
pub(super) enum Arrival {
    Publication {
        publication: Publication,
        position: StreamPosition,
        delta: bool,
        previous: Option<Publication>,
    },
    Join(ClientInfo),
    Leave(ClientInfo),
}

/// Writes a publication; position and epoch stand elsewhere. `delta` says so to subscribers without history.
pub(super) fn write_publication(publication: &Publication, delta: bool) -> Vec<u8> {
    client::Publication {
        data: publication.data.clone(),
        info: publication.info.as_deref().map(Into::into),
        tags: publication.tags.as_deref().cloned().unwrap_or_default(),
        time: publication.time,
        version: publication.version,
        delta,
        ..Default::default()
    }
    .encode_to_vec()
}

/// Writes who joined or left.
pub(super) fn write_presence(joined: bool, info: &ClientInfo) -> Vec<u8> {
    let mut bytes = if joined { b"__j__".to_vec() } else { b"__l__".to_vec() };
    let info = client::ClientInfo::from(info);
    bytes.reserve(info.encoded_len());
    info.encode_raw(&mut bytes);
    bytes
}

/// Reads what arrived in a channel.
pub(super) fn read_arrival(mut bytes: Bytes) -> Result<Arrival, Malformed> {
    let plain = |publication: client::Publication, position: StreamPosition, delta| {
        let delta = delta || publication.delta;
        let mut position = position;
        if position.offset == 0 && publication.offset > 0 {
            // Brokers without prefixes put the position into the message.
            position =
                StreamPosition { offset: publication.offset, epoch: publication.epoch.as_str().into() };
        }
        let publication = from_wire(publication, position.offset);
        Arrival::Publication { publication, position, delta, previous: None }
    };
    if !bytes.starts_with(b"__") {
        return Ok(plain(decode(bytes)?, StreamPosition::default(), false));
    }
    match bytes.get(2) {
        Some(b'j') if bytes.starts_with(b"__j__") => Ok(Arrival::Join(read_info(bytes.slice(5..))?)),
        Some(b'l') if bytes.starts_with(b"__l__") => Ok(Arrival::Leave(read_info(bytes.slice(5..))?)),
        Some(b'p') => {
            let (position, body) = read_positioned(bytes)?;
            Ok(plain(decode(body)?, position, false))
        }
        Some(b'd') if bytes.starts_with(b"__d1:") => {
            bytes.advance(5);
            let offset = number(&mut bytes)?;
            let epoch = until_colon(&mut bytes)?;
            let previous = counted(&mut bytes)?;
            if bytes.is_empty() {
                return Err(Malformed("a delta without publication"));
            }
            // The colon between the two.
            bytes.advance(1);
            let body = counted(&mut bytes)?;
            let position = StreamPosition { offset, epoch: epoch_of(&epoch)? };
            let previous = if previous.is_empty() { None } else { Some(read_previous(previous)?) };
            let publication = from_wire(decode(body)?, offset);
            Ok(Arrival::Publication { publication, position, delta: true, previous })
        }
        _ => Err(Malformed("an unknown prefix")),
    }
}

/// Reads `__p1:<offset>:<epoch>__` and what follows it.
pub(super) fn read_positioned(mut bytes: Bytes) -> Result<(StreamPosition, Bytes), Malformed> {
    if !bytes.starts_with(b"__p1:") {
        return Err(Malformed("no position"));
    }
    bytes.advance(5);
    let offset = number(&mut bytes)?;
    let end = memchr::memmem::find(&bytes, b"__").ok_or(Malformed("a position without end"))?;
    let epoch = bytes.split_to(end);
    bytes.advance(2);
    Ok((StreamPosition { offset, epoch: epoch_of(&epoch)? }, bytes))
}

/// Reads a publication as it is kept in history.
pub(super) fn read_publication(bytes: Bytes, offset: u64) -> Result<Publication, Malformed> {
    Ok(from_wire(decode(bytes)?, offset))
}

/// Reads who is meant.
pub(super) fn read_info(bytes: Bytes) -> Result<ClientInfo, Malformed> {
    client::ClientInfo::decode(bytes).map(info_from_wire).map_err(|_| Malformed("no client info"))
}

/// In a list, what was before is an entry with its own position.
fn read_previous(bytes: Bytes) -> Result<Publication, Malformed> {
    if bytes.starts_with(b"__p1:") {
        let (position, body) = read_positioned(bytes)?;
        return read_publication(body, position.offset);
    }
    read_publication(bytes, 0)
}

fn decode(bytes: Bytes) -> Result<client::Publication, Malformed> {
    client::Publication::decode(bytes).map_err(|_| Malformed("no publication"))
}

fn from_wire(publication: client::Publication, offset: u64) -> Publication {
    Publication {
        offset,
        data: publication.data,
        info: publication.info.map(|info| Arc::new(info_from_wire(info))),
        tags: (!publication.tags.is_empty()).then(|| Arc::new(publication.tags)),
        time: publication.time,
        version: publication.version,
        channel: None,
    }
}

fn info_from_wire(info: client::ClientInfo) -> ClientInfo {
    ClientInfo { user: info.user, client: info.client, conn_info: info.conn_info, chan_info: info.chan_info }
}

fn epoch_of(bytes: &[u8]) -> Result<Epoch, Malformed> {
    std::str::from_utf8(bytes).map(Epoch::from).map_err(|_| Malformed("an epoch that is no text"))
}

fn until_colon(bytes: &mut Bytes) -> Result<Bytes, Malformed> {
    let end = memchr::memchr(b':', bytes).ok_or(Malformed("a field without end"))?;
    let field = bytes.split_to(end);
    bytes.advance(1);
    Ok(field)
}

fn number(bytes: &mut Bytes) -> Result<u64, Malformed> {
    let field = until_colon(bytes)?;
    std::str::from_utf8(&field).ok().and_then(|text| text.parse().ok()).ok_or(Malformed("a wrong number"))
}

/// Reads `<length>:<bytes>`.
fn counted(bytes: &mut Bytes) -> Result<Bytes, Malformed> {
    let length = usize::try_from(number(bytes)?).map_err(|_| Malformed("a wrong length"))?;
    if length > bytes.len() {
        return Err(Malformed("a length beyond the end"));
    }
    Ok(bytes.split_to(length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn publication(data: &'static str, offset: u64) -> Publication {
        Publication { offset, data: Bytes::from_static(data.as_bytes()), time: 7, ..Default::default() }
    }

    fn body(data: &'static str) -> Vec<u8> {
        write_publication(&publication(data, 0), false)
    }

    fn position(offset: u64) -> StreamPosition {
        StreamPosition { offset, epoch: "abcd".into() }
    }

    #[test]
    fn publications_carry_their_position_in_front() {
        let bytes = [&b"__p1:12:abcd__"[..], &body("x__y")].concat();
        let expected = Arrival::Publication {
            publication: publication("x__y", 12),
            position: position(12),
            delta: false,
            previous: None,
        };
        assert_eq!(read_arrival(bytes.into()).expect("is read"), expected);
    }

    #[test]
    fn deltas_carry_the_publication_before() {
        let (before, now) = (body("a:b"), body("c"));
        for stored in [before.clone(), [&b"__p1:4:abcd__"[..], &before].concat()] {
            let head = format!("__d1:5:abcd:{}:", stored.len());
            let middle = format!(":{}:", now.len());
            let bytes = [head.as_bytes(), &stored, middle.as_bytes(), &now].concat();
            let Ok(Arrival::Publication { publication: read, position: at, delta, previous }) =
                read_arrival(bytes.into())
            else {
                panic!("no publication")
            };
            assert_eq!((read, at, delta), (publication("c", 5), position(5), true));
            assert_eq!(previous.expect("the one before").data, "a:b");
        }
        let bytes = [format!("__d1:1:abcd:0::{}:", now.len()).as_bytes(), &now].concat();
        let read = read_arrival(bytes.into());
        assert!(matches!(read, Ok(Arrival::Publication { delta: true, previous: None, .. })), "{read:?}");
    }

    #[test]
    fn who_joins_and_leaves_is_told_apart() {
        let info = ClientInfo { user: "u".into(), client: "c".into(), ..Default::default() };
        assert_eq!(
            read_arrival(write_presence(true, &info).into()).expect("is read"),
            Arrival::Join(info.clone())
        );
        assert_eq!(read_arrival(write_presence(false, &info).into()).expect("is read"), Arrival::Leave(info));
    }

    #[test]
    fn without_history_the_delta_flag_is_in_the_message() {
        let bytes = write_publication(&publication("x", 0), true);
        let read = read_arrival(bytes.into());
        assert!(matches!(read, Ok(Arrival::Publication { delta: true, .. })), "{read:?}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
            for prefix in [&b""[..], b"__", b"__p1:", b"__d1:", b"__d1:1:e:", b"__j__"] {
                let _ = read_arrival([prefix, &bytes].concat().into());
            }
        }
    }
}
