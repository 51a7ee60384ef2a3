//! What the server API does to a connection.

use super::subscribe::{Cause, Failure, MAX_LIFETIME_SECONDS, Reception};
use super::{Answer, Beside, Close, Context, Effect, Grant, Overrides, Phase, Session, abandon};
use crate::node::{DisconnectUser, RefreshUser, SubscribeUser, Target, UnsubscribeUser};
use gyre_proto::client;
use gyre_proto::codes::{DisconnectCode, UnsubscribeCode};
use std::sync::Arc;

/// A subscription on the server's behalf that is being joined.
pub(super) struct PendingJoin {
    channel: Arc<str>,
    reception: Reception,
}

impl Session {
    /// Whether an operation is for this connection. The user was compared already.
    pub fn is_target(&self, target: &Target) -> bool {
        (target.client.is_empty() || target.client == self.id.to_string())
            && (target.session.is_empty()
                || self.session_id().is_some_and(|id| id.to_string() == target.session))
    }

    /// Subscribes this connection.
    pub fn on_server_subscribe(&mut self, request: &SubscribeUser, cx: &mut Context<'_>) {
        if self.phase != Phase::Ready || request.channel.is_empty() {
            return;
        }
        if cx.settings.channel_limit > 0 && self.subscriptions.len() >= cx.settings.channel_limit {
            return self.close(DisconnectCode::ChannelLimit, cx);
        }
        if let Some(subscription) = self.subscriptions.get(&request.channel) {
            // Joining again would lose what is on its way; the client is told what it has.
            if !subscription.joining {
                let push = client::Subscribe {
                    recoverable: subscription.recoverable,
                    positioned: subscription.positioned,
                    data: request.data.clone(),
                    ..Default::default()
                };
                cx.emit(Effect::PushSubscription(subscription.channel.clone(), Box::new(push)));
            }
            return;
        }
        let overrides = Overrides {
            presence: request.presence,
            join_leave: request.join_leave,
            push_join_leave: request.push_join_leave,
            recovery: request.recovery,
            positioning: request.positioning,
        };
        let Ok(grant) = cx.policy.server_grant(&request.channel, &overrides) else { return };
        let grant = Grant {
            info: request.info.clone(),
            data: request.data.clone(),
            expire_at: request.expire_at,
            cache_mode: false,
            auto_cache_recover: false,
            delta: false,
            ..grant
        };
        let since = request.recover_since.as_ref();
        let asked = client::SubscribeRequest {
            recover: since.is_some(),
            offset: since.map(|since| since.offset).unwrap_or_default(),
            epoch: since.map(|since| since.epoch.as_str().to_owned()).unwrap_or_default(),
            ..Default::default()
        };
        let cause = Cause::by_server();
        if let Ok((plan, reception)) =
            self.prepare(Arc::from(request.channel.as_str()), grant, &asked, cause, cx)
        {
            let ticket = self.ticket();
            let pending = PendingJoin { channel: plan.channel.clone(), reception };
            self.beside.push((ticket, Beside::Join(pending)));
            cx.emit(Effect::Join(ticket, vec![plan]));
        }
    }

    pub(super) fn on_server_join(&mut self, pending: PendingJoin, answer: Answer, cx: &mut Context<'_>) {
        if self.phase == Phase::Closed {
            return abandon(answer, cx);
        }
        let Answer::Joined(joined) = answer else { return self.close(DisconnectCode::ServerError, cx) };
        let Some((departure, outcome)) = joined.into_iter().next() else { return };
        match self.receive(pending.reception, departure, outcome, cx) {
            Ok(subscribed) => {
                let result = subscribed.result;
                let publications = result.publications;
                cx.push(&pending.channel, |push| {
                    push.subscribe = Some(Box::new(client::Subscribe {
                        recoverable: result.recoverable,
                        epoch: result.epoch,
                        offset: result.offset,
                        positioned: result.positioned,
                        data: result.data,
                    }));
                });
                // The push has no place for recovered publications, so they follow it one by one.
                for publication in publications {
                    cx.push(&pending.channel, |push| push.r#pub = Some(Box::new(publication)));
                }
                self.activate(&pending.channel, subscribed.activation, subscribed.announce, cx);
            }
            Err(Failure::Error(_)) => {}
            Err(Failure::Close(close)) => self.close_with(close, cx),
        }
    }

    /// Unsubscribes this connection; the push is sent even when it was not subscribed.
    pub fn on_server_unsubscribe(&mut self, request: &UnsubscribeUser, cx: &mut Context<'_>) {
        if self.phase == Phase::Ready && !request.channel.is_empty() {
            self.unsubscribe_with_push(&request.channel, UnsubscribeCode::Server, cx);
        }
    }

    /// Ends this connection, unless it is listed to stay.
    pub fn on_server_disconnect(&mut self, request: &DisconnectUser, cx: &mut Context<'_>) {
        let id = self.id.to_string();
        if !request.whitelist.contains(&id) {
            self.close_with(Close { code: request.code, reason: request.reason.clone().into() }, cx);
        }
    }

    /// Renews this connection, or ends it.
    pub fn on_server_refresh(&mut self, request: &RefreshUser, cx: &mut Context<'_>) {
        if self.phase != Phase::Ready {
            return;
        }
        let now = cx.now.unix.seconds();
        if request.expired || (request.expire_at > 0 && request.expire_at <= now) {
            return self.close(DisconnectCode::Expired, cx);
        }
        self.expire_at = request.expire_at.min(now + MAX_LIFETIME_SECONDS);
        if !request.info.is_empty() {
            self.info = request.info.clone();
        }
        self.schedule_expiration(cx);
        let expires = self.expire_at > 0;
        let ttl = if expires { (self.expire_at - now) as u32 } else { 0 };
        cx.push("", |push| push.refresh = Some(Box::new(client::Refresh { expires, ttl })));
    }
}
