//! What the events are: their messages, and the parts of them that depend on how an application is asked.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use gyre_proto::InvalidBase64;
use gyre_proto::json::{JsonDecode, JsonEncode};
use gyre_proto::proxy as wire;

/// What an application can be asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Event {
    /// A client connects.
    Connect,
    /// The time of a connection has come.
    Refresh,
    /// A client calls a method.
    Rpc,
    /// A client subscribes.
    Subscribe,
    /// A client publishes.
    Publish,
    /// The time of a subscription has come.
    SubRefresh,
    /// A client subscribes to what the application streams.
    SubscribeStream,
    /// A channel in cache mode has nothing to show.
    CacheEmpty,
}

impl Event {
    /// The event in configuration keys and labels of metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Refresh => "refresh",
            Self::Rpc => "rpc",
            Self::Subscribe => "subscribe",
            Self::Publish => "publish",
            Self::SubRefresh => "sub_refresh",
            Self::SubscribeStream => "subscribe_stream",
            Self::CacheEmpty => "cache_empty",
        }
    }
}

/// What an application is told, beyond what every application is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Form {
    /// Payloads travel as base64, because they need not be JSON.
    pub binary: bool,
    /// The meta information of the connection is passed on.
    pub meta: bool,
}

/// A question that has one answer.
pub(super) trait Ask: JsonEncode + prost::Message + Default + Send + Sync + 'static {
    /// What is answered.
    type Answer: Reply;
    /// Path of the method over gRPC.
    const PATH: &'static str;
    /// Whether it may be asked again when it is not known whether it arrived.
    const REPEATABLE: bool;

    /// Brings the message into the form the application wants.
    fn prepare(&mut self, form: Form);
}

/// An answer.
pub(super) trait Reply: JsonDecode + prost::Message + Default + Send + 'static {
    /// Puts payloads that came as base64 where the others are.
    ///
    /// # Errors
    /// When one is not base64.
    fn settle(&mut self) -> Result<(), InvalidBase64> {
        Ok(())
    }

    /// An answer that refuses; none when this event cannot be refused.
    fn refusal(_: Refusal) -> Option<Self> {
        None
    }
}

/// A refusal that stands for a status code of the application.
#[derive(Clone, Debug)]
pub enum Refusal {
    /// The command gets this error.
    Error(wire::Error),
    /// The connection ends.
    Disconnect(wire::Disconnect),
}

impl Form {
    fn encoding(self) -> String {
        if self.binary { "binary" } else { "json" }.to_owned()
    }

    /// Moves a payload into its base64 twin, if that is how it travels.
    fn payload(self, data: &mut Bytes, twin: &mut String) {
        if self.binary {
            *twin = STANDARD.encode(std::mem::take(data));
        }
    }

    fn meta(self, meta: &mut Bytes) {
        if !self.meta {
            *meta = Bytes::new();
        }
    }
}

macro_rules! ask {
    ($request:ident -> $answer:ident, $method:literal, $repeatable:literal, |$message:ident, $form:ident| $prepare:block) => {
        impl Ask for wire::$request {
            type Answer = wire::$answer;
            const PATH: &'static str = concat!("/centrifugal.centrifugo.proxy.CentrifugoProxy/", $method);
            const REPEATABLE: bool = $repeatable;

            fn prepare(&mut self, $form: Form) {
                let $message = self;
                $prepare
            }
        }
    };
}

ask!(ConnectRequest -> ConnectResponse, "Connect", true, |message, form| {
    message.encoding = form.encoding();
    form.payload(&mut message.data, &mut message.b64data);
});
ask!(RefreshRequest -> RefreshResponse, "Refresh", true, |message, form| {
    message.encoding = form.encoding();
    form.meta(&mut message.meta);
});
ask!(RpcRequest -> RpcResponse, "RPC", false, |message, form| {
    message.encoding = form.encoding();
    form.meta(&mut message.meta);
    form.payload(&mut message.data, &mut message.b64data);
});
ask!(SubscribeRequest -> SubscribeResponse, "Subscribe", true, |message, form| {
    message.encoding = form.encoding();
    form.meta(&mut message.meta);
    form.payload(&mut message.data, &mut message.b64data);
});
ask!(PublishRequest -> PublishResponse, "Publish", false, |message, form| {
    message.encoding = form.encoding();
    form.meta(&mut message.meta);
    form.payload(&mut message.data, &mut message.b64data);
});
ask!(SubRefreshRequest -> SubRefreshResponse, "SubRefresh", true, |message, form| {
    message.encoding = form.encoding();
    form.meta(&mut message.meta);
});
ask!(NotifyCacheEmptyRequest -> NotifyCacheEmptyResponse, "NotifyCacheEmpty", true, |_message, _form| {});

macro_rules! reply {
    ($answer:ident, |$result:ident| $settle:block) => {
        impl Reply for wire::$answer {
            fn settle(&mut self) -> Result<(), InvalidBase64> {
                if let Some($result) = &mut self.result {
                    $settle
                }
                Ok(())
            }

            fn refusal(refusal: Refusal) -> Option<Self> {
                let mut answer = Self::default();
                match refusal {
                    Refusal::Error(error) => answer.error = Some(error),
                    Refusal::Disconnect(disconnect) => answer.disconnect = Some(disconnect),
                }
                Some(answer)
            }
        }
    };
}

reply!(ConnectResponse, |result| {
    result.info = result.info_bytes()?;
    result.data = result.data_bytes()?;
    for options in result.subs.values_mut() {
        options.info = options.info_bytes()?;
        options.data = options.data_bytes()?;
    }
});
reply!(RefreshResponse, |result| {
    result.info = result.info_bytes()?;
});
reply!(RpcResponse, |result| {
    result.data = result.data_bytes()?;
});
reply!(SubscribeResponse, |result| {
    result.info = result.info_bytes()?;
    result.data = result.data_bytes()?;
});
reply!(PublishResponse, |result| {
    // Unlike elsewhere, the twin counts only when there is nothing else.
    if result.data.is_empty() {
        result.data = result.data_bytes()?;
    }
});
reply!(SubRefreshResponse, |result| {
    result.info = result.info_bytes()?;
});

impl Reply for wire::NotifyCacheEmptyResponse {}

#[cfg(test)]
mod tests {
    use super::*;

    const BINARY: Form = Form { binary: true, meta: false };

    #[test]
    fn payloads_move_into_their_twin_and_meta_stays_here_unless_wanted() {
        let asked = wire::RpcRequest {
            data: Bytes::from_static(b"\x01\x02"),
            meta: Bytes::from_static(b"{}"),
            ..Default::default()
        };
        let mut request = asked.clone();
        request.prepare(BINARY);
        assert_eq!((request.encoding.as_str(), request.b64data.as_str()), ("binary", "AQI="));
        assert!(request.data.is_empty() && request.meta.is_empty());

        let mut request = asked.clone();
        request.prepare(Form { binary: false, meta: true });
        assert_eq!(request, wire::RpcRequest { encoding: "json".to_owned(), ..asked });
    }

    #[test]
    fn answers_hold_what_their_twins_say() {
        let text = br#"{"result":{"info":{"a":1},"b64data":"AQI=","subs":{"ch":{"b64info":"e30="}}}}"#;
        let mut answer = wire::ConnectResponse::decode_json(text).unwrap();
        answer.settle().unwrap();
        let result = answer.result.unwrap();
        assert_eq!((&result.info[..], &result.data[..]), (&b"{\"a\":1}"[..], &b"\x01\x02"[..]));
        assert_eq!(result.subs["ch"].info, "{}");

        let mut broken = wire::RpcResponse::decode_json(br#"{"result":{"b64data":"!"}}"#).unwrap();
        assert_eq!(broken.settle(), Err(InvalidBase64 { field: "b64data" }));
    }

    #[test]
    fn published_data_goes_before_its_twin() {
        let mut answer =
            wire::PublishResponse::decode_json(br#"{"result":{"data":1,"b64data":"!"}}"#).unwrap();
        answer.settle().unwrap();
        assert_eq!(answer.result.unwrap().data, "1");
    }
}
