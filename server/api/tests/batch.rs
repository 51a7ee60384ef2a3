use super::client::post;
use super::server::{Options, start};

const COMMANDS: &str = r#"[{"publish":{"channel":"news","data":1}},{"publish":{"channel":"none:a","data":1}},
    {"presence_stats":{"channel":"kept:a"}},{},{"connections":{}},
    {"broadcast":{"channels":["kept:a"],"data":2,"skip_history":true}},{"rpc":{"method":"x"}}]"#;
const REPLIES: &str = concat!(
    r#"{"replies":[{"publish":{}},{"error":{"code":102,"message":"unknown channel"}},"#,
    r#"{"presence_stats":{"num_clients":0,"num_users":0}},{"error":{"code":104,"message":"not found"}},"#,
    r#"{"error":{"code":104,"message":"not found"}},{"broadcast":{"responses":[{"result":{}}]}},"#,
    r#"{"error":{"code":104,"message":"not found"}}]}"#
);

#[tokio::test]
async fn replies_are_bare_results_in_order() {
    let server = start(Options::default()).await;
    for parallel in [false, true] {
        let body = format!(r#"{{"commands":{COMMANDS},"parallel":{parallel}}}"#);
        let answer = post(server.address, "/api/batch", &body).await;
        assert_eq!((answer.status, answer.text()), (200, REPLIES), "parallel: {parallel}");
    }
    let metrics = server.metrics();
    for line in [
        r#"centrifugo_api_command_errors_total{protocol="http",method="publish",error="102"} 2"#,
        r#"centrifugo_api_command_errors_total{protocol="http",method="unknown",error="104"} 4"#,
        r#"centrifugo_api_command_duration_seconds_count{protocol="http",method="publish"} 4"#,
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
}

#[tokio::test]
async fn an_empty_batch_has_an_empty_answer() {
    let server = start(Options::default()).await;
    for body in ["{}", r#"{"commands":[]}"#] {
        let answer = post(server.address, "/api/batch", body).await;
        assert_eq!((answer.status, answer.text()), (200, "{}"));
    }
}

#[tokio::test]
async fn a_sequential_batch_keeps_the_order_of_publications() {
    let server = start(Options::default()).await;
    let commands: Vec<String> =
        (0..2000).map(|n| format!(r#"{{"publish":{{"channel":"news","data":{n}}}}}"#)).collect();
    let body = format!(r#"{{"commands":[{}]}}"#, commands.join(","));
    post(server.address, "/api/batch", &body).await;
    let delivered = server.notes.delivered.lock();
    assert_eq!(delivered.len(), 2000);
    for (n, (_, publication)) in delivered.iter().enumerate() {
        assert_eq!(publication.data, n.to_string().as_bytes());
    }
}
