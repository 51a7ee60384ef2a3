use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::{api, client, proxy};

fn text(message: &impl JsonEncode) -> String {
    String::from_utf8(message.to_json()).unwrap()
}

fn decode<M: JsonDecode>(text: &str) -> M {
    M::decode_json(text.as_bytes()).unwrap()
}

fn fault<M: JsonDecode + std::fmt::Debug>(text: &[u8]) -> JsonErrorKind {
    M::decode_json(text).unwrap_err().kind()
}

mod writing {
    use super::*;

    #[test]
    fn keys_follow_the_contract_and_zero_values_are_left_out() {
        let reply = client::Reply {
            id: 1,
            connect: Some(Box::new(client::ConnectResult {
                client: "c".into(),
                version: "v".into(),
                ping: 25,
                pong: true,
                ..Default::default()
            })),
            ..Default::default()
        };
        assert_eq!(text(&reply), r#"{"id":1,"connect":{"client":"c","version":"v","ping":25,"pong":true}}"#);
        assert_eq!(text(&client::Reply::default()), "{}");
    }

    #[test]
    fn fields_annotated_always_are_written_empty() {
        assert_eq!(text(&client::HistoryResult::default()), r#"{"publications":[],"epoch":"","offset":0}"#);
        assert_eq!(text(&client::PresenceResult::default()), r#"{"presence":{}}"#);
        assert_eq!(text(&client::PresenceStatsResult::default()), r#"{"num_clients":0,"num_users":0}"#);
        assert_eq!(text(&client::ClientInfo::default()), r#"{"user":"","client":""}"#);
        assert_eq!(text(&api::ChannelsResult::default()), r#"{"channels":{}}"#);
        assert_eq!(text(&api::PublishResult::default()), "{}");
        assert_eq!(text(&proxy::RefreshRequest::default()), r#"{"user":""}"#);
    }

    #[test]
    fn integers_are_numbers_to_their_last_digit() {
        let publication = client::Publication { offset: u64::MAX, score: i64::MIN, ..Default::default() };
        assert_eq!(text(&publication), r#"{"offset":18446744073709551615,"score":-9223372036854775808}"#);
    }

    #[test]
    fn doubles_are_short() {
        let mut items = BTreeMap::new();
        items.insert("b".to_owned(), 0.5);
        items.insert("a".to_owned(), 3.0);
        items.insert("nan".to_owned(), f64::NAN);
        let metrics = api::Metrics { interval: 60.0, items };
        assert_eq!(text(&metrics), r#"{"interval":60,"items":{"a":3,"b":0.5,"nan":null}}"#);
    }

    #[test]
    fn payloads_lose_line_feeds_only() {
        let publication = client::Publication {
            data: Bytes::from_static(b"{ \"a\" :\r\n\t\"<&>\" }\n"),
            ..Default::default()
        };
        assert_eq!(text(&publication), "{\"data\":{ \"a\" :\r\t\"<&>\" }}");
    }

    #[test]
    fn payloads_of_the_api_are_compacted_and_escaped() {
        let publication = api::Publication {
            data: "{ \"a b\" :\r\n\t[ 1 , \"<&> \\\" \u{2028} \u{2029} \u{2030}\" ] }".to_owned().into(),
            ..Default::default()
        };
        assert_eq!(
            text(&publication),
            "{\"data\":{\"a b\":[1,\"\\u003c\\u0026\\u003e \\\" \\u2028 \\u2029 \u{2030}\"]}}"
        );
    }

    #[test]
    fn strings_are_safe_inside_html() {
        let disconnect = client::Disconnect {
            reason: "\"\\\n\r\t\u{8}\u{c}\u{0}\u{1f}\u{7f}</&>\u{2028}\u{2029}\u{2030}é😀".into(),
            ..Default::default()
        };
        assert_eq!(
            text(&disconnect),
            concat!(
                r#"{"reason":"\"\\\n\r\t\u0008\u000c\u0000\u001f"#,
                "\u{7f}",
                r#"\u003c/\u0026\u003e\u2028\u2029"#,
                "\u{2030}é😀\"}"
            )
        );
    }

    #[test]
    fn text_payloads_are_strings() {
        let request =
            client::EmulationRequest { data: Bytes::from_static(b"{\"id\":1}\n\xff"), ..Default::default() };
        assert_eq!(text(&request), "{\"data\":\"{\\\"id\\\":1}\\n\u{fffd}\"}");
    }

    #[test]
    fn maps_ascend_and_keys_are_escaped() {
        let tags = [("b", "2"), ("a<", "1")];
        let publication = client::Publication {
            tags: tags.map(|(key, value)| (key.into(), value.into())).into(),
            ..Default::default()
        };
        assert_eq!(text(&publication), r#"{"tags":{"a\u003c":"1","b":"2"}}"#);
    }

    #[test]
    fn payload_that_is_not_json_is_refused_when_asked() {
        for data in ["", "{", "{}}", "1,2", "\u{1}", "nul", "01", "\"\\x\"", "'a'"] {
            let rpc = client::RpcResult { data: data.into() };
            let mut out = b"before".to_vec();
            let result = rpc.try_encode_json(&mut out);
            if data.is_empty() {
                assert_eq!((result, out.as_slice()), (Ok(()), &b"before{}"[..]));
            } else {
                assert_eq!(result, Err(InvalidRaw { field: "data" }), "{data}");
                assert_eq!(out, b"before");
            }
        }
        let rpc = client::RpcResult { data: Bytes::from_static(b"\"\xff\"") };
        assert!(rpc.try_encode_json(&mut Vec::new()).is_err());
    }
}

mod reading {
    use super::*;

    #[test]
    fn command_with_payload() {
        let text = r#" { "id" : 2 , "publish" : { "channel" : "c" , "data" : { "a" : [ 1 ] } } } "#;
        let command: client::Command = decode(text);
        let publish = command.publish.unwrap();
        assert_eq!((command.id, publish.channel.as_str()), (2, "c"));
        assert_eq!(publish.data, r#"{ "a" : [ 1 ] }"#);
    }

    #[test]
    fn keys_match_regardless_of_case_and_escapes() {
        let command: client::Command = decode(r#"{"ID":3,"Sub_Refresh":{"\u0074oken":"t"}}"#);
        assert_eq!((command.id, command.sub_refresh.unwrap().token.as_str()), (3, "t"));
    }

    #[test]
    fn unknown_fields_are_skipped() {
        let command: client::Command =
            decode(r#"{"x":[{"id":9},[],{},"]",null,-1.5e+3,true,false],"id":4,"y":{}}"#);
        assert_eq!(command.id, 4);
    }

    #[test]
    fn null_is_absent_but_stays_in_payloads() {
        let command: client::Command =
            decode(r#"{"id":null,"connect":null,"publish":{"channel":null,"data":null}}"#);
        assert_eq!((command.id, command.connect), (0, None));
        let publish = command.publish.unwrap();
        assert_eq!((publish.channel.as_str(), &publish.data[..]), ("", &b"null"[..]));
        let node: client::FilterNode = decode(r#"{"vals":null,"nodes":[null,{"op":"and"}]}"#);
        assert_eq!((node.vals.len(), node.nodes.len()), (0, 2));
        let publication: client::Publication = decode(r#"{"tags":null,"offset":null}"#);
        assert_eq!(publication, client::Publication::default());
        assert_eq!(decode::<client::Command>(" null "), client::Command::default());
    }

    #[test]
    fn last_of_equal_keys_counts() {
        let command: client::Command = decode(r#"{"id":1,"Id":2,"id":3}"#);
        assert_eq!(command.id, 3);
        let node: client::FilterNode = decode(r#"{"vals":["a","b"],"vals":["c"]}"#);
        assert_eq!(node.vals, ["c"]);
    }

    #[test]
    fn strings_are_unescaped() {
        let request: client::RpcRequest =
            decode(r#"{"method":"\"\\\/\b\f\n\r\té\u00e9\ud83d\ude00\ud83d\u0041\udc00\ud800"}"#);
        assert_eq!(request.method, "\"\\/\u{8}\u{c}\n\r\téé😀\u{fffd}A\u{fffd}\u{fffd}");
    }

    #[test]
    fn integers_are_exact_and_bounded() {
        let publication: client::Publication =
            decode(r#"{"offset":18446744073709551615,"score":-9223372036854775808}"#);
        assert_eq!((publication.offset, publication.score), (u64::MAX, i64::MIN));
        let out_of_range = |text: &str| match fault::<client::Command>(text.as_bytes()) {
            JsonErrorKind::OutOfRange(_) => {}
            other => panic!("{text}: {other}"),
        };
        out_of_range(r#"{"id":4294967296}"#);
        out_of_range(r#"{"id":-1}"#);
        out_of_range(r#"{"publish":{"type":2147483648}}"#);
        out_of_range(r#"{"history":{"since":{"offset":18446744073709551616}}}"#);
        for text in [r#"{"id":1.0}"#, r#"{"id":1e2}"#] {
            assert_eq!(fault::<client::Command>(text.as_bytes()), JsonErrorKind::WrongType("an integer"));
        }
    }

    #[test]
    fn doubles_are_read() {
        let metrics: api::Metrics = decode(r#"{"interval":1.5e1,"items":{"a":-0.25,"b":7}}"#);
        assert_eq!((metrics.interval, metrics.items["a"], metrics.items["b"]), (15.0, -0.25, 7.0));
        assert!(api::Metrics::decode_json(br#"{"interval":1e999}"#).is_err());
    }

    #[test]
    fn values_of_another_type_are_refused() {
        let wrong = |text: &str, expected| {
            assert_eq!(
                fault::<client::Command>(text.as_bytes()),
                JsonErrorKind::WrongType(expected),
                "{text}"
            );
        };
        wrong(r#"{"id":"1"}"#, "a number");
        wrong(r#"{"connect":[]}"#, "an object");
        wrong(r#"{"connect":{"token":1}}"#, "a string");
        wrong(r#"{"connect":{"headers":[]}}"#, "an object");
        wrong(r#"{"subscribe":{"recover":1}}"#, "a boolean");
        wrong(r#"{"subscribe":{"tf":{"vals":"a"}}}"#, "an array");
        wrong("[]", "an object");
        wrong("1", "an object");
    }

    #[test]
    fn faults_tell_field_and_offset() {
        let error = client::Command::decode_json(br#"{"id":1,"rpc":{"method":5}}"#).unwrap_err();
        assert_eq!((error.field(), error.offset()), (Some("method"), 24));
        assert_eq!(error.to_string(), "value is not a string at byte 24 in field method");
        let error = client::Command::decode_json(b"{").unwrap_err();
        assert_eq!(error.to_string(), "text ends too early at byte 1");
    }

    #[test]
    fn malformed_text_is_refused() {
        let texts: [&[u8]; 24] = [
            b"",
            b" ",
            b"{",
            b"{\"id\"",
            b"{\"id\":",
            b"{\"id\":1",
            b"{\"id\":1,",
            b"{\"id\":1,}",
            b"{,}",
            b"{id:1}",
            b"{\"id\":01}",
            b"{\"id\":1.}",
            b"{\"id\":-}",
            b"{\"id\":1}}",
            b"{\"id\":1} x",
            b"{\"x\":[1,]}",
            b"{\"x\":[1 2]}",
            b"{\"x\":{\"a\" 1}}",
            b"{\"x\":tru}",
            b"{\"x\":\"\t\"}",
            b"{\"x\":\"\\q\"}",
            b"{\"x\":\"\\u12g4\"}",
            b"{\"x\":\"\xff\"}",
            b"nul",
        ];
        for text in texts {
            assert!(client::Command::decode_json(text).is_err(), "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn prefix_leaves_the_rest() {
        let text = br#" {"id":5} {"id":"#;
        let (command, length) = client::Command::decode_json_prefix(text).unwrap();
        assert_eq!((command.id, length), (5, 9));
    }

    #[test]
    fn shared_payloads_are_slices_of_the_input() {
        let input = Bytes::from_static(br#"{"rpc":{"data":[1,2]}}"#);
        let (command, _) = client::Command::decode_json_prefix_shared(&input).unwrap();
        let data = command.rpc.unwrap().data;
        assert_eq!(data, "[1,2]");
        assert_eq!(data.as_ptr(), input[15..].as_ptr());
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| format!("{}{}", r#"{"nodes":["#.repeat(depth), "]}".repeat(depth));
        assert!(client::FilterNode::decode_json(nested(100).as_bytes()).is_ok());
        assert_eq!(fault::<client::FilterNode>(nested(101).as_bytes()), JsonErrorKind::TooDeep);
        assert_eq!(fault::<client::FilterNode>(nested(1_000_000).as_bytes()), JsonErrorKind::TooDeep);
        let raw = |depth: usize| format!(r#"{{"data":{}1{}}}"#, "[".repeat(depth), "]".repeat(depth));
        assert!(client::RpcRequest::decode_json(raw(10_000).as_bytes()).is_ok());
        let too_deep = client::RpcRequest::decode_json(raw(10_001).as_bytes());
        assert!(too_deep.is_err_and(|error| error.kind() == JsonErrorKind::TooDeep));
        assert!(!is_valid("[".repeat(1_000_000).as_bytes()));
    }

    #[test]
    fn base64_twin_wins_unless_empty() {
        let mut request = api::PublishRequest { data: Bytes::from_static(b"1"), ..Default::default() };
        assert_eq!(request.data_bytes().unwrap(), "1");
        request.b64data = "aGVs\nbG8=".into();
        assert_eq!(request.data_bytes().unwrap(), "hello");
        request.b64data = "aGVsbG8".into();
        assert_eq!(request.data_bytes().unwrap_err().to_string(), "field b64data is not standard base64");
    }
}

/// JSON text of any shape, seldom far from valid.
fn json_text() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        any::<i64>().prop_map(|value| value.to_string()),
        any::<f64>()
            .prop_filter("finite", |value| value.is_finite())
            .prop_map(|value| serde_json::to_string(&value).unwrap()),
        any::<String>().prop_map(|value| serde_json::to_string(&value).unwrap()),
        "[-+0-9.eE\"\\\\nulltrefas{}\\[\\],: u]{0,8}",
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(|items| format!("[{}]", items.join(" ,"))),
            prop::collection::vec((any::<String>(), inner), 0..6).prop_map(|items| {
                let items: Vec<_> = items
                    .into_iter()
                    .map(|(key, value)| format!("{}: {value}", serde_json::to_string(&key).unwrap()))
                    .collect();
                format!("{{{}}}", items.join(","))
            }),
        ]
    })
}

fn publication() -> impl Strategy<Value = client::Publication> {
    (
        (any::<String>(), any::<u64>(), any::<i64>(), any::<bool>()),
        prop::collection::btree_map(any::<String>(), any::<String>(), 0..4),
        prop::option::of((any::<String>(), any::<String>())),
    )
        .prop_map(|((text, offset, number, flag), tags, info)| client::Publication {
            data: serde_json::to_vec(&text).unwrap().into(),
            info: info.map(|(user, client)| client::ClientInfo { user, client, ..Default::default() }),
            offset,
            tags,
            delta: flag,
            time: number,
            channel: text,
            score: number.wrapping_neg(),
            ..Default::default()
        })
}

proptest! {
    #[test]
    fn validity_agrees_with_serde_json(text in json_text()) {
        // serde_json allows 128 levels, the strategy makes no more than 6.
        let expected = serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok();
        prop_assert_eq!(is_valid(text.as_bytes()), expected);
    }

    #[test]
    fn decoded_payload_and_string_agree_with_serde_json(value in json_text(), string: String) {
        let string = serde_json::to_string(&string).unwrap();
        let text = format!(r#"{{"data":{value},"x":{value},"method":{string}}}"#);
        let decoded = client::RpcRequest::decode_json(text.as_bytes());
        // The oracle also refuses lone surrogates and numbers beyond a double.
        if let Ok(expected) = serde_json::from_str::<serde_json::Value>(&text) {
            let decoded = decoded.unwrap();
            prop_assert_eq!(
                serde_json::from_slice::<serde_json::Value>(&decoded.data).unwrap(),
                expected["data"].clone()
            );
            prop_assert_eq!(decoded.method.as_str(), expected["method"].as_str().unwrap());
        }
    }

    #[test]
    fn strings_are_written_as_serde_json_reads_them(string: String) {
        let mut out = Vec::new();
        write_string(&mut out, &string);
        prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), string);
        prop_assert!(!out.iter().any(|byte| b"<>&\n".contains(byte)));
    }

    #[test]
    fn any_bytes_are_decoded_without_panic(bytes: Vec<u8>) {
        _ = client::Command::decode_json(&bytes);
        _ = api::BatchRequest::decode_json(&bytes);
        _ = is_valid(&bytes);
    }

    #[test]
    fn damaged_text_is_decoded_without_panic(
        publication in publication(),
        position: prop::sample::Index,
        byte: u8,
    ) {
        let mut text = publication.to_json();
        let position = position.index(text.len());
        text[position] = byte;
        _ = client::Publication::decode_json(&text);
        text.truncate(position);
        prop_assert!(client::Publication::decode_json(&text).is_err());
    }

    #[test]
    fn messages_survive_json(publication in publication()) {
        let reply = client::Reply {
            push: Some(Box::new(client::Push {
                channel: "c".into(),
                r#pub: Some(Box::new(publication)),
                ..Default::default()
            })),
            ..Default::default()
        };
        let text = reply.to_json();
        prop_assert_eq!(&client::Reply::decode_json(&text).unwrap(), &reply);
        let mut checked = Vec::new();
        reply.try_encode_json(&mut checked).unwrap();
        prop_assert_eq!(&checked, &text);

        let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let (value, publication) = (&value["push"]["pub"], reply.push.unwrap().r#pub.unwrap());
        prop_assert_eq!(value["offset"].as_u64().unwrap_or(0), publication.offset);
        prop_assert_eq!(value["score"].as_i64().unwrap_or(0), publication.score);
        prop_assert_eq!(value["channel"].as_str().unwrap_or(""), &publication.channel);
        prop_assert_eq!(value["data"].as_str().unwrap(), &publication.channel);
        for (key, tag) in &publication.tags {
            prop_assert_eq!(value["tags"][key].as_str().unwrap(), tag);
        }
    }

    #[test]
    fn compact_payload_means_the_same(text in json_text()) {
        prop_assume!(is_valid(text.as_bytes()));
        let publication = api::Publication { data: text.clone().into(), ..Default::default() };
        let mut out = Vec::new();
        publication.try_encode_json(&mut out).unwrap();
        if let Ok(expected) = serde_json::from_str::<serde_json::Value>(&text) {
            let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
            prop_assert_eq!(&value["data"], &expected);
        }
    }

    #[test]
    fn protobuf_and_json_mean_the_same(publication in publication()) {
        let binary = client::Publication::decode(publication.encode_to_vec().as_slice()).unwrap();
        let json = client::Publication::decode_json(&publication.to_json()).unwrap();
        prop_assert_eq!(binary, json);
    }
}
