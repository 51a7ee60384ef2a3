//! Verbs that begin connections.

use serde_json::{Map, Value, json};

use super::Run;
use super::step::Step;
use super::web::{check_response, header_list};
use crate::coding::Coding;
use crate::connection::{Connection, Link, WayBack};
use crate::grpc::Call;
use crate::http::{self, Response};
use crate::http3::Session;
use crate::kind::{Carrier, Kind};
use crate::net::Tls;
use crate::protobuf;
use crate::streamed::{Framing, Streamed};
use crate::websocket::WebSocket;

/// What the keys of `open` and `connect` say.
struct Opening<'a> {
    kind: Kind,
    coding: Coding,
    carrier: Carrier,
    options: &'a Map<String, Value>,
}

impl<'a> Opening<'a> {
    fn new(default: Kind, options: &'a Map<String, Value>) -> Result<Self, String> {
        let text = |name: &str| options.get(name).and_then(Value::as_str);
        let kind = text("transport").map_or(Ok(default), Kind::named)?;
        let protobuf = text("protocol") == Some("protobuf") || kind.grpc_path().is_some();
        let coding = Coding { protobuf, unidirectional: kind.unidirectional() };
        let carrier = text("via").map_or(Ok(kind.carrier()), Carrier::named)?;
        Ok(Self { kind, coding, carrier, options })
    }

    fn text(&self, name: &str) -> Option<&'a str> {
        self.options.get(name).and_then(Value::as_str)
    }

    fn tls(&self) -> Result<Tls, String> {
        Tls::of(self.options.get("tls"))
    }

    fn is_on(&self, name: &str) -> bool {
        self.options.get(name).and_then(Value::as_bool) == Some(true)
    }

    /// Path and query, the connect request in the latter when it travels there.
    fn target(&self, request: Option<&[u8]>) -> String {
        let path =
            self.text("path").map_or_else(|| format!("/connection/{}", self.kind.name()), str::to_owned);
        let request = request.filter(|_| self.carrier == Carrier::Query);
        let connect = request.map(|request| format!("cf_connect={}", http::query_value(request)));
        let query: Vec<String> = self.text("query").map(str::to_owned).into_iter().chain(connect).collect();
        if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) }
    }
}

impl Run<'_> {
    pub(super) async fn open(&mut self, step: &mut Step) -> Result<(), String> {
        let options = step.object()?;
        let opening = Opening::new(self.kind, &options)?;
        self.open_with(step, &opening, None).await.map(drop)
    }

    pub(super) async fn connect(&mut self, step: &mut Step) -> Result<(), String> {
        let options = step.object()?;
        let opening = Opening::new(self.kind, &options)?;
        let name = step.connection.clone();
        let request = self.connect_request(&name, &options)?;
        let id = json!(1);
        let command = json!({"id": id, "connect": request});
        let bytes = match opening.kind.unidirectional() {
            true => opening.coding.encode_request(&request)?,
            false => opening.coding.encode(std::slice::from_ref(&command))?,
        };
        self.note(format!("{name} -> {command}"));
        if !self.open_with(step, &opening, Some(&bytes)).await? {
            return Ok(());
        }
        let connection = self.connection(&name)?;
        connection.take_id();
        if opening.carrier == Carrier::Message {
            match opening.kind.unidirectional() {
                true => connection.send_request(&request).await?,
                false => connection.send(&[command]).await?,
            }
        }
        let capture = format!("$capture:{name}.client");
        let reply = match step.take("reply") {
            Some(Value::Object(mut members)) => {
                let client = members.entry("client").or_insert_with(|| capture.clone().into());
                if client == "$any" || client == "$uuid" {
                    *client = capture.into();
                }
                Value::Object(members)
            }
            Some(other) => other,
            None => json!({"client": capture, "$more": true}),
        };
        let id = (!opening.kind.unidirectional()).then_some(id);
        self.expect_reply(step, id, Some(json!({"connect": reply}))).await
    }

    /// The connect request: as written, with a token of the step's user.
    fn connect_request(&mut self, name: &str, options: &Map<String, Value>) -> Result<Value, String> {
        let mut request = options.get("request").and_then(Value::as_object).cloned().unwrap_or_default();
        let default_user = format!("{name}-{}", self.variables["id"].as_str().unwrap_or_default());
        let user = options.get("user").cloned().unwrap_or(default_user.into());
        match options.get("token") {
            Some(Value::Null) => {}
            Some(token) => drop(request.insert("token".to_owned(), token.clone())),
            None => {
                let claims = json!({"sub": user});
                let token = crate::keys::mint(claims.as_object().expect("an object was just built"))?;
                request.insert("token".to_owned(), token.into());
            }
        }
        self.variables.insert(format!("{name}.user"), user);
        Ok(Value::Object(request))
    }

    /// Opens a connection and judges the answer; false when there is none afterwards.
    async fn open_with(
        &mut self,
        step: &mut Step,
        opening: &Opening<'_>,
        request: Option<&[u8]>,
    ) -> Result<bool, String> {
        if let Some(path) = opening.kind.grpc_path() {
            let link = Link::Call(self.open_call(opening, path, request).await?);
            let connection = Connection::new(opening.kind, link, opening.coding, None);
            self.connections.insert(step.connection.clone(), connection);
            return Ok(true);
        }
        let target = opening.target(request);
        if opening.kind == Kind::WebTransport {
            let (link, response) = self.open_session(opening, &target).await?;
            check_response(self, step, &response, 200)?;
            let Some(link) = link else { return Ok(false) };
            let connection = Connection::new(opening.kind, link, opening.coding, None);
            self.connections.insert(step.connection.clone(), connection);
            return Ok(true);
        }
        let (link, response) = match opening.kind.framed() {
            true => self.open_frames(opening, &target).await?,
            false => self.open_body(opening, &target, request).await?,
        };
        let upgraded = opening.kind.framed() && !opening.is_on("http2");
        check_response(self, step, &response, if upgraded { 101 } else { 200 })?;
        let Some(link) = link else { return Ok(false) };
        let tls = opening.tls()?;
        let way_back = opening.kind.emulated().then(|| WayBack {
            address: self.server.address.clone(),
            tls,
            path: opening.text("emulation").unwrap_or("/emulation").to_owned(),
        });
        let connection = Connection::new(opening.kind, link, opening.coding, way_back);
        self.connections.insert(step.connection.clone(), connection);
        Ok(true)
    }

    async fn open_call(
        &self,
        opening: &Opening<'_>,
        path: &str,
        request: Option<&[u8]>,
    ) -> Result<Call, String> {
        let path = opening.text("path").unwrap_or(path);
        let port = if opening.kind == Kind::UniGrpc { "uni_grpc_port" } else { "port" };
        let address = format!("127.0.0.1:{}", self.variables[port]);
        let metadata = header_list(opening.options.get("headers"));
        let request = match (opening.kind.unidirectional(), opening.text("hex")) {
            (false, _) => None,
            (true, Some(hex)) => Some(protobuf::from_hex(hex)?),
            (true, None) => Some(request.unwrap_or_default().to_vec()),
        };
        Call::open(&address, opening.tls()?, path, &metadata, request).await
    }

    async fn open_session(
        &self,
        opening: &Opening<'_>,
        target: &str,
    ) -> Result<(Option<Link>, Response), String> {
        let protobuf = opening.coding.protobuf;
        let target = match (protobuf, opening.text("query")) {
            (true, None) => format!("{target}?cf_protocol=protobuf"),
            _ => target.to_owned(),
        };
        let headers = header_list(opening.options.get("headers"));
        Ok(match Session::open(&self.server.address, &target, &headers, protobuf).await? {
            Ok((session, response)) => (Some(Link::Session(Box::new(session))), response),
            Err(response) => (None, response),
        })
    }

    async fn open_frames(
        &self,
        opening: &Opening<'_>,
        target: &str,
    ) -> Result<(Option<Link>, Response), String> {
        let mut headers = header_list(opening.options.get("headers"));
        let by_default = opening.coding.protobuf && opening.text("query").is_none();
        let subprotocol = opening.text("subprotocol").or(by_default.then_some("centrifuge-protobuf"));
        if let Some(subprotocol) = subprotocol {
            headers.push(("Sec-WebSocket-Protocol".to_owned(), subprotocol.to_owned()));
        }
        if opening.is_on("compression") {
            headers.push(("Sec-WebSocket-Extensions".to_owned(), "permessage-deflate".to_owned()));
        }
        if opening.is_on("http2") {
            let tls = opening.tls()?;
            return Ok(match WebSocket::open_http2(&self.server.address, tls, target, &headers).await? {
                Ok((socket, response)) => (Some(Link::WebSocket(socket)), response),
                Err(response) => (None, response),
            });
        }
        let opened = WebSocket::open(&self.server.address, opening.tls()?, target, &headers).await;
        Ok(match opened.map_err(|e| format!("open {target}: {e}"))? {
            Ok((socket, response)) => (Some(Link::WebSocket(socket)), response),
            Err(response) => (None, response),
        })
    }

    async fn open_body(
        &self,
        opening: &Opening<'_>,
        target: &str,
        request: Option<&[u8]>,
    ) -> Result<(Option<Link>, Response), String> {
        let body = match (opening.text("body"), opening.text("hex"), request) {
            (Some(text), ..) => text.as_bytes().to_vec(),
            (None, Some(hex), _) => protobuf::from_hex(hex)?,
            (None, None, Some(request)) if opening.carrier == Carrier::Body => request.to_vec(),
            _ => Vec::new(),
        };
        let mut headers = header_list(opening.options.get("headers"));
        if opening.carrier == Carrier::Body && !headers.iter().any(|(name, _)| name == "Content-Type") {
            let name = if opening.coding.protobuf { "application/octet-stream" } else { "application/json" };
            headers.push(("Content-Type".to_owned(), name.to_owned()));
        }
        let default = if opening.carrier == Carrier::Body { "POST" } else { "GET" };
        let method = opening.text("method").unwrap_or(default);
        let request = http::Request { method, target, headers: &headers, body: &body, closes: false };
        let framing = match (opening.kind.events(), opening.coding.protobuf) {
            (true, _) => Framing::Events,
            (false, true) => Framing::Prefixed,
            (false, false) => Framing::Lines,
        };
        let opened = Streamed::open(&self.server.address, opening.tls()?, &request, framing).await;
        Ok(match opened.map_err(|e| format!("{method} {target}: {e}"))? {
            Ok((stream, response)) => (Some(Link::Body(stream)), response),
            Err(response) => (None, response),
        })
    }
}
