//! Publishing from clients.

use super::{Context, PublishDecision, Question, Session, Step, Unanswered};
use crate::broker::{BrokerError, PublishOptions};
use bytes::Bytes;
use gyre_proto::client;
use gyre_proto::codes::{ClientErrorCode, DisconnectCode};
use std::sync::Arc;

impl Session {
    pub(super) fn on_publish(&mut self, id: u32, request: client::PublishRequest, cx: &mut Context<'_>) {
        if request.channel.is_empty() {
            return self.close(DisconnectCode::BadRequest, cx);
        }
        let subscription =
            self.subscriptions.get(&request.channel).filter(|subscription| !subscription.joining);
        let is_fed = subscription.is_some_and(|subscription| subscription.fed);
        match cx.policy.publish(&request.channel, &self.user, subscription.is_some(), &request.data) {
            Ok(PublishDecision::Granted(options)) => {
                self.publish(id, Arc::from(request.channel), request.data, options, cx)
            }
            Ok(PublishDecision::AskProxy(proxy, options)) => {
                self.ask_to_publish(id, request, proxy, options, cx)
            }
            Ok(PublishDecision::IntoFeed) if is_fed => {
                let question = Question::Feed(Arc::from(request.channel), request.data);
                self.ask(id, Step::Feed, question, cx);
            }
            Ok(PublishDecision::IntoFeed) => cx.fail(id, ClientErrorCode::NotAvailable),
            Err(code) => cx.fail(id, code),
        }
    }

    /// Publishes in the name of this client.
    pub(super) fn publish(
        &mut self,
        id: u32,
        channel: Arc<str>,
        data: Bytes,
        mut options: Box<PublishOptions>,
        cx: &mut Context<'_>,
    ) {
        let subscription = self.subscriptions.get(&channel).filter(|subscription| !subscription.joining);
        let channel_info = subscription.map(|subscription| subscription.info()).unwrap_or_default();
        options.info = Some(self.client_info(&channel_info));
        self.ask(id, Step::Publish, Question::Publish(channel, data, options), cx);
    }

    pub(super) fn on_fed(&mut self, id: u32, result: Result<(), Unanswered>, cx: &mut Context<'_>) {
        match result {
            Ok(()) => cx.reply(id, |reply| reply.publish = Some(Box::default())),
            Err(Unanswered) => cx.fail(id, ClientErrorCode::Internal),
        }
    }

    pub(super) fn on_published(&mut self, id: u32, result: Result<(), BrokerError>, cx: &mut Context<'_>) {
        match result {
            Ok(()) => cx.reply(id, |reply| reply.publish = Some(Box::new(client::PublishResult {}))),
            Err(error) => cx.fail(id, error.client_code()),
        }
    }
}
