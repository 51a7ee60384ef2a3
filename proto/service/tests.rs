use super::*;
use crate::api::centrifugo_api_server::CentrifugoApi;

/// Answers from fixed data: a channel `missing` fails, all else succeeds.
pub(crate) struct Fixed;

fn result_or_unknown<T: Default>(channel: &str) -> (Option<api::Error>, Option<T>) {
    match channel {
        "missing" => (Some(ApiErrorCode::UnknownChannel.into()), None),
        _ => (None, Some(T::default())),
    }
}

/// Implements methods that look at no more than a channel.
macro_rules! by_channel {
    ($($method:ident($request:ident) -> $response:ident),* $(,)?) => {$(
        async fn $method(&self, request: api::$request) -> api::$response {
            let (error, result) = result_or_unknown(&request.channel);
            api::$response { error, result }
        }
    )*};
}

/// Implements methods that always succeed.
macro_rules! always {
    ($($method:ident($request:ident) -> $response:ident),* $(,)?) => {$(
        async fn $method(&self, _: api::$request) -> api::$response {
            api::$response { error: None, result: Some(Default::default()) }
        }
    )*};
}

impl ApiService for Fixed {
    by_channel! {
        subscribe(SubscribeRequest) -> SubscribeResponse,
        unsubscribe(UnsubscribeRequest) -> UnsubscribeResponse,
        presence(PresenceRequest) -> PresenceResponse,
        presence_stats(PresenceStatsRequest) -> PresenceStatsResponse,
        history_remove(HistoryRemoveRequest) -> HistoryRemoveResponse,
        map_publish(MapPublishRequest) -> MapPublishResponse,
        map_remove(MapRemoveRequest) -> MapRemoveResponse,
        map_read_state(MapReadStateRequest) -> MapReadStateResponse,
        map_read_stream(MapReadStreamRequest) -> MapReadStreamResponse,
        map_stats(MapStatsRequest) -> MapStatsResponse,
        map_clear(MapClearRequest) -> MapClearResponse,
        shared_poll_publish(SharedPollPublishRequest) -> SharedPollPublishResponse,
    }
    always! {
        broadcast(BroadcastRequest) -> BroadcastResponse,
        disconnect(DisconnectRequest) -> DisconnectResponse,
        info(InfoRequest) -> InfoResponse,
        rpc(RpcRequest) -> RpcResponse,
        refresh(RefreshRequest) -> RefreshResponse,
        channels(ChannelsRequest) -> ChannelsResponse,
    }

    async fn batch(&self, request: api::BatchRequest) -> api::BatchResponse {
        let mut replies = Vec::new();
        for command in request.commands {
            replies.push(call_command(self, command).await.1);
        }
        api::BatchResponse { replies }
    }

    async fn publish(&self, request: api::PublishRequest) -> api::PublishResponse {
        let (error, result) = result_or_unknown(&request.channel);
        let result = result.map(|_: api::PublishResult| api::PublishResult {
            offset: request.data.len() as u64,
            epoch: "e".into(),
        });
        api::PublishResponse { error, result }
    }

    /// Returns the channel's name as payload.
    async fn history(&self, request: api::HistoryRequest) -> api::HistoryResponse {
        let publication = api::Publication { data: request.channel.into(), ..Default::default() };
        api::HistoryResponse {
            error: None,
            result: Some(api::HistoryResult {
                publications: vec![publication],
                epoch: "e".into(),
                offset: 1,
            }),
        }
    }
}

async fn json(method: ApiMethod, body: &str) -> Result<(String, Option<u32>), CallError> {
    let mut out = Vec::new();
    let outcome = call_json(&Fixed, method, body.as_bytes(), &mut out).await?;
    let code = outcome.error.map(|error| error.code);
    Ok((String::from_utf8(out).unwrap(), code))
}

async fn check(method: ApiMethod, body: &str, expected: &str) {
    assert_eq!(json(method, body).await.unwrap().0, expected, "{body}");
}

#[tokio::test]
async fn results_and_errors_are_wrapped() {
    check(
        ApiMethod::Publish,
        r#"{"channel":"c","data":[1, 2],"extra":{}}"#,
        r#"{"result":{"offset":6,"epoch":"e"}}"#,
    )
    .await;
    let answer = json(ApiMethod::Publish, r#"{"channel":"missing"}"#).await;
    let expected = r#"{"error":{"code":102,"message":"unknown channel"}}"#;
    assert_eq!(answer.unwrap(), (expected.to_owned(), Some(102)));
    check(ApiMethod::Subscribe, "{}", r#"{"result":{}}"#).await;
    check(ApiMethod::Channels, "null", r#"{"result":{"channels":{}}}"#).await;
    check(ApiMethod::Presence, "{}", r#"{"result":{"presence":{}}}"#).await;
}

#[tokio::test]
async fn payloads_in_responses_are_compact() {
    check(
        ApiMethod::History,
        r#"{"channel":"{ \"a\" : \"<\" }"}"#,
        r#"{"result":{"publications":[{"data":{"a":"\u003c"}}],"epoch":"e","offset":1}}"#,
    )
    .await;
}

#[tokio::test]
async fn malformed_body_is_not_called() {
    for body in ["", "[]", "1", "{", "{}{}", "{} x", r#"{"channel":1}"#] {
        let result = json(ApiMethod::Publish, body).await;
        assert!(matches!(result, Err(CallError::Request(_))), "{body}");
    }
}

#[tokio::test]
async fn payload_that_is_not_json_fails_the_response() {
    let result = json(ApiMethod::History, r#"{"channel":"{"}"#).await;
    assert_eq!(result, Err(CallError::Response(InvalidRaw { field: "data" })));
}

#[tokio::test]
async fn batch_replies_hold_bare_results() {
    check(
        ApiMethod::Batch,
        r#"{"commands":[{"publish":{"data":1}},{"publish":{"channel":"missing"}},{},
            {"connections":{}},{"subscribe":{}}]}"#,
        concat!(
            r#"{"replies":[{"publish":{"offset":1,"epoch":"e"}},"#,
            r#"{"error":{"code":102,"message":"unknown channel"}},"#,
            r#"{"error":{"code":104,"message":"not found"}},"#,
            r#"{"error":{"code":104,"message":"not found"}},"#,
            r#"{"subscribe":{}}]}"#
        ),
    )
    .await;
    check(ApiMethod::Batch, "{}", "{}").await;
}

#[test]
fn methods_are_found_by_name() {
    for method in ApiMethod::ALL {
        assert_eq!(ApiMethod::from_name(method.name()), Some(*method));
        assert_eq!(method.http_path(), format!("/api/{}", method.name()));
    }
    assert_eq!(ApiMethod::ALL.len(), 40);
    let free = ApiMethod::ALL.iter().filter(|method| Fixed.supports(**method));
    assert_eq!(free.count(), 21);
    assert_eq!(ApiMethod::Rpc.grpc_name(), "RPC");
    assert_eq!(ApiMethod::from_name("Publish"), None);
}

#[tokio::test]
async fn grpc_errors_are_inside_unless_asked_otherwise() {
    let request =
        || tonic::Request::new(api::PublishRequest { channel: "missing".into(), ..Default::default() });
    let inside = GrpcApi::new(Arc::new(Fixed), false);
    let response = inside.publish(request()).await.unwrap().into_inner();
    assert_eq!(response.error.unwrap().code, 102);

    let mut asking = request();
    let mode = tonic::metadata::MetadataValue::from_static("transport");
    asking.metadata_mut().insert("x-centrifugo-error-mode", mode);
    let transport = GrpcApi::new(Arc::new(Fixed), true);
    for result in [inside.publish(asking).await, transport.publish(request()).await] {
        let status = result.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::NotFound, "unknown channel"));
        let details = RpcStatus::decode(status.details()).unwrap();
        assert_eq!(details.code, 5);
        let error = api::Error::decode(details.details[0].value.as_slice()).unwrap();
        assert_eq!(error.code, 102);
    }
}

#[tokio::test]
async fn grpc_methods_that_do_not_exist_are_unimplemented() {
    let service = GrpcApi::new(Arc::new(Fixed), false);
    let request = tonic::Request::new(api::ConnectionsRequest::default());
    let status = service.connections(request).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    assert_eq!(status.message(), "method Connections not implemented");
}

#[test]
fn codes_outside_the_table_are_internal() {
    let error = |code| api::Error { code, message: String::new() };
    for (code, http, grpc) in [
        (100, 500, Code::Internal),
        (102, 404, Code::NotFound),
        (104, 404, Code::NotFound),
        (107, 400, Code::InvalidArgument),
        (108, 400, Code::InvalidArgument),
        (112, 416, Code::OutOfRange),
        (113, 409, Code::AlreadyExists),
        (0, 500, Code::Internal),
        (1000, 500, Code::Internal),
        (u32::MAX, 500, Code::Internal),
    ] {
        assert_eq!(http_status(&error(code)), http, "{code}");
        assert_eq!(grpc_status(&error(code)).code(), grpc, "{code}");
    }
}

#[test]
fn codes_turn_into_what_carries_them() {
    use crate::client;
    use crate::codes::{ClientErrorCode, DisconnectCode, UnsubscribeCode};

    let error = client::Error::from(ClientErrorCode::Internal);
    let expected = r#"{"code":100,"message":"internal server error","temporary":true}"#;
    assert_eq!(error.to_json(), expected.as_bytes());
    let error = client::Error::from(ClientErrorCode::PermissionDenied);
    assert_eq!(error.to_json(), br#"{"code":103,"message":"permission denied"}"#);
    let push = client::Disconnect::from(DisconnectCode::ForceReconnect);
    assert_eq!(push.to_json(), br#"{"code":3011,"reason":"force reconnect"}"#);
    let push = client::Unsubscribe::from(UnsubscribeCode::Insufficient);
    assert_eq!(push.to_json(), br#"{"code":2500,"reason":"insufficient state"}"#);
}

#[test]
fn ranges_of_codes_say_what_the_peer_does() {
    use crate::codes::{DisconnectCode, UnsubscribeCode};

    for code in DisconnectCode::ALL.iter().filter(|code| !code.internal()) {
        assert_eq!(code.reconnect(), code.code() < 3500, "{code:?}");
        // A status of UNAVAILABLE tells clients that know nothing but gRPC the same.
        assert_eq!(code.grpc_code() == 14, code.reconnect(), "{code:?}");
    }
    for code in UnsubscribeCode::ALL.iter().filter(|code| !code.internal()) {
        assert_eq!(code.resubscribe(), code.code() >= 2500, "{code:?}");
    }
}
