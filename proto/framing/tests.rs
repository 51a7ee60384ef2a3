use proptest::prelude::*;

use super::*;

fn read(protocol: Protocol, frame: &'static [u8]) -> Vec<Result<client::Command, FrameError>> {
    commands(protocol, Bytes::from_static(frame)).collect()
}

/// Ids of the commands read, and the error if there was one.
fn ids(protocol: Protocol, frame: &'static [u8]) -> (Vec<u32>, Option<FrameError>) {
    let mut ids = Vec::new();
    for result in read(protocol, frame) {
        match result {
            Ok(command) => ids.push(command.id),
            Err(error) => return (ids, Some(error)),
        }
    }
    (ids, None)
}

#[test]
fn lines_are_commands_and_the_last_line_feed_is_optional() {
    assert_eq!(ids(Protocol::Json, b"{\"id\":1}"), (vec![1], None));
    assert_eq!(ids(Protocol::Json, b"{\"id\":1}\n"), (vec![1], None));
    let two = (vec![1, 2], None);
    assert_eq!(ids(Protocol::Json, b"{\"id\":1}\n{\"id\":2}"), two);
    assert_eq!(ids(Protocol::Json, b"{\"id\":1}\r\n{\"id\":2}\r\n"), two);
}

#[test]
fn blank_line_is_an_error_after_the_commands_before_it() {
    let blank = Some(FrameError::BlankLine);
    assert_eq!(ids(Protocol::Json, b"\n"), (vec![], blank.clone()));
    assert_eq!(ids(Protocol::Json, b"{\"id\":1}\n\n"), (vec![1], blank.clone()));
    assert_eq!(ids(Protocol::Json, b"\n{\"id\":1}"), (vec![], blank.clone()));
    assert_eq!(ids(Protocol::Json, b"{\"id\":1}\n\n{\"id\":2}"), (vec![1], blank));
}

#[test]
fn empty_frame_is_an_error() {
    for protocol in [Protocol::Json, Protocol::Protobuf] {
        assert_eq!(read(protocol, b""), [Err(FrameError::Empty)]);
    }
}

#[test]
fn rest_of_a_line_behind_the_command_is_ignored() {
    assert_eq!(ids(Protocol::Json, b"{\"id\":1} }]garbage\n{\"id\":2}"), (vec![1, 2], None));
}

#[test]
fn malformed_command_ends_the_frame() {
    let results = read(Protocol::Json, b"{\"id\":1}\n{\"id\":}\n{\"id\":3}");
    assert_eq!(results.len(), 2);
    assert!(matches!(results[1], Err(FrameError::Json(_))));
}

#[test]
fn protobuf_messages_follow_their_lengths() {
    assert_eq!(ids(Protocol::Protobuf, b"\x02\x08\x01\x02\x08\x02"), (vec![1, 2], None));
    assert_eq!(ids(Protocol::Protobuf, b"\0"), (vec![0], None));
}

#[test]
fn declared_length_beyond_the_frame_is_refused() {
    let error = FrameError::LengthExceedsFrame { declared: u64::MAX, available: 2 };
    let frame = b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x08\x01";
    assert_eq!(ids(Protocol::Protobuf, frame), (vec![], Some(error)));
    let error = FrameError::LengthExceedsFrame { declared: 3, available: 2 };
    assert_eq!(ids(Protocol::Protobuf, b"\x03\x08\x01"), (vec![], Some(error)));
}

#[test]
fn unfinished_or_overlong_length_is_refused() {
    let malformed = Some(FrameError::MalformedLength);
    assert_eq!(ids(Protocol::Protobuf, b"\x80"), (vec![], malformed.clone()));
    let overlong = b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
    assert_eq!(ids(Protocol::Protobuf, overlong), (vec![], malformed));
}

#[test]
fn malformed_protobuf_ends_the_frame() {
    let results = read(Protocol::Protobuf, b"\x01\x08\x02\x08\x01");
    assert!(matches!(results.as_slice(), [Err(FrameError::Protobuf(_))]));
}

#[test]
fn appended_messages_are_separated() {
    let pong = client::Reply::default();
    let reply = client::Reply { id: 7, publish: Some(Box::default()), ..Default::default() };
    let mut frame = Vec::new();
    append(Protocol::Json, &mut frame, &reply);
    append(Protocol::Json, &mut frame, &pong);
    append_encoded(Protocol::Json, &mut frame, b"{}");
    assert_eq!(frame, b"{\"id\":7,\"publish\":{}}\n{}\n{}");

    let mut frame = Vec::new();
    append(Protocol::Protobuf, &mut frame, &reply);
    append(Protocol::Protobuf, &mut frame, &pong);
    append_encoded(Protocol::Protobuf, &mut frame, b"\x08\x01");
    assert_eq!(frame, b"\x04\x08\x07\x42\x00\x00\x02\x08\x01");
    assert_eq!(empty_message(Protocol::Protobuf), b"\0");
}

#[test]
fn payload_that_is_not_json_leaves_the_frame_as_it_was() {
    let reply = client::Reply {
        id: 1,
        rpc: Some(Box::new(client::RpcResult { data: Bytes::from_static(b"{} , \"x\":1") })),
        ..Default::default()
    };
    let mut frame = b"{}".to_vec();
    let error = try_append(Protocol::Json, &mut frame, &reply);
    assert_eq!(error, Err(InvalidRaw { field: "data" }));
    assert_eq!(frame, b"{}");
    assert_eq!(try_append(Protocol::Protobuf, &mut frame, &reply), Ok(()));
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(frame: Vec<u8>) {
        for protocol in [Protocol::Json, Protocol::Protobuf] {
            let results: Vec<_> = commands(protocol, Bytes::from(frame.clone())).collect();
            let copied: Vec<_> = commands(protocol, frame.as_slice()).collect();
            prop_assert_eq!(&results, &copied);
            prop_assert!(!results.is_empty());
            let errors = results.iter().filter(|result| result.is_err()).count();
            prop_assert!(errors <= 1);
        }
    }

    #[test]
    fn appended_messages_are_read_back(ids in prop::collection::vec(any::<u32>(), 1..20)) {
        for protocol in [Protocol::Json, Protocol::Protobuf] {
            let mut frame = Vec::new();
            for id in &ids {
                append(protocol, &mut frame, &client::Reply { id: *id, ..Default::default() });
            }
            let read: Result<Vec<_>, _> = replies(protocol, frame.as_slice()).collect();
            let read: Vec<_> = read.unwrap().into_iter().map(|reply| reply.id).collect();
            prop_assert_eq!(&read, &ids);
        }
    }
}
