//! Verbs on WebSocket connections.

use serde_json::{Map, Value, json};

use super::Run;
use super::step::Step;
use super::web::{check_response, header_list};
use crate::connection::{Connection, Event};
use crate::pattern;
use crate::protobuf;
use crate::websocket::{self, Frame, WebSocket};

impl Run<'_> {
    pub(super) async fn open(&mut self, step: &mut Step) -> Result<(), String> {
        let options = step.object()?;
        self.open_with(step, &options).await.map(drop)
    }

    async fn open_with(&mut self, step: &mut Step, options: &Map<String, Value>) -> Result<bool, String> {
        let text = |name: &str| options.get(name).and_then(Value::as_str);
        let mut target = text("path").unwrap_or("/connection/websocket").to_owned();
        if let Some(query) = text("query") {
            target.push_str(&format!("?{query}"));
        }
        let mut headers = header_list(options.get("headers"));
        let protobuf = text("protocol") == Some("protobuf");
        let subprotocol =
            text("subprotocol").or((protobuf && text("query").is_none()).then_some("centrifuge-protobuf"));
        if let Some(subprotocol) = subprotocol {
            headers.push(("Sec-WebSocket-Protocol".to_owned(), subprotocol.to_owned()));
        }
        if options.get("compression").and_then(Value::as_bool) == Some(true) {
            headers.push(("Sec-WebSocket-Extensions".to_owned(), "permessage-deflate".to_owned()));
        }
        let tls = options.get("tls").and_then(Value::as_bool) == Some(true);
        let opened = WebSocket::open(&self.server.address, tls, &target, &headers).await;
        let (socket, response) = match opened.map_err(|e| format!("open {target}: {e}"))? {
            Ok((socket, response)) => (Some(socket), response),
            Err(response) => (None, response),
        };
        check_response(self, step, &response, 101)?;
        let opened = socket.is_some();
        if let Some(socket) = socket {
            self.connections.insert(step.connection.clone(), Connection::new(socket, protobuf));
        }
        Ok(opened)
    }

    pub(super) async fn connect(&mut self, step: &mut Step) -> Result<(), String> {
        let options = step.object()?;
        self.open_with(step, &options).await?;
        let name = step.connection.clone();
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
        step.argument = json!({"connect": request});
        let capture = format!("$capture:{name}.client");
        let default = json!({"client": capture, "$more": true});
        let reply = match step.take("reply") {
            Some(Value::Object(mut members)) => {
                let client = members.entry("client").or_insert_with(|| capture.clone().into());
                if client == "$any" || client == "$uuid" {
                    *client = capture.into();
                }
                Value::Object(members)
            }
            Some(other) => other,
            None => default,
        };
        self.exchange(step, Some(json!({"connect": reply}))).await
    }

    pub(super) async fn call(&mut self, step: &mut Step) -> Result<(), String> {
        let reply = step.take("reply");
        self.exchange(step, reply).await
    }

    async fn exchange(&mut self, step: &mut Step, reply: Option<Value>) -> Result<(), String> {
        let error = step.take("error");
        let temporary = step.take("temporary");
        let disconnect = step.take("disconnect");
        let mut command = step.object()?;
        let id = match command.get("id") {
            Some(id) => id.clone(),
            None => self.connection(&step.connection)?.take_id().into(),
        };
        command.shift_insert(0, "id".to_owned(), id.clone());
        let command = Value::Object(command);
        self.note(format!("{} -> {command}", step.connection));
        self.connection(&step.connection)?.send(&[command]).await?;
        let event = self.next(&step.connection).await?;
        if let Some(disconnect) = disconnect {
            return check_close(&disconnect, &event);
        }
        let expected = if let Some(error) = error {
            let mut body = json!({"code": error[0], "message": error[1]});
            if temporary.is_some() {
                body["temporary"] = true.into();
            }
            json!({"id": id, "error": body})
        } else if let Some(Value::Object(mut reply)) = reply {
            reply.insert("id".to_owned(), id);
            Value::Object(reply)
        } else {
            json!({"id": id, "error": "$absent", "$more": true})
        };
        match event {
            Event::Message(message) => self.check(&expected, &message.value),
            other => Err(format!("expected {expected}, got {other}")),
        }
    }

    pub(super) async fn send(&mut self, step: &mut Step) -> Result<(), String> {
        let commands = step.list();
        self.note(format!("{} -> {}", step.connection, Value::Array(commands.clone())));
        self.connection(&step.connection)?.send(&commands).await
    }

    pub(super) async fn write(&mut self, step: &mut Step) -> Result<(), String> {
        self.note(format!("{} -> {} {}", step.connection, step.verb, step.argument));
        let argument = &step.argument;
        let frame = match step.verb.as_str() {
            "text" => Frame::new(websocket::TEXT, step.text()?),
            "binary" => Frame::new(websocket::BINARY, protobuf::from_hex(step.text()?)?),
            "raw" => {
                let bytes = protobuf::from_hex(step.text()?)?;
                return self.connection(&step.connection)?.write_raw(&bytes).await;
            }
            _ => {
                let mut frame =
                    Frame::new(argument["opcode"].as_u64().unwrap_or(1) as u8, frame_payload(argument)?);
                frame.fin = argument["fin"].as_bool().unwrap_or(true);
                frame.reserved = argument["reserved"].as_u64().unwrap_or_default() as u8;
                if argument["compress"].as_bool() == Some(true) {
                    frame.payload = websocket::deflate(&frame.payload).map_err(|e| e.to_string())?;
                    frame.reserved |= 4;
                }
                frame
            }
        };
        self.connection(&step.connection)?.write(&frame).await
    }

    pub(super) async fn expect(&mut self, step: &mut Step) -> Result<(), String> {
        let mut patterns = step.list();
        let any_order = step.take("any_order").is_some();
        let compressed = step.take("compressed").and_then(|value| value.as_bool());
        while !patterns.is_empty() {
            let event = self.next(&step.connection).await?;
            let Event::Message(message) = event else {
                return Err(format!("expected {}, got {event}", patterns[0]));
            };
            if compressed.is_some_and(|compressed| compressed != message.compressed) {
                return Err(format!("compressed is {} for {}", message.compressed, message.value));
            }
            let candidates = if any_order { patterns.len() } else { 1 };
            let mut outcome = Err(String::new());
            for index in 0..candidates {
                outcome = self.check(&patterns[index], &message.value);
                if outcome.is_ok() {
                    patterns.remove(index);
                    break;
                }
            }
            outcome.map_err(|error| {
                if any_order { format!("no pattern matches {}", message.value) } else { error }
            })?;
        }
        Ok(())
    }

    pub(super) async fn expect_text(&mut self, step: &mut Step) -> Result<(), String> {
        match self.next(&step.connection).await? {
            Event::Message(message) if pattern::text_matches(step.text()?, &message.text) => Ok(()),
            Event::Message(message) => Err(format!("message is {}", message.text)),
            other => Err(format!("expected a message, got {other}")),
        }
    }

    pub(super) async fn expect_frame(&mut self, step: &mut Step) -> Result<(), String> {
        let connection = self.connection(&step.connection)?;
        if connection.has_pending() {
            return Err("messages of an earlier frame are still unread".into());
        }
        let frame = connection.next_data().await?.ok_or("connection ended")?;
        self.note(format!("{} <- frame {frame:?}", step.connection));
        let expected = &step.argument;
        if expected["opcode"].as_u64().is_some_and(|opcode| opcode != u64::from(frame.opcode)) {
            return Err(format!("opcode is {}", frame.opcode));
        }
        if expected["reserved"].as_u64().is_some_and(|reserved| reserved != u64::from(frame.reserved)) {
            return Err(format!("reserved bits are {}", frame.reserved));
        }
        if let Some(text) = expected["text"].as_str()
            && !pattern::text_matches(text, &String::from_utf8_lossy(&frame.payload))
        {
            return Err(format!("payload is {:?}", String::from_utf8_lossy(&frame.payload)));
        }
        if let Some(hex) = expected["hex"].as_str()
            && protobuf::from_hex(hex)? != frame.payload
        {
            return Err(format!("payload is {}", protobuf::to_hex(&frame.payload)));
        }
        Ok(())
    }

    pub(super) async fn expect_control(&mut self, step: &mut Step) -> Result<(), String> {
        let event = self.next(&step.connection).await?;
        let Event::Control(frame) = event else { return Err(format!("got {event}")) };
        if step.argument["opcode"].as_u64() != Some(u64::from(frame.opcode)) {
            return Err(format!("opcode is {}", frame.opcode));
        }
        match step.argument["text"].as_str() {
            Some(text) if text.as_bytes() != frame.payload => Err(format!("payload is {:?}", frame.payload)),
            _ => Ok(()),
        }
    }

    pub(super) async fn offsets(&mut self, step: &mut Step) -> Result<(), String> {
        let channel = step.argument["channel"].clone();
        let bound = |name: &str| step.argument[name].as_u64().ok_or_else(|| format!("offsets needs {name}"));
        let (mut expected, last) = (bound("from")?, bound("to")?);
        while expected <= last {
            let event = self.next(&step.connection).await?;
            let Event::Message(message) = event else {
                return Err(format!("waiting for {expected}, got {event}"));
            };
            let publications = match &message.value {
                value if value["push"]["channel"] == channel && value["push"]["pub"].is_object() => {
                    vec![value["push"]["pub"].clone()]
                }
                value if value["push"]["channel"] == channel => {
                    return Err(format!("waiting for {expected}"));
                }
                value => value["subscribe"]["publications"].as_array().cloned().unwrap_or_default(),
            };
            for publication in publications {
                if publication["offset"] != expected {
                    return Err(format!("offset {} instead of {expected}", publication["offset"]));
                }
                expected += 1;
            }
        }
        Ok(())
    }

    pub(super) async fn quiet(&mut self, step: &mut Step) -> Result<(), String> {
        step.argument = json!({"unsubscribe": {"channel": "quiet-marker"}});
        self.exchange(step, Some(json!({"unsubscribe": {}}))).await
    }

    pub(super) async fn closed(&mut self, step: &mut Step) -> Result<(), String> {
        let skip = step.take("skip").is_some();
        loop {
            let event = self.next(&step.connection).await?;
            if !(skip && matches!(event, Event::Message(_))) {
                return check_close(&step.argument, &event);
            }
        }
    }

    pub(super) async fn dropped(&mut self, step: &mut Step) -> Result<(), String> {
        match self.next(&step.connection).await? {
            Event::Dropped => Ok(()),
            other => Err(format!("expected the end of the connection, got {other}")),
        }
    }

    pub(super) async fn ends(&mut self, step: &mut Step) -> Result<(), String> {
        let codes = step.list();
        match self.next(&step.connection).await? {
            Event::Dropped => Ok(()),
            Event::Closed { code, .. } if codes.iter().any(|expected| *expected == code) => Ok(()),
            other => Err(format!("expected the end of the connection, got {other}")),
        }
    }

    pub(super) async fn close(&mut self, step: &mut Step) -> Result<(), String> {
        let code = step.argument.as_u64().ok_or("close takes a code")? as u16;
        let connection = self.connection(&step.connection)?;
        connection.write(&Frame::new(websocket::CLOSE, code.to_be_bytes())).await
    }

    pub(super) fn cut(&mut self, step: &mut Step) -> Result<(), String> {
        self.connections
            .remove(&step.connection)
            .map(drop)
            .ok_or_else(|| format!("no connection {}", step.connection))
    }

    async fn next(&mut self, name: &str) -> Result<Event, String> {
        let event = self.connection(name)?.next().await?;
        self.note(format!("{name} <- {event}"));
        Ok(event)
    }

    fn connection(&mut self, name: &str) -> Result<&mut Connection, String> {
        self.connections.get_mut(name).ok_or_else(|| format!("no connection {name}"))
    }
}

fn frame_payload(argument: &Value) -> Result<Vec<u8>, String> {
    match (argument["text"].as_str(), argument["hex"].as_str()) {
        (Some(text), _) => Ok(text.as_bytes().to_vec()),
        (None, Some(hex)) => protobuf::from_hex(hex),
        (None, None) => Ok(Vec::new()),
    }
}

fn check_close(expected: &Value, event: &Event) -> Result<(), String> {
    match event {
        Event::Closed { code, reason }
            if expected[0] == *code && (expected[1].is_null() || expected[1] == *reason) =>
        {
            Ok(())
        }
        other => Err(format!("expected close frame {expected}, got {other}")),
    }
}
