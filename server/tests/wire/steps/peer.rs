//! Verbs on open connections.

use serde_json::{Value, json};

use super::Run;
use super::step::Step;
use crate::connection::{Connection, Event};
use crate::pattern;
use crate::protobuf;
use crate::websocket::{self, Frame};

impl Run<'_> {
    pub(super) async fn call(&mut self, step: &mut Step) -> Result<(), String> {
        let reply = step.take("reply");
        self.exchange(step, reply).await
    }

    async fn exchange(&mut self, step: &mut Step, reply: Option<Value>) -> Result<(), String> {
        let mut command = step.object()?;
        let id = match command.get("id") {
            Some(id) => id.clone(),
            None => self.connection(&step.connection)?.take_id().into(),
        };
        command.shift_insert(0, "id".to_owned(), id.clone());
        let command = Value::Object(command);
        self.note(format!("{} -> {command}", step.connection));
        self.connection(&step.connection)?.send(&[command]).await?;
        self.expect_reply(step, Some(id), reply).await
    }

    /// Judges the answer to a command by the options `error`, `disconnect` and the given pattern. Without an id it is
    /// the first push of a unidirectional connection.
    pub(super) async fn expect_reply(
        &mut self,
        step: &mut Step,
        id: Option<Value>,
        reply: Option<Value>,
    ) -> Result<(), String> {
        let error = step.take("error");
        let temporary = step.take("temporary");
        let disconnect = step.take("disconnect");
        let event = self.next(&step.connection).await?;
        if let Some(disconnect) = disconnect {
            return check_close(&disconnect, &event);
        }
        let mut expected = if let Some(error) = error {
            let mut body = json!({"code": error[0], "message": error[1]});
            if temporary.is_some() {
                body["temporary"] = true.into();
            }
            json!({"error": body})
        } else {
            reply.unwrap_or_else(|| json!({"error": "$absent", "$more": true}))
        };
        if let (Some(id), Some(members)) = (id, expected.as_object_mut()) {
            members.insert("id".to_owned(), id);
        }
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

    pub(super) async fn expect_body(&mut self, step: &mut Step) -> Result<(), String> {
        let literal = step.text()?.to_owned();
        self.connection(&step.connection)?.expect_body(&literal).await
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
            let value = &message.value;
            let push = if value["push"].is_object() { &value["push"] } else { value };
            let listed =
                [&value["subscribe"], &value["connect"]["subs"][channel.as_str().unwrap_or_default()]];
            let publications = if push["channel"] != channel {
                let listed = listed.into_iter().find_map(|result| result["publications"].as_array());
                listed.cloned().unwrap_or_default()
            } else if push["pub"].is_object() {
                vec![push["pub"].clone()]
            } else {
                return Err(format!("waiting for {expected}"));
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
        if self.connection(&step.connection)?.kind.unidirectional() {
            return self.quiet_by_api(step).await;
        }
        step.argument = json!({"unsubscribe": {"channel": "quiet-marker"}});
        self.exchange(step, Some(json!({"unsubscribe": {}}))).await
    }

    /// As nothing can be sent, the marker is a subscription that comes and goes.
    async fn quiet_by_api(&mut self, step: &Step) -> Result<(), String> {
        let variable = |name: &str| self.variables.get(&format!("{}.{name}", step.connection)).cloned();
        let target =
            json!({"channel": "quiet-marker", "user": variable("user"), "client": variable("client")});
        for method in ["subscribe", "unsubscribe"] {
            let answer = self.call_api(method, &target).await?;
            self.check(&json!({"result": {}}), &answer)?;
            match self.next(&step.connection).await? {
                Event::Message(message) => {
                    self.check(&json!({"channel": "quiet-marker", method: "$any"}), &message.value)?;
                }
                other => return Err(format!("expected the marker, got {other}")),
            }
        }
        Ok(())
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
        let skip = step.take("skip").is_some();
        loop {
            match self.next(&step.connection).await? {
                Event::Dropped => return Ok(()),
                Event::Message(_) if skip => {}
                other => return Err(format!("expected the end of the connection, got {other}")),
            }
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

    pub(super) async fn ended(&mut self, step: &mut Step) -> Result<(), String> {
        let end = self.connection(&step.connection)?.end().await?;
        self.check(&step.argument, &end)
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

    pub(super) fn connection(&mut self, name: &str) -> Result<&mut Connection, String> {
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
        other => Err(format!("expected close {expected}, got {other}")),
    }
}
