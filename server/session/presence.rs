//! Asking who is in a channel.

use super::{Context, Question, Session, Step};
use crate::broker::ClientInfo;
use crate::presence::{PresenceError, PresenceStats};
use gyre_proto::client;
use gyre_proto::codes::{ClientErrorCode, DisconnectCode};
use std::collections::BTreeMap;
use std::sync::Arc;

impl Session {
    pub(super) fn on_presence(&mut self, id: u32, channel: &str, cx: &mut Context<'_>) {
        if let Some(channel) = self.presence_allowed(id, channel, cx) {
            self.ask(id, Step::Presence, Question::Presence(channel), cx);
        }
    }

    pub(super) fn on_presence_stats(&mut self, id: u32, channel: &str, cx: &mut Context<'_>) {
        if let Some(channel) = self.presence_allowed(id, channel, cx) {
            self.ask(id, Step::PresenceStats, Question::PresenceStats(channel), cx);
        }
    }

    fn presence_allowed(&mut self, id: u32, channel: &str, cx: &mut Context<'_>) -> Option<Arc<str>> {
        if channel.is_empty() {
            self.close(DisconnectCode::BadRequest, cx);
            return None;
        }
        let subscribed = self.subscriptions.is_subscribed(channel);
        match cx.policy.presence(channel, &self.user, subscribed) {
            Ok(()) => Some(Arc::from(channel)),
            Err(code) => {
                cx.fail(id, code);
                None
            }
        }
    }

    pub(super) fn on_presence_answer(
        &mut self,
        id: u32,
        result: Result<BTreeMap<String, Arc<ClientInfo>>, PresenceError>,
        cx: &mut Context<'_>,
    ) {
        match result {
            Ok(clients) => cx.reply(id, |reply| {
                let presence =
                    clients.into_iter().map(|(client, info)| (client, info.as_ref().into())).collect();
                reply.presence = Some(Box::new(client::PresenceResult { presence }));
            }),
            Err(_) => cx.fail(id, ClientErrorCode::Internal),
        }
    }

    pub(super) fn on_presence_stats_answer(
        &mut self,
        id: u32,
        result: Result<PresenceStats, PresenceError>,
        cx: &mut Context<'_>,
    ) {
        match result {
            Ok(stats) => cx.reply(id, |reply| {
                reply.presence_stats = Some(Box::new(client::PresenceStatsResult {
                    num_clients: stats.clients,
                    num_users: stats.users,
                }));
            }),
            Err(_) => cx.fail(id, ClientErrorCode::Internal),
        }
    }
}
