//! Publishing and calling from clients.

use super::{Context, Question, Session, Step};
use crate::broker::BrokerError;
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
        let mut options =
            match cx.policy.publish(&request.channel, &self.user, subscription.is_some(), &request.data) {
                Ok(options) => options,
                Err(code) => return cx.fail(id, code),
            };
        let channel_info = subscription.map(|subscription| subscription.info()).unwrap_or_default();
        options.info = Some(self.client_info(&channel_info));
        let question = Question::Publish(Arc::from(request.channel), request.data, Box::new(options));
        self.ask(id, Step::Publish, question, cx);
    }

    pub(super) fn on_published(&mut self, id: u32, result: Result<(), BrokerError>, cx: &mut Context<'_>) {
        match result {
            Ok(()) => cx.reply(id, |reply| reply.publish = Some(Box::new(client::PublishResult {}))),
            Err(error) => cx.fail(id, error.client_code()),
        }
    }

    pub(super) fn on_rpc(&mut self, id: u32, method: &str, cx: &mut Context<'_>) {
        match cx.settings.rpc_ping.as_deref() {
            Some(ping) if ping == method => {
                cx.reply(id, |reply| reply.rpc = Some(Box::new(client::RpcResult::default())));
            }
            Some(_) => cx.fail(id, ClientErrorCode::MethodNotFound),
            None => cx.fail(id, ClientErrorCode::NotAvailable),
        }
    }
}
