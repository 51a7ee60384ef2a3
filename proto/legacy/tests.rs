use super::*;
use crate::service::tests::Fixed;

async fn answer(body: &str) -> Result<String, JsonError> {
    let mut out = Vec::new();
    for command in commands(body.as_bytes())? {
        call(&Fixed, &command?, &mut out).await.unwrap();
    }
    Ok(String::from_utf8(out).unwrap())
}

async fn check(body: &str, expected: &str) {
    assert_eq!(answer(body).await.unwrap(), expected, "{body}");
}

#[tokio::test]
async fn methods_go_by_name_or_number() {
    check(
        r#"{"id":1,"method":"PresenCe_stats","params":{}} {"id":2,"method":5,"params":null}"#,
        concat!(
            r#"{"id":1,"result":{"num_clients":0,"num_users":0}}"#,
            "\n",
            r#"{"id":2,"result":{"num_clients":0,"num_users":0}}"#
        ),
    )
    .await;
}

#[tokio::test]
async fn id_zero_is_left_out() {
    check(r#"{"method":"subscribe","params":{}}"#, r#"{"result":{}}"#).await;
}

#[tokio::test]
async fn command_without_method_publishes() {
    check(r#"{"params":{"channel":"missing"}}"#, r#"{"error":{"code":102,"message":"unknown channel"}}"#)
        .await;
}

#[tokio::test]
async fn params_are_needed_except_by_info() {
    let bad_request = r#"{"id":3,"error":{"code":107,"message":"bad request"}}"#;
    check(r#"{"id":3,"method":"publish"}"#, bad_request).await;
    check(r#"{"id":3,"method":"publish","params":[]}"#, bad_request).await;
    check(r#"{"method":"info"}"#, r#"{"result":{}}"#).await;
}

#[tokio::test]
async fn numbers_without_a_method_are_not_found() {
    let not_found = r#"{"id":1,"error":{"code":104,"message":"not found"}}"#;
    for method in ["13", "14", "40", "-1", "\"connections\""] {
        check(&format!(r#"{{"id":1,"method":{method},"params":{{}}}}"#), not_found).await;
    }
}

#[tokio::test]
async fn malformed_body_is_an_error() {
    for body in [
        r#"{"method":"no_such_method"}"#,
        r#"{"method":"batch"}"#,
        r#"{"method":"0"}"#,
        r#"{"method":1.5}"#,
        r#"{"id":-1}"#,
        r#"{"params":{}} x"#,
        r#"{"params":"#,
        "[]",
    ] {
        assert!(answer(body).await.is_err(), "{body}");
    }
}

#[test]
fn commands_before_a_fault_are_read() {
    let mut commands = commands(br#"{"id":1}{"id":2}{"id"}{"id":4}"#).unwrap();
    assert_eq!(commands.next().unwrap().unwrap().id, 1);
    assert_eq!(commands.next().unwrap().unwrap().id, 2);
    assert!(commands.next().unwrap().is_err());
    assert!(commands.next().is_none());
}

#[test]
fn empty_body_has_no_commands() {
    assert!(commands(b" \n").unwrap().next().is_none());
}
