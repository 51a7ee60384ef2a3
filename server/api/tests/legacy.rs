use super::client::post;
use super::server::{Options, start};

#[tokio::test]
async fn commands_are_answered_line_by_line() {
    let server = start(Options::default()).await;
    let body = concat!(
        r#"{"id":1,"method":"publish","params":{"channel":"news","data":1}}"#,
        "\n",
        r#"{"method":9}{"id":3,"method":6,"params":{"channel":"news"}}"#,
        r#"{"id":4,"method":99,"params":{}}{"id":5,"method":"connections","params":{}}"#,
        r#"{"id":6,"method":"presence","params":{"channel":1}}"#,
    );
    let answer = post(server.address, "/api", body).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["content-type"], "application/json");
    let lines: Vec<&str> = answer.text().split('\n').collect();
    assert_eq!(lines[0], r#"{"id":1,"result":{}}"#);
    assert!(lines[1].starts_with(r#"{"result":{"nodes":["#), "{}", lines[1]);
    assert_eq!(lines[2], r#"{"id":3,"error":{"code":108,"message":"not available"}}"#);
    assert_eq!(lines[3], r#"{"id":4,"error":{"code":104,"message":"not found"}}"#);
    assert_eq!(lines[4], r#"{"id":5,"error":{"code":104,"message":"not found"}}"#);
    assert_eq!(lines[5], r#"{"id":6,"error":{"code":107,"message":"bad request"}}"#);
    assert_eq!(lines.len(), 6);
}

#[tokio::test]
async fn a_malformed_command_fails_the_request_after_earlier_ones_ran() {
    let server = start(Options::default()).await;
    let publish = r#"{"method":"publish","params":{"channel":"news","data":1}}"#;
    for (body, delivered) in [
        (String::new(), 0),
        ("{".to_owned(), 0),
        (format!("{publish}{{"), 1),
        (format!(r#"{publish}{{"method":"nothing"}}"#), 1),
    ] {
        server.notes.delivered.lock().clear();
        let answer = post(server.address, "/api", &body).await;
        assert_eq!((answer.status, answer.text()), (400, "Bad Request\n"), "{body}");
        assert_eq!(server.notes.delivered.lock().len(), delivered, "{body}");
    }
}

#[tokio::test]
async fn a_stopping_node_sends_callers_elsewhere() {
    let server = start(Options::default()).await;
    server.api.stop();
    assert_eq!(post(server.address, "/api", r#"{"method":"info"}"#).await.status, 503);
    assert_eq!(post(server.address, "/api/info", "{}").await.status, 200);
}
