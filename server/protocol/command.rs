//! Commands one by one from a frame that holds several.

use super::Encoding;
use gyre_proto::client;
use gyre_proto::json::JsonDecode;
use prost::Message;

/// A frame does not hold what it should (disconnect 3501).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("frame does not start with what it should hold")]
pub struct Malformed;

/// Reads the command at the start of `frame` and returns it with the bytes it took, its separator included.
///
/// # Errors
/// [`Malformed`] when there is no complete command; a length beyond the end of the frame is refused before
/// anything is allocated.
///
/// Source: rows FRM-5 and FRM-6 of the protocol: JSON commands are lines, of which the last may end with a
/// newline; what follows the first value of a line is ignored. Protobuf commands are preceded by their length.
pub fn next_command(frame: &[u8], encoding: Encoding) -> Result<(client::Command, usize), Malformed> {
    match encoding {
        Encoding::Json => {
            let end = memchr::memchr(b'\n', frame).unwrap_or(frame.len());
            let (command, _) = client::Command::decode_json_prefix(&frame[..end]).map_err(|_| Malformed)?;
            Ok((command, (end + 1).min(frame.len())))
        }
        Encoding::Protobuf => {
            let mut rest = frame;
            let length = prost::encoding::decode_varint(&mut rest).map_err(|_| Malformed)?;
            let start = frame.len() - rest.len();
            let length =
                usize::try_from(length).ok().filter(|length| *length <= rest.len()).ok_or(Malformed)?;
            let command = client::Command::decode(&rest[..length]).map_err(|_| Malformed)?;
            Ok((command, start + length))
        }
    }
}

/// Reads the request a unidirectional connection begins with. `null` is an empty request; what follows the first
/// value is ignored.
///
/// # Errors
/// [`Malformed`] when it is none.
pub fn connect_request(request: &[u8]) -> Result<client::ConnectRequest, Malformed> {
    client::ConnectRequest::decode_json_prefix(request).map(|(request, _)| request).map_err(|_| Malformed)
}

/// Reads a message that is one command and nothing else.
///
/// # Errors
/// [`Malformed`] when it is none.
pub fn single_command(message: &[u8], encoding: Encoding) -> Result<client::Command, Malformed> {
    match encoding {
        Encoding::Json => {
            client::Command::decode_json_prefix(message).map(|(command, _)| command).map_err(|_| Malformed)
        }
        Encoding::Protobuf => client::Command::decode(message).map_err(|_| Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(frame: &[u8], encoding: Encoding) -> Result<Vec<u32>, Malformed> {
        let mut at = 0;
        let mut ids = Vec::new();
        while at < frame.len() {
            let (command, used) = next_command(&frame[at..], encoding)?;
            at += used;
            ids.push(command.id);
        }
        Ok(ids)
    }

    #[test]
    fn json_commands_are_lines() {
        assert_eq!(ids(b"{\"id\":1}", Encoding::Json), Ok(vec![1]));
        assert_eq!(ids(b"{\"id\":1}\n", Encoding::Json), Ok(vec![1]));
        assert_eq!(ids(b"{\"id\":1}\n{\"id\":2}", Encoding::Json), Ok(vec![1, 2]));
        assert_eq!(ids(b"{\"id\":1} garbage\n{\"ID\":2}", Encoding::Json), Ok(vec![1, 2]));
        assert_eq!(ids(b"{\"id\":1}\n\n{\"id\":2}", Encoding::Json), Err(Malformed));
        assert_eq!(ids(b"\n", Encoding::Json), Err(Malformed));
        assert_eq!(ids(b"nonsense", Encoding::Json), Err(Malformed));
    }

    #[test]
    fn protobuf_commands_are_preceded_by_their_length() {
        let command = client::Command { id: 7, ..Default::default() }.encode_length_delimited_to_vec();
        assert_eq!(ids(&[&command[..], &command[..]].concat(), Encoding::Protobuf), Ok(vec![7, 7]));
        assert_eq!(ids(&[0], Encoding::Protobuf), Ok(vec![0]));
        assert_eq!(ids(&[5, 8], Encoding::Protobuf), Err(Malformed));
        assert_eq!(ids(&[0xFF, 0xFF, 0xFF, 0xFF, 0x7F, 8], Encoding::Protobuf), Err(Malformed));
    }

    #[test]
    fn connect_requests_are_one_value() {
        assert_eq!(connect_request(b"null"), Ok(client::ConnectRequest::default()));
        assert_eq!(connect_request(b" {} {"), Ok(client::ConnectRequest::default()));
        assert_eq!(connect_request(b"{\"Name\":\"x\"}").map(|request| request.name), Ok("x".to_owned()));
        for malformed in [&b""[..], b"{", b"[]", b"1", b"\"x\""] {
            assert_eq!(connect_request(malformed), Err(Malformed));
        }
    }
}
