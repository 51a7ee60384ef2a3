//! What the application decides about commands of a connected client: calls, subscriptions, publications.

use super::inquiry::{Ruling, rule};
use super::subscribe::Cause;
use super::{
    Context, Effect, Grant, Inquiry, Overrides, Phase, Question, Session, Step, Unanswered, Verdict,
    subscribe,
};
use crate::broker::PublishOptions;
use crate::proxy::Caller;
use bytes::Bytes;
use gyre_proto::client;
use gyre_proto::codes::{ClientErrorCode, DisconnectCode, UnsubscribeCode};
use gyre_proto::proxy as wire;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A publication the application is asked about.
pub(super) struct Draft {
    channel: Arc<str>,
    data: Bytes,
    options: Box<PublishOptions>,
}

impl Session {
    /// Keeps what the connect command says in place of headers, as far as any proxy passes it on.
    pub(super) fn keep_emulated_headers(&mut self, headers: BTreeMap<String, String>, cx: &Context<'_>) {
        let passed_on =
            |name: &str| cx.settings.emulated_headers.iter().any(|own| own.eq_ignore_ascii_case(name));
        let emulated: BTreeMap<_, _> = headers.into_iter().filter(|(name, _)| passed_on(name)).collect();
        if emulated.is_empty() {
            return;
        }
        let origin = &mut self.cold.get_or_insert_default().origin;
        let known = origin.caller.take().unwrap_or_default();
        let caller = Caller { headers: known.headers.clone(), metadata: known.metadata.clone(), emulated };
        origin.caller = Some(Arc::new(caller));
    }

    /// What the application may be told of how the client came.
    pub(super) fn caller(&self) -> Arc<Caller> {
        self.cold.as_ref().and_then(|cold| cold.origin.caller.clone()).unwrap_or_default()
    }

    pub(super) fn meta(&self) -> Bytes {
        self.cold.as_ref().map(|cold| cold.meta.clone()).unwrap_or_default()
    }

    /// Asks the application on behalf of a command.
    pub(super) fn inquire(&mut self, id: u32, step: Step, inquiry: Inquiry, cx: &mut Context<'_>) {
        let question = Question::Application(self.caller(), Box::new(inquiry));
        self.ask(id, step, question, cx);
    }

    /// What was granted; a refusal is passed on to the client. Without an answer it is told to come again.
    fn ruled<T>(&mut self, id: u32, ruling: Ruling<T>, cx: &mut Context<'_>) -> Option<T> {
        match ruling {
            Ruling::Granted(granted) => return Some(granted),
            Ruling::Refused(error) => cx.fail_with(id, error),
            Ruling::Ended(close) => self.close_with(close, cx),
        }
        None
    }

    pub(super) fn on_rpc(&mut self, id: u32, request: client::RpcRequest, cx: &mut Context<'_>) {
        if cx.settings.rpc_ping.as_ref().is_some_and(|ping| *ping == request.method) {
            return cx.reply(id, |reply| reply.rpc = Some(Box::default()));
        }
        let proxy = match cx.policy.rpc(&request.method) {
            Ok(proxy) => proxy,
            Err(code) => return cx.fail(id, code),
        };
        let request = wire::RpcRequest {
            client: self.id.to_string(),
            user: self.user.to_string(),
            method: request.method,
            data: request.data,
            meta: self.meta(),
            ..Default::default()
        };
        self.inquire(id, Step::Rpc, Inquiry::Rpc(proxy, request), cx);
    }

    pub(super) fn on_rpc_verdict(
        &mut self,
        id: u32,
        verdict: Result<Box<Verdict>, Unanswered>,
        cx: &mut Context<'_>,
    ) {
        let response = match verdict.map(|verdict| *verdict) {
            Ok(Verdict::Rpc(response)) => response,
            Ok(_) => return self.close(DisconnectCode::ServerError, cx),
            Err(Unanswered) => return cx.fail(id, ClientErrorCode::Internal),
        };
        let ruling = rule(response.disconnect, response.error, response.result);
        if let Some(result) = self.ruled(id, ruling, cx) {
            let data = result.unwrap_or_default().data;
            cx.reply(id, |reply| reply.rpc = Some(Box::new(client::RpcResult { data })));
        }
    }

    pub(super) fn subscribe_inquiry(&self, request: &client::SubscribeRequest) -> wire::SubscribeRequest {
        wire::SubscribeRequest {
            client: self.id.to_string(),
            user: self.user.to_string(),
            channel: request.channel.clone(),
            token: request.token.clone(),
            data: request.data.clone(),
            meta: self.meta(),
            ..Default::default()
        }
    }

    /// The application decided about a subscription. With `fed`, it holds a stream of publications ready, which
    /// is dropped unless the subscription comes about.
    pub(super) fn on_subscribe_verdict(
        &mut self,
        id: u32,
        request: &client::SubscribeRequest,
        fed: bool,
        verdict: Result<Box<Verdict>, Unanswered>,
        cx: &mut Context<'_>,
    ) {
        let response = match verdict.map(|verdict| *verdict) {
            Ok(Verdict::Subscribe(response)) => response,
            Ok(_) => return self.close(DisconnectCode::ServerError, cx),
            Err(Unanswered) => return cx.fail(id, ClientErrorCode::Internal),
        };
        let ruling = rule(response.disconnect, response.error, response.result);
        if let Some(result) = self.ruled(id, ruling, cx) {
            let result = result.unwrap_or_default();
            let granted = self.application_grant(&request.channel, result, fed, cx);
            let cause = Cause { fed, ..Cause::default() };
            match granted.and_then(|grant| self.join(id, request, grant, cause, cx)) {
                Ok(()) => return,
                Err(code) => cx.fail(id, code),
            }
        }
        if fed && self.phase != Phase::Closed {
            cx.emit(Effect::DropFeed(Arc::from(request.channel.as_str())));
        }
    }

    /// What the client asked for beside the channel is passed over, as it is the application's to grant.
    fn application_grant(
        &self,
        channel: &str,
        result: wire::SubscribeResult,
        fed: bool,
        cx: &Context<'_>,
    ) -> Result<Grant, ClientErrorCode> {
        let overrides: Overrides = result.r#override.map(Overrides::from).unwrap_or_default();
        let mut grant = Grant {
            expire_at: result.expire_at,
            client_side_refresh: cx.policy.sub_refresh_proxy(channel).is_none(),
            info: result.info,
            data: result.data,
            ..cx.policy.server_grant(channel, &overrides)?
        };
        if fed {
            // Its publications are in no stream that could be compared, recovered or filtered.
            grant = Grant {
                positioning: false,
                recovery: false,
                auto_cache_recover: false,
                delta: false,
                tags_filter: false,
                client_side_refresh: true,
                ..grant
            };
        }
        Ok(grant)
    }

    pub(super) fn ask_to_publish(
        &mut self,
        id: u32,
        request: client::PublishRequest,
        proxy: Arc<str>,
        options: Box<PublishOptions>,
        cx: &mut Context<'_>,
    ) {
        let asked = wire::PublishRequest {
            client: self.id.to_string(),
            user: self.user.to_string(),
            channel: request.channel.clone(),
            data: request.data.clone(),
            meta: self.meta(),
            ..Default::default()
        };
        let draft = Draft { channel: Arc::from(request.channel), data: request.data, options };
        self.inquire(id, Step::AskToPublish(Box::new(draft)), Inquiry::Publish(proxy, asked), cx);
    }

    pub(super) fn on_publish_verdict(
        &mut self,
        id: u32,
        draft: Draft,
        verdict: Result<Box<Verdict>, Unanswered>,
        cx: &mut Context<'_>,
    ) {
        let response = match verdict.map(|verdict| *verdict) {
            Ok(Verdict::Publish(response)) => response,
            Ok(_) => return self.close(DisconnectCode::ServerError, cx),
            Err(Unanswered) => return cx.fail(id, ClientErrorCode::Internal),
        };
        let ruling = rule(response.disconnect, response.error, response.result);
        let Some(result) = self.ruled(id, ruling, cx) else { return };
        let Draft { channel, mut data, mut options } = draft;
        if let Some(result) = result {
            if !result.data.is_empty() {
                data = result.data;
            }
            if result.skip_history {
                (options.history_size, options.history_ttl) = Default::default();
            }
            options.tags = (!result.tags.is_empty()).then(|| Arc::new(result.tags));
            options.idempotency_key = result.idempotency_key;
            options.delta = result.delta;
            options.version = result.version;
            options.version_epoch = result.version_epoch;
        }
        self.publish(id, channel, data, options, cx);
    }

    /// The application ended the stream that fed a subscription; `complete` when it did so on purpose.
    pub fn on_feed_end(&mut self, channel: &str, complete: bool, cx: &mut Context<'_>) {
        let fed = self.subscriptions.get(channel).is_some_and(|own| own.fed && !own.joining);
        if fed {
            let code = if complete { UnsubscribeCode::Server } else { UnsubscribeCode::Insufficient };
            self.unsubscribe_with_push(channel, code, cx);
        }
    }

    /// Whether a subscribe command for `channel` waits for its answer.
    pub(super) fn is_subscribing(&self, channel: &str) -> bool {
        self.subscribing().any(|step| step.channel() == channel)
    }

    /// Subscribe commands that wait for a decision and have no subscription yet.
    pub(super) fn undecided_subscriptions(&self) -> usize {
        self.subscribing().filter(|step| !matches!(step, subscribe::Step::Join(_))).count()
    }

    fn subscribing(&self) -> impl Iterator<Item = &subscribe::Step> {
        self.waiting.iter().filter_map(|waiting| match &waiting.step {
            Step::Subscribe(step) => Some(step),
            _ => None,
        })
    }
}
