use super::client::{post, request};
use super::server::{Options, Server, key, start};
use gyre_proto::api;
use gyre_proto::api::centrifugo_api_client::CentrifugoApiClient;
use prost::Message;
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};

async fn channel(server: &Server) -> Channel {
    let endpoint = Endpoint::try_from(format!("http://{}", server.address)).expect("an address");
    endpoint.connect().await.expect("connected")
}

fn publish(channel: &str) -> api::PublishRequest {
    api::PublishRequest { channel: channel.to_owned(), data: "{}".into(), ..Default::default() }
}

#[tokio::test]
async fn calls_share_the_port_with_http() {
    let server = start(Options::default()).await;
    let mut client = CentrifugoApiClient::new(channel(&server).await);
    let response = client.publish(publish("kept:a")).await.expect("published").into_inner();
    assert_eq!(response.result.expect("a result").offset, 1);
    let response = client.publish(publish("none:a")).await.expect("answered").into_inner();
    let error = response.error.expect("an error");
    assert_eq!((error.code, &*error.message), (102, "unknown channel"));
    let history = api::HistoryRequest { channel: "kept:a".to_owned(), limit: -1, ..Default::default() };
    let history = client.history(history).await.expect("answered").into_inner().result.expect("a result");
    assert_eq!(history.publications.len(), 1);
    let batch = api::BatchRequest { commands: vec![api::Command::default()], parallel: true };
    let replies = client.batch(batch).await.expect("answered").into_inner().replies;
    assert_eq!(replies[0].error.as_ref().map(|error| error.code), Some(104));

    assert_eq!(post(server.address, "/api/info", "{}").await.status, 200);
    let line = r#"centrifugo_api_command_duration_seconds_count{protocol="grpc",method="publish"} 2"#;
    assert!(server.metrics().contains(line), "{}", server.metrics());
}

#[tokio::test]
async fn methods_that_upstream_sells_are_unimplemented() {
    let server = start(Options::default()).await;
    let mut client = CentrifugoApiClient::new(channel(&server).await);
    let status = client.connections(api::ConnectionsRequest::default()).await.expect_err("refused");
    assert_eq!(status.code(), Code::Unimplemented);
}

#[tokio::test]
async fn the_key_must_be_exact() {
    let server = start(Options { access: key("k"), ..Options::default() }).await;
    let mut client = CentrifugoApiClient::new(channel(&server).await);
    for (metadata, admitted) in
        [(None, false), (Some("apikey k"), true), (Some("Apikey k"), false), (Some("apikey wrong"), false)]
    {
        let mut request = Request::new(api::InfoRequest {});
        if let Some(metadata) = metadata {
            request.metadata_mut().insert("authorization", MetadataValue::from_static(metadata));
        }
        match client.info(request).await {
            Ok(_) => assert!(admitted, "{metadata:?}"),
            Err(status) => {
                assert!(!admitted, "{metadata:?}");
                assert_eq!(status.code(), Code::Unauthenticated);
            }
        }
    }
}

#[tokio::test]
async fn transport_error_mode_uses_statuses() {
    let server = start(Options::default()).await;
    let mut client = CentrifugoApiClient::new(channel(&server).await);
    let mut ask = async |request: api::PublishRequest| {
        let mut request = Request::new(request);
        request.metadata_mut().insert("x-centrifugo-error-mode", MetadataValue::from_static("transport"));
        client.publish(request).await.expect_err("refused")
    };
    let status = ask(publish("none:a")).await;
    assert_eq!((status.code(), status.message()), (Code::NotFound, "unknown channel"));
    assert!(!status.details().is_empty());
    assert_eq!(ask(publish("")).await.code(), Code::InvalidArgument);

    let server = start(Options { transport_errors: true, ..Options::default() }).await;
    let mut client = CentrifugoApiClient::new(channel(&server).await);
    assert_eq!(client.publish(publish("")).await.expect_err("refused").code(), Code::InvalidArgument);
}

#[tokio::test]
async fn large_messages_are_refused() {
    let server = start(Options { max_message_size: 1000, ..Options::default() }).await;
    let mut client = CentrifugoApiClient::new(channel(&server).await);
    let large = api::PublishRequest { data: vec![b'1'; 2000].into(), ..publish("news") };
    assert_eq!(client.publish(large).await.expect_err("refused").code(), Code::ResourceExhausted);
    assert!(client.publish(publish("news")).await.is_ok());
}

#[tokio::test]
async fn compressed_requests_get_compressed_answers() {
    let server = start(Options::default()).await;
    let mut client = CentrifugoApiClient::new(channel(&server).await)
        .send_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Gzip);
    let response = client.publish(publish("news")).await.expect("published");
    assert_eq!(
        response.metadata().get("grpc-encoding").map(|encoding| encoding.as_bytes()),
        Some(&b"gzip"[..])
    );
}

#[tokio::test]
async fn health_follows_the_server() {
    let server = start(Options { access: key("k"), ..Options::default() }).await;
    let mut client = HealthClient::new(channel(&server).await);
    let mut check = async |service: &str| {
        let request = HealthCheckRequest { service: service.to_owned() };
        client.check(request).await.map(|response| response.into_inner().status())
    };
    for service in ["", "centrifugal.centrifugo.api.CentrifugoApi"] {
        assert_eq!(check(service).await.expect("known"), ServingStatus::Serving);
    }
    assert_eq!(check("nothing").await.expect_err("unknown").code(), Code::NotFound);
    server.health.stop().await;
    assert_eq!(check("").await.expect("known"), ServingStatus::NotServing);
}

#[tokio::test]
async fn reflection_lists_the_api() {
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
    let server = start(Options::default()).await;
    let mut client = ServerReflectionClient::new(channel(&server).await);
    let request = tonic_reflection::pb::v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let stream = futures_util::stream::iter([request]);
    let mut answers = client.server_reflection_info(stream).await.expect("answered").into_inner();
    let answer = answers.message().await.expect("a message").expect("one message");
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("{answer:?}");
    };
    let names: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
    assert!(names.contains(&"centrifugal.centrifugo.api.CentrifugoApi".to_owned()), "{names:?}");
}

/// One message in a gRPC frame.
fn framed(message: &impl Message) -> Vec<u8> {
    let body = message.encode_to_vec();
    let mut frame = vec![0];
    frame.extend_from_slice(&(body.len() as u32).to_be_bytes());
    frame.extend_from_slice(&body);
    frame
}

#[tokio::test]
async fn browsers_call_over_http_1() {
    let server = start(Options { access: key("k"), ..Options::default() }).await;
    let path = "/centrifugal.centrifugo.api.CentrifugoApi/Publish";
    let headers = [("Content-Type", "application/grpc-web+proto"), ("Authorization", "apikey k")];
    let answer = request(server.address, "POST", path, &headers, &framed(&publish("kept:a"))).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["content-type"], "application/grpc-web+proto");
    let length = u32::from_be_bytes(answer.body[1..5].try_into().expect("a header")) as usize;
    let response = api::PublishResponse::decode(&answer.body[5..5 + length]).expect("a message");
    assert_eq!(response.result.expect("a result").offset, 1);
    let trailers = &answer.body[5 + length..];
    assert_eq!(trailers[0], 0x80);
    assert!(String::from_utf8_lossy(&trailers[5..]).contains("grpc-status:0"), "{trailers:?}");

    let answer = request(server.address, "POST", path, &headers[..1], &framed(&publish("kept:a"))).await;
    assert_eq!(answer.status, 200);
    let told = format!("{:?} {}", answer.headers, String::from_utf8_lossy(&answer.body));
    assert!(told.contains("grpc-status") && told.contains("16"), "{told}");
}

#[tokio::test]
async fn garbage_is_refused_without_harm() {
    let server = start(Options::default()).await;
    let path = "/centrifugal.centrifugo.api.CentrifugoApi/Publish";
    let headers = [("Content-Type", "application/grpc-web+proto")];
    for body in [&b""[..], b"\x00\xff\xff\xff\xff", b"\x00\x00\x00\x00\x02\xff\xff", b"\x07garbage"] {
        let answer = request(server.address, "POST", path, &headers, body).await;
        let told = format!("{:?} {}", answer.headers, String::from_utf8_lossy(&answer.body));
        assert!(told.contains("grpc-status") && !told.contains("grpc-status:0"), "{body:?}: {told}");
    }
    let answer = request(server.address, "POST", "/nothing/At.All", &headers, b"").await;
    assert!(format!("{:?}", answer.headers).contains("\"grpc-status\": \"12\""), "{:?}", answer.headers);
    assert_eq!(post(server.address, "/api/info", "{}").await.status, 200);
}
