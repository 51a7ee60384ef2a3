use super::client::{post, request};
use super::server::{Options, key, start};
use std::sync::Arc;

#[tokio::test]
async fn publish_answers_with_the_position() {
    let server = start(Options::default()).await;
    let answer = post(server.address, "/api/publish", r#"{"channel":"news","data":{"a": 1}}"#).await;
    assert_eq!((answer.status, answer.text()), (200, r#"{"result":{}}"#));
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(answer.headers["content-length"], "13");

    let kept = r#"{"channel":"kept:a","data":1,"tags":{"x":"y"}}"#;
    let answer = post(server.address, "/api/publish", kept).await;
    assert!(answer.text().starts_with(r#"{"result":{"offset":1,"epoch":""#), "{}", answer.text());

    let delivered = server.notes.delivered.lock();
    assert_eq!(&delivered[0].1.data[..], br#"{"a": 1}"#, "payloads stay as they are written");
    assert_eq!(delivered[1].1.tags.as_ref().expect("tags")["x"], "y");
}

#[tokio::test]
async fn payloads_come_raw_or_as_base64() {
    let server = start(Options::default()).await;
    for (body, expected, delivered) in [
        (r#"{"channel":"news","b64data":"AQID"}"#, r#"{"result":{}}"#, Some(&b"\x01\x02\x03"[..])),
        (r#"{"channel":"news","data":1,"b64data":"Mg=="}"#, r#"{"result":{}}"#, Some(b"2")),
        (r#"{"channel":"news","data":null}"#, r#"{"result":{}}"#, Some(b"null")),
        (r#"{"channel":"news","b64data":"!"}"#, r#"{"error":{"code":107,"message":"bad request"}}"#, None),
        (r#"{"channel":"news"}"#, r#"{"error":{"code":107,"message":"bad request"}}"#, None),
    ] {
        server.notes.delivered.lock().clear();
        let answer = post(server.address, "/api/publish", body).await;
        assert_eq!((answer.status, answer.text()), (200, expected), "{body}");
        let payload = server.notes.delivered.lock().first().map(|(_, publication)| publication.data.clone());
        assert_eq!(payload.as_deref(), delivered, "{body}");
    }
}

#[tokio::test]
async fn errors_stand_in_the_body() {
    let server = start(Options::default()).await;
    for (path, body, code, message) in [
        ("publish", r#"{"channel":"","data":1}"#, 107, "bad request"),
        ("publish", r#"{"channel":"none:a","data":1}"#, 102, "unknown channel"),
        ("publish", r#"{"channel":"map:a","data":1}"#, 107, "bad request"),
        ("broadcast", r#"{"channels":[],"data":1}"#, 107, "bad request"),
        ("subscribe", r#"{"user":"1"}"#, 107, "bad request"),
        ("subscribe", r#"{"channel":"none:a"}"#, 102, "unknown channel"),
        ("subscribe", r#"{"channel":"a","b64data":"!"}"#, 107, "bad request"),
        ("subscribe", r#"{"channel":"a","expire_at":1}"#, 100, "internal server error"),
        ("unsubscribe", r#"{"channel":"none:a"}"#, 102, "unknown channel"),
        ("presence", r#"{"channel":"news"}"#, 108, "not available"),
        ("presence_stats", r#"{"channel":"none:a"}"#, 102, "unknown channel"),
        ("history", r#"{"channel":"news"}"#, 108, "not available"),
        (
            "history",
            r#"{"channel":"kept:a","since":{"offset":1,"epoch":"x"}}"#,
            112,
            "unrecoverable position",
        ),
        (
            "history",
            r#"{"channel":"kept:a","limit":1,"reverse":true,"since":{"offset":0,"epoch":""}}"#,
            100,
            "internal server error",
        ),
        ("history_remove", r#"{"channel":"news"}"#, 108, "not available"),
        ("channels", r#"{"pattern":"["}"#, 100, "internal server error"),
        ("rpc", r#"{"method":""}"#, 107, "bad request"),
        ("rpc", r#"{"method":"x"}"#, 104, "not found"),
        ("map_publish", r#"{"channel":"kept:a","key":"k","data":1}"#, 107, "bad request"),
        ("map_read_state", r#"{"channel":"none:a"}"#, 102, "unknown channel"),
        ("shared_poll_publish", r#"{"channel":"a","key":"k"}"#, 107, "bad request"),
    ] {
        let answer = post(server.address, &format!("/api/{path}"), body).await;
        let expected = format!(r#"{{"error":{{"code":{code},"message":"{message}"}}}}"#);
        assert_eq!((answer.status, answer.text()), (200, &*expected), "{path} {body}");
    }
}

#[tokio::test]
async fn transport_error_mode_uses_statuses() {
    let server = start(Options::default()).await;
    let mode = [("X-Centrifugo-Error-Mode", "transport")];
    for (path, body, status, text) in [
        ("publish", r#"{"channel":"none:a","data":1}"#, 404, r#"{"code":102,"message":"unknown channel"}"#),
        ("rpc", r#"{"method":"x"}"#, 404, r#"{"code":104,"message":"not found"}"#),
        ("publish", "{}", 400, r#"{"code":107,"message":"bad request"}"#),
        ("presence", r#"{"channel":"a"}"#, 400, r#"{"code":108,"message":"not available"}"#),
        (
            "history",
            r#"{"channel":"kept:a","since":{"epoch":"x"}}"#,
            416,
            r#"{"code":112,"message":"unrecoverable position"}"#,
        ),
        ("channels", r#"{"pattern":"["}"#, 500, r#"{"code":100,"message":"internal server error"}"#),
        ("info", "{}", 200, ""),
        (
            "batch",
            r#"{"commands":[{}]}"#,
            200,
            r#"{"replies":[{"error":{"code":104,"message":"not found"}}]}"#,
        ),
    ] {
        let answer = request(server.address, "POST", &format!("/api/{path}"), &mode, body.as_bytes()).await;
        assert_eq!(answer.status, status, "{path}");
        assert!(text.is_empty() || answer.text() == text, "{path}: {}", answer.text());
        assert_eq!(answer.headers["content-type"], "application/json");
    }
    let server = start(Options { transport_errors: true, ..Options::default() }).await;
    assert_eq!(post(server.address, "/api/publish", "{}").await.status, 400);
}

#[tokio::test]
async fn bodies_must_be_one_json_object() {
    let server = start(Options { body_limit: 1 << 20, ..Options::default() }).await;
    let deep = format!(r#"{{"channel":"a","data":{}1{}}}"#, "[".repeat(200_000), "]".repeat(200_000));
    let deep_unknown = format!(r#"{{"x":{}"#, "[{\"a\":".repeat(100_000));
    let deep_filter =
        format!(r#"{{"user":"1","label_filter":{}{}}}"#, r#"{"nodes":["#.repeat(20_000), "]}".repeat(20_000));
    for (path, body, status) in [
        ("publish", "", 400),
        ("publish", "{", 400),
        ("publish", "[]", 400),
        ("publish", "1", 400),
        ("publish", r#"{"channel":1}"#, 400),
        ("publish", r#"{"channel":"a","data":{]}"#, 400),
        ("publish", "{}{}", 400),
        ("publish", "{} x", 400),
        ("publish", "null", 200),
        ("publish", " \n{\"unknown\":[1,{}],\"channel\":\"a\",\"data\":1}\n ", 200),
        ("publish", &deep, 400),
        ("publish", &deep_unknown, 400),
        ("disconnect", &deep_filter, 400),
    ] {
        let answer = post(server.address, &format!("/api/{path}"), body).await;
        assert_eq!(answer.status, status, "{path} {}", &body[..body.len().min(60)]);
        if status == 400 {
            assert_eq!(answer.text(), "Bad Request\n");
            assert_eq!(answer.headers["content-type"], "text/plain; charset=utf-8");
        }
    }
    let invalid = request(server.address, "POST", "/api/publish", &[], b"{\"channel\":\"\xff\"}").await;
    assert_eq!(invalid.status, 400);
    let large = vec![b' '; (1 << 20) + 1];
    let answer = request(server.address, "POST", "/api/publish", &[], &large).await;
    assert_eq!(answer.status, 413);
    // The server still serves.
    assert_eq!(post(server.address, "/api/info", "{}").await.status, 200);
}

#[tokio::test]
async fn a_body_without_length_is_limited_too() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let server = start(Options { body_limit: 1000, ..Options::default() }).await;
    let mut stream = tokio::net::TcpStream::connect(server.address).await.expect("connected");
    let head = "POST /api/publish HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.expect("sent");
    for _ in 0..20 {
        let chunk = format!("64\r\n{}\r\n", " ".repeat(100));
        let _ = stream.write_all(chunk.as_bytes()).await;
    }
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(answer, b"HTTP/1.1 413");
}

#[tokio::test]
async fn only_post_and_known_paths_are_served() {
    let server = start(Options { access: key("k"), ..Options::default() }).await;
    // The method is judged before the key.
    for method in ["GET", "PUT", "OPTIONS", "HEAD"] {
        let answer = request(server.address, method, "/api/publish", &[], b"").await;
        assert_eq!((answer.status, answer.text()), (405, ""), "{method}");
    }
    // Paths are judged before everything; methods that upstream sells do not exist.
    for path in ["/api/", "/api/nothing", "/api/publish/", "/api/connections", "/apix", "/x", "/"] {
        let answer = request(server.address, "POST", path, &[], b"{}").await;
        assert_eq!((answer.status, answer.text()), (404, "404 page not found\n"), "{path}");
    }
}

#[tokio::test]
async fn keys_are_taken_from_every_place() {
    let server = start(Options { access: key("k"), ..Options::default() }).await;
    for (path, headers, status) in [
        ("/api/info", vec![], 401),
        ("/api/info", vec![("X-API-Key", "k")], 200),
        ("/api/info", vec![("X-API-Key", "wrong")], 401),
        ("/api/info", vec![("Authorization", "apikey k")], 200),
        ("/api/info", vec![("Authorization", "APIKEY  k")], 200),
        ("/api/info", vec![("Authorization", "Bearer k")], 401),
        ("/api/info", vec![("X-API-Key", "wrong"), ("Authorization", "apikey k")], 401),
        ("/api/info?api_key=k", vec![], 200),
        ("/api/info?api_key=k", vec![("X-API-Key", "wrong")], 200),
        ("/api/info?api_key=wrong", vec![], 401),
        ("/api", vec![], 401),
    ] {
        let answer = request(server.address, "POST", path, &headers, b"{}").await;
        assert_eq!(answer.status, status, "{path} {headers:?}");
        if status == 401 {
            assert!(answer.body.is_empty() && !answer.headers.contains_key("www-authenticate"));
        }
    }
    let closed = start(Options { access: key(""), ..Options::default() }).await;
    let answer = request(closed.address, "POST", "/api/info?api_key=", &[("X-API-Key", "")], b"{}").await;
    assert_eq!(answer.status, 401);
}

#[tokio::test]
async fn the_prefix_can_be_the_root() {
    let server = start(Options { prefix: "/", ..Options::default() }).await;
    assert_eq!(post(server.address, "/info", "{}").await.status, 200);
    assert_eq!(post(server.address, "/", r#"{"method":"info"}"#).await.status, 200);
    assert_eq!(post(server.address, "/api/info", "{}").await.status, 404);
    assert_eq!(post(server.address, "/health", "").await.text(), "{}");
}

#[tokio::test]
async fn broadcast_answers_channel_by_channel() {
    let server = start(Options::default()).await;
    let body = r#"{"channels":["news","","none:a","map:a","json:a"],"b64data":"AQ==","idempotency_key":"k"}"#;
    let answer = post(server.address, "/api/broadcast", body).await;
    let expected = concat!(
        r#"{"result":{"responses":[{"result":{}},{"error":{"code":107,"message":"bad request"}},"#,
        r#"{"error":{"code":102,"message":"unknown channel"}},{"result":{}},"#,
        r#"{"error":{"code":107,"message":"bad request"}}]}}"#
    );
    assert_eq!(answer.text(), expected);
    let metrics = server.metrics();
    let line =
        r#"centrifugo_api_command_errors_total{protocol="http",method="broadcast_publish",error="107"} 2"#;
    assert!(metrics.contains(line), "{metrics}");
}

#[tokio::test]
async fn users_are_reached_with_everything_the_request_says() {
    let server = start(Options::default()).await;
    let ok = |text: &str| assert_eq!(text, r#"{"result":{}}"#);
    let body = r#"{"user":"1","channel":"kept:a","client":"c","session":"s","expire_at":1800000000,
        "b64info":"e30=","data":{"x":1},"recover_since":{"offset":3,"epoch":"e"},
        "override":{"presence":{"value":false},"force_recovery":{"value":true}},"all_users":true}"#;
    ok(post(server.address, "/api/subscribe", body).await.text());
    {
        let subscribed = server.notes.subscribed.lock();
        let request = &subscribed[0];
        assert_eq!(
            (&*request.target.user, &*request.target.client, &*request.target.session),
            ("1", "c", "s")
        );
        assert_eq!((&request.info[..], &request.data[..]), (&b"{}"[..], &b"{\"x\":1}"[..]));
        assert_eq!(request.recover_since.as_ref().map(|since| since.offset), Some(3));
        assert_eq!((request.presence, request.recovery), (Some(false), Some(true)));
        assert_eq!(request.join_leave, Some(false), "filled in from the namespace");
    }
    ok(post(server.address, "/api/unsubscribe", r#"{"user":"1"}"#).await.text());
    assert_eq!(server.notes.unsubscribed.lock()[0].channel, "");

    ok(post(server.address, "/api/disconnect", r#"{"user":"1","whitelist":["a"]}"#).await.text());
    let custom = r#"{"user":"1","disconnect":{"code":7,"reason":"x"}}"#;
    ok(post(server.address, "/api/disconnect", custom).await.text());
    {
        let disconnected = server.notes.disconnected.lock();
        assert_eq!((disconnected[0].code, &*disconnected[0].reason), (3503, "force disconnect"));
        assert_eq!(disconnected[0].whitelist, ["a"]);
        assert_eq!((disconnected[1].code, &*disconnected[1].reason), (7, "x"));
    }
    ok(post(server.address, "/api/refresh", r#"{"expired":true,"info":{"a":1}}"#).await.text());
    let refreshed = server.notes.refreshed.lock();
    assert_eq!((&*refreshed[0].target.user, refreshed[0].expired), ("", true));
    assert_eq!(&refreshed[0].info[..], b"{\"a\":1}");
}

#[tokio::test]
async fn presence_is_written_compact_and_escaped() {
    let server = start(Options::default()).await;
    let empty = post(server.address, "/api/presence", r#"{"channel":"kept:a"}"#).await;
    assert_eq!(empty.text(), r#"{"result":{"presence":{}}}"#);
    server.enter("kept:a", "c1", "").await;
    let answer = post(server.address, "/api/presence", r#"{"channel":"kept:a"}"#).await;
    assert_eq!(
        answer.text(),
        r#"{"result":{"presence":{"c1":{"user":"","client":"c1","conn_info":{"name":"\u003cb\u003e"}}}}}"#
    );
    let stats = post(server.address, "/api/presence_stats", r#"{"channel":"kept:a"}"#).await;
    assert_eq!(stats.text(), r#"{"result":{"num_clients":1,"num_users":1}}"#);
}

#[tokio::test]
async fn history_is_read_and_removed() {
    let server = start(Options::default()).await;
    for data in ["{ \"n\" : 1 }", "2", "3"] {
        let body = format!(r#"{{"channel":"kept:a","data":{data}}}"#);
        post(server.address, "/api/publish", &body).await;
    }
    let read = async |body: &str| {
        let answer = post(server.address, "/api/history", body).await;
        let value: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
        value["result"].clone()
    };
    let top = read(r#"{"channel":"kept:a"}"#).await;
    assert_eq!((&top["publications"], &top["offset"]), (&serde_json::json!([]), &serde_json::json!(3)));
    let all = post(server.address, "/api/history", r#"{"channel":"kept:a","limit":-1}"#).await;
    let start = r#"{"result":{"publications":[{"data":{"n":1},"offset":1},{"data":2,"offset":2},"#;
    assert!(all.text().starts_with(start), "{}", all.text());
    let last = read(r#"{"channel":"kept:a","limit":1,"reverse":true}"#).await;
    assert_eq!(last["publications"][0]["offset"], 3);
    let since = read(r#"{"channel":"kept:a","limit":10,"since":{"offset":2}}"#).await;
    assert_eq!(since["publications"].as_array().map(Vec::len), Some(1));

    let removed = post(server.address, "/api/history_remove", r#"{"channel":"kept:a"}"#).await;
    assert_eq!(removed.text(), r#"{"result":{}}"#);
    let rest = read(r#"{"channel":"kept:a","limit":-1}"#).await;
    assert_eq!(
        (rest["publications"].as_array().map(Vec::len), &rest["offset"]),
        (Some(0), &serde_json::json!(3))
    );
}

#[tokio::test]
async fn a_payload_without_json_form_is_an_error_of_the_server() {
    let server = start(Options::default()).await;
    post(server.address, "/api/publish", r#"{"channel":"kept:b","b64data":"AQID"}"#).await;
    let answer = post(server.address, "/api/history", r#"{"channel":"kept:b","limit":1}"#).await;
    assert_eq!((answer.status, answer.text()), (500, "Internal Server Error\n"));
}

#[tokio::test]
async fn channels_and_info_describe_the_node() {
    let server = start(Options::default()).await;
    let channels = post(server.address, "/api/channels", r#"{"pattern":"chat:*"}"#).await;
    assert_eq!(channels.text(), r#"{"result":{"channels":{"chat:1":{"num_clients":1}}}}"#);
    let none = post(server.address, "/api/channels", r#"{"pattern":"x"}"#).await;
    assert_eq!(none.text(), r#"{"result":{"channels":{}}}"#);
    let info = post(server.address, "/api/info", "{}").await;
    let uid = server.node.uid();
    let expected = format!(
        r#"{{"result":{{"nodes":[{{"uid":"{uid}","name":"test","version":"6.9.1 OSS","num_clients":3,"num_users":2,"num_channels":2,"num_subs":3}}]}}}}"#
    );
    assert_eq!(info.text(), expected);
    server.node.aggregate_metrics(std::time::Duration::from_secs(60));
    let info = post(server.address, "/api/info", "{}").await;
    let info: serde_json::Value = serde_json::from_slice(&info.body).expect("JSON");
    let metrics = &info["result"]["nodes"][0]["metrics"];
    assert_eq!(metrics["interval"], 60.0);
    assert_eq!(metrics["items"]["centrifugo.node.num_clients"], 3.0);
}

#[tokio::test]
async fn commands_are_measured() {
    let server = start(Options::default()).await;
    post(server.address, "/api/info", "{}").await;
    post(server.address, "/api/publish", "{}").await;
    post(server.address, "/api/publish", "{").await;
    let metrics = server.metrics();
    for line in [
        r#"centrifugo_api_command_duration_seconds_count{protocol="http",method="info"} 1"#,
        r#"centrifugo_api_command_duration_seconds_histogram_count{protocol="http",method="publish"} 1"#,
        r#"centrifugo_api_command_errors_total{protocol="http",method="publish",error="107"} 1"#,
        r#"centrifugo_api_command_errors_total{protocol="http",method="publish",error="unmarshal"} 1"#,
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
}

#[tokio::test]
async fn requests_share_a_connection_and_run_side_by_side() {
    let server = Arc::new(start(Options::default()).await);
    let tasks: Vec<_> = (0..50)
        .map(|n| {
            let server = Arc::clone(&server);
            tokio::spawn(async move {
                let body = format!(r#"{{"channel":"kept:{n}","data":{n}}}"#);
                post(server.address, "/api/publish", &body).await.status
            })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.expect("no panic"), 200);
    }
    assert_eq!(server.notes.delivered.lock().len(), 50);
}
