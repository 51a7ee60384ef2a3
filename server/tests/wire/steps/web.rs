//! Verbs that speak HTTP.

use serde_json::{Value, json};

use super::Run;
use super::step::Step;
use crate::grpc;
use crate::http::{self, Response};
use crate::http2;
use crate::http3;
use crate::kind::Kind;
use crate::net::Tls;
use crate::pattern;
use crate::protobuf;
use crate::server::API_KEY;

impl Run<'_> {
    pub(super) async fn api(&mut self, step: &mut Step) -> Result<(), String> {
        let method = step.text()?.to_owned();
        let body = step.take("with").unwrap_or_else(|| json!({})).to_string();
        let mut headers = header_list(step.take("headers").as_ref());
        if headers.iter().all(|(name, _)| !name.eq_ignore_ascii_case("x-api-key")) {
            headers.push(("X-API-Key".to_owned(), API_KEY.to_owned()));
        }
        self.note(format!("api {method} {body}"));
        let target = format!("/api/{method}");
        let address = self.api_address();
        if step.take("detach").is_some() {
            tokio::spawn(async move {
                http::request(&address, Tls::Off, "POST", &target, &headers, body.as_bytes()).await
            });
            return Ok(());
        }
        let response = http::request(&address, Tls::Off, "POST", &target, &headers, body.as_bytes());
        let response = response.await.map_err(|e| format!("POST {target}: {e}"))?;
        self.note(format!("api <- {} {}", response.status, String::from_utf8_lossy(&response.body)));
        let result = step.take("result");
        let error = step.take("error");
        let status = step.take("status").and_then(|status| status.as_u64()).unwrap_or(200);
        if u64::from(response.status) != status {
            return Err(format!(
                "status is {}: {}",
                response.status,
                String::from_utf8_lossy(&response.body)
            ));
        }
        let actual: Value = serde_json::from_slice(&response.body).map_err(|e| format!("body: {e}"))?;
        if let Some(expected) = step.take("answer") {
            return self.check(&expected, &actual);
        }
        let expected = match (result, error) {
            (_, Some(error)) => json!({"error": {"code": error[0], "message": error[1]}}),
            (Some(result), None) => json!({"result": result}),
            (None, None) => json!({"result": "$object"}),
        };
        self.check(&expected, &actual)
    }

    /// Where the API is: with WebTransport the main port is encrypted, so that it stands on the internal one.
    fn api_address(&self) -> String {
        match self.kind {
            Kind::WebTransport => format!("127.0.0.1:{}", self.variables["internal_port"]),
            _ => self.server.address.clone(),
        }
    }

    /// Calls the API and returns the body of the answer.
    pub(super) async fn call_api(&mut self, method: &str, request: &Value) -> Result<Value, String> {
        let headers = [("X-API-Key".to_owned(), API_KEY.to_owned())];
        let (target, body) = (format!("/api/{method}"), request.to_string());
        let address = self.api_address();
        let response = http::request(&address, Tls::Off, "POST", &target, &headers, body.as_bytes());
        let response = response.await.map_err(|e| format!("POST {target}: {e}"))?;
        serde_json::from_slice(&response.body).map_err(|e| format!("body of {target}: {e}"))
    }

    pub(super) async fn http(&mut self, step: &mut Step) -> Result<(), String> {
        let options = step.object()?;
        let text = |name: &str| options.get(name).and_then(Value::as_str);
        let method = text("method").unwrap_or("GET");
        let mut target = text("path").ok_or("http needs a path")?.to_owned();
        if let Some(query) = text("query") {
            target.push_str(&format!("?{query}"));
        }
        let body = match (text("body"), options.get("json")) {
            (Some(body), _) => body.as_bytes().to_vec(),
            (None, Some(json)) => json.to_string().into_bytes(),
            (None, None) => Vec::new(),
        };
        let address = match options.get("port") {
            Some(port) => format!("127.0.0.1:{port}"),
            None => self.server.address.clone(),
        };
        let headers = header_list(options.get("headers"));
        self.note(format!("{method} {target} {}", String::from_utf8_lossy(&body)));
        let tls = Tls::of(options.get("tls"))?;
        let is_on = |name: &str| options.get(name).and_then(Value::as_bool) == Some(true);
        let response = match (is_on("http2"), is_on("http3")) {
            (true, _) => http2::exchange(&address, tls, method, &target, &headers, &body).await,
            (_, true) => http3::exchange(&address, tls, method, &target, &headers, &body).await,
            _ => http::request(&address, tls, method, &target, &headers, &body)
                .await
                .map_err(|e| format!("{method} {target}: {e}")),
        };
        if step.take("broken").is_some() {
            return response.err().map(drop).ok_or_else(|| "there was an answer".to_owned());
        }
        let response = response?;
        self.note(format!("<- {} {}", response.status, String::from_utf8_lossy(&response.body)));
        check_response(self, step, &response, 200)
    }

    pub(super) async fn grpc(&mut self, step: &mut Step) -> Result<(), String> {
        let method = step.text()?.to_owned();
        let request = step.take("with").unwrap_or_else(|| json!({}));
        let metadata = header_list(step.take("metadata").as_ref());
        let port = step.take("port").unwrap_or_else(|| self.variables["grpc_port"].clone());
        let message = protobuf::encode(&format!("api.{method}Request"), &request)?;
        let path = format!("/centrifugal.centrifugo.api.CentrifugoApi/{method}");
        let tls = Tls::of(step.take("tls").as_ref())?;
        self.note(format!("grpc {method} {request}"));
        let answer = grpc::call(&format!("127.0.0.1:{port}"), tls, &path, &metadata, message).await;
        if step.take("broken").is_some() {
            return match answer {
                Ok(Ok(_)) => Err("there was an answer".to_owned()),
                Ok(Err(_)) | Err(_) => Ok(()),
            };
        }
        let answer = answer?;
        let (expected_status, detail) = (step.take("status"), step.take("detail"));
        let (answer, result, error) = (answer, step.take("result"), step.take("error"));
        let bytes = match answer {
            Ok(bytes) => bytes,
            Err(status) => {
                self.note(format!("grpc <- {status:?}"));
                self.check(
                    &expected_status.unwrap_or_default(),
                    &json!([format!("{:?}", status.code()), status.message()]),
                )?;
                return match detail {
                    Some(detail) => self.check(&detail, &error_detail(status.details())?),
                    None => Ok(()),
                };
            }
        };
        let actual = protobuf::decode(&format!("api.{method}Response"), &bytes)?;
        self.note(format!("grpc <- {actual}"));
        if let Some(status) = expected_status {
            return Err(format!("expected status {status}, got {actual}"));
        }
        let expected = match (step.take("answer"), result, error) {
            (Some(answer), ..) => answer,
            (None, _, Some(error)) => json!({"error": {"code": error[0], "message": error[1]}}),
            (None, Some(result), None) => json!({"result": result}),
            (None, None, None) => json!({"result": "$object"}),
        };
        self.check(&expected, &actual)
    }

    pub(super) async fn tcp(&mut self, step: &mut Step) -> Result<(), String> {
        let bytes = step.text()?.as_bytes().to_vec();
        let response = http::raw(&self.server.address, Tls::Off, &bytes)
            .await
            .map_err(|e| format!("raw request: {e}"))?;
        self.note(format!("tcp <- {} {:?}", response.status, String::from_utf8_lossy(&response.body)));
        check_response(self, step, &response, 200)
    }
}

/// Judges a response by the step's options `status`, `response_headers`, `json`, `metrics`, `contains` and `text`.
pub(super) fn check_response(
    run: &mut Run<'_>,
    step: &mut Step,
    response: &Response,
    default_status: u64,
) -> Result<(), String> {
    let status = step.take("status");
    let any = status.as_ref().is_some_and(|status| status == "$any");
    let status = status.and_then(|status| status.as_u64()).unwrap_or(default_status);
    if !any && u64::from(response.status) != status {
        return Err(format!(
            "status is {} instead of {status}: {}",
            response.status,
            String::from_utf8_lossy(&response.body)
        ));
    }
    for (name, expected) in
        step.take("response_headers").as_ref().and_then(Value::as_object).into_iter().flatten()
    {
        let actual = response.header(name).map(Value::from);
        pattern::check(expected, actual.as_ref(), name, &mut run.variables)?;
    }
    if let Some(expected) = step.take("json") {
        let actual: Value = serde_json::from_slice(&response.body).map_err(|e| format!("body: {e}"))?;
        run.check(&expected, &actual)?;
    }
    if let Some(metrics) = step.take("metrics") {
        let body = String::from_utf8_lossy(&response.body);
        let samples: Vec<Sample<'_>> = body.lines().filter_map(Sample::parse).collect();
        let texts: Vec<&str> = metrics.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let missing = |text: &&&str| match Sample::parse(text) {
            Some(expected) => !samples.iter().any(|actual| expected.matches(actual)),
            None => true,
        };
        let missing: Vec<&&str> = texts.iter().filter(missing).collect();
        if !missing.is_empty() {
            return Err(format!("metrics missing: {missing:#?}"));
        }
    }
    for part in step.take("contains").as_ref().and_then(Value::as_array).into_iter().flatten() {
        let actual = String::from_utf8_lossy(&response.body);
        if !actual.contains(part.as_str().unwrap_or_default()) {
            return Err(format!("body of {} bytes does not contain {part}", actual.len()));
        }
    }
    if let Some(expected) = step.take("text") {
        let actual = String::from_utf8_lossy(&response.body).into_owned();
        if !pattern::text_matches(expected.as_str().unwrap_or_default(), &actual) {
            return Err(format!("body is {actual:?}"));
        }
    }
    Ok(())
}

/// Headers written as an object; a list of values repeats the header.
pub(super) fn header_list(value: Option<&Value>) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let members = value.and_then(Value::as_object).into_iter().flatten();
    members
        .flat_map(|(name, value)| match value {
            Value::Array(items) => items.iter().map(|item| (name.clone(), text(item))).collect(),
            other => vec![(name.clone(), text(other))],
        })
        .collect()
}

/// The API error a gRPC status carries as its detail.
fn error_detail(status: &[u8]) -> Result<Value, String> {
    let mut status = protobuf::decode("rpc.Status", status)?;
    let any = status["details"][0].take();
    let mut error = protobuf::decode("api.Error", &protobuf::bytes_of(&any["value"])?)?;
    error["type"] = any["type_url"].clone();
    Ok(error)
}

/// A line of the Prometheus text format.
struct Sample<'a> {
    name: &'a str,
    labels: Vec<&'a str>,
    value: Option<&'a str>,
}

impl<'a> Sample<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (series, value) = match line.rsplit_once(' ') {
            Some((series, value)) => (series, Some(value)),
            None => (line, None),
        };
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let labels = labels.strip_suffix('}')?.split("\",").map(|label| label.trim_end_matches('"'));
        (!name.starts_with('#')).then(|| Self {
            name,
            labels: labels.filter(|label| !label.is_empty()).collect(),
            value,
        })
    }

    /// Whether `actual` has this name, at least these labels, and this value if one is given.
    fn matches(&self, actual: &Self) -> bool {
        self.name == actual.name
            && self.labels.iter().all(|label| actual.labels.contains(label))
            && (self.value.is_none() || self.value == actual.value)
    }
}
