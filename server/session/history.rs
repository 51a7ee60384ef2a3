//! Reading a channel's stream.

use super::{Context, Question, Session, Step};
use crate::broker::{BrokerError, HistoryFilter, HistoryPage, StreamPosition};
use crate::protocol::client_publication;
use gyre_proto::client;
use gyre_proto::codes::{ClientErrorCode, DisconnectCode};
use std::sync::Arc;

impl Session {
    pub(super) fn on_history(&mut self, id: u32, request: client::HistoryRequest, cx: &mut Context<'_>) {
        if request.channel.is_empty() {
            return self.close(DisconnectCode::BadRequest, cx);
        }
        let subscribed = self.subscriptions.is_subscribed(&request.channel);
        let meta_ttl = match cx.policy.history(&request.channel, &self.user, subscribed) {
            Ok(meta_ttl) => meta_ttl,
            Err(code) => return cx.fail(id, code),
        };
        let since =
            request.since.map(|since| StreamPosition { offset: since.offset, epoch: since.epoch.into() });
        if request.reverse && since.as_ref().is_some_and(|since| since.offset == 0) {
            return cx.fail(id, ClientErrorCode::BadRequest);
        }
        let most = cx.settings.history_limit;
        let limit =
            if request.limit < 0 || (most > 0 && request.limit > most) { most } else { request.limit };
        let filter = HistoryFilter { limit: u64::try_from(limit).ok(), since, reverse: request.reverse };
        self.ask(id, Step::History, Question::History(Arc::from(request.channel), filter, meta_ttl), cx);
    }

    pub(super) fn on_history_answer(
        &mut self,
        id: u32,
        result: Result<HistoryPage, BrokerError>,
        cx: &mut Context<'_>,
    ) {
        match result {
            Ok(page) => cx.reply(id, |reply| {
                reply.history = Some(Box::new(client::HistoryResult {
                    publications: page
                        .publications
                        .iter()
                        .map(|publication| client_publication(publication, &page.position.epoch))
                        .collect(),
                    epoch: page.position.epoch.as_str().to_owned(),
                    offset: page.position.offset,
                }));
            }),
            Err(error) => cx.fail(id, error.client_code()),
        }
    }
}
