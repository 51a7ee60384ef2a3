//! Renewing connections and subscriptions: with new tokens, or because the application says so.

use super::subscribe::MAX_LIFETIME_SECONDS;
use super::{
    Answer, AuthError, Beside, ConnectClaims, Context, Effect, Inquiry, Phase, Question, Session, Step,
    SubscribeClaims, Verdict,
};
use gyre_proto::client;
use gyre_proto::codes::{ClientErrorCode, DisconnectCode};
use gyre_proto::proxy as wire;
use std::sync::Arc;

/// How long connections and subscriptions stay when the application gives no answer, before it is asked again.
const PATIENCE_SECONDS: i64 = 60;

impl Session {
    pub(super) fn on_refresh(&mut self, id: u32, token: String, cx: &mut Context<'_>) {
        if token.is_empty() || !self.client_side_refresh {
            return self.close(DisconnectCode::BadRequest, cx);
        }
        self.ask(id, Step::Refresh, Question::VerifyConnect(token), cx);
    }

    pub(super) fn on_refresh_answer(
        &mut self,
        id: u32,
        result: Result<Box<ConnectClaims>, AuthError>,
        cx: &mut Context<'_>,
    ) {
        let claims = match result {
            Ok(claims) => claims,
            Err(AuthError::Expired) => return self.close(DisconnectCode::Expired, cx),
            Err(AuthError::Invalid) => return self.close(DisconnectCode::InvalidToken, cx),
            Err(AuthError::Internal) => return cx.fail(id, ClientErrorCode::Internal),
        };
        if claims.user != *self.user {
            return self.close(DisconnectCode::InvalidToken, cx);
        }
        if claims
            .subscriptions
            .keys()
            .any(|channel| cx.policy.server_grant(channel, &Default::default()).is_err())
        {
            return cx.fail(id, ClientErrorCode::UnknownChannel);
        }
        // Which channels a connection has is decided when it connects, so it has to connect again.
        let added = claims.subscriptions.keys().any(|channel| !self.subscriptions.is_subscribed(channel));
        let removed = self.subscriptions.iter().any(|subscription| {
            subscription.from_token && !claims.subscriptions.contains_key(&*subscription.channel)
        });
        if added || removed {
            return self.close(DisconnectCode::InsufficientState, cx);
        }
        let now = cx.now.unix.seconds();
        let expire_at =
            if cx.settings.insecure { 0 } else { claims.expire_at.min(now + MAX_LIFETIME_SECONDS) };
        if expire_at > 0 && expire_at <= now {
            return cx.fail(id, ClientErrorCode::Expired);
        }
        self.expire_at = expire_at;
        if !claims.info.is_empty() {
            self.info = claims.info;
        }
        if !claims.meta.is_empty() || self.cold.is_some() {
            self.cold.get_or_insert_default().set_meta(claims.meta);
        }
        self.schedule_expiration(cx);
        cx.reply(id, |reply| {
            reply.refresh = Some(Box::new(client::RefreshResult {
                expires: expire_at > 0,
                ttl: if expire_at > 0 { (expire_at - now) as u32 } else { 0 },
                ..Default::default()
            }));
        });
    }

    pub(super) fn on_sub_refresh(
        &mut self,
        id: u32,
        request: client::SubRefreshRequest,
        cx: &mut Context<'_>,
    ) {
        if request.channel.is_empty() {
            return self.close(DisconnectCode::BadRequest, cx);
        }
        let Some(subscription) = self.subscriptions.get(&request.channel).filter(|found| !found.joining)
        else {
            return cx.fail(id, ClientErrorCode::PermissionDenied);
        };
        if !subscription.client_side_refresh {
            return self.close(DisconnectCode::BadRequest, cx);
        }
        if request.token.is_empty() {
            return cx.fail(id, ClientErrorCode::BadRequest);
        }
        let channel = subscription.channel.clone();
        self.ask(id, Step::SubRefresh(channel), Question::VerifySubscribe(request.token), cx);
    }

    pub(super) fn on_sub_refresh_answer(
        &mut self,
        id: u32,
        channel: &Arc<str>,
        result: Result<Box<SubscribeClaims>, AuthError>,
        cx: &mut Context<'_>,
    ) {
        let claims = match result {
            Ok(claims) => claims,
            // Upstream answers with success and lets the subscription live on for ever.
            Err(AuthError::Expired) => return cx.fail(id, ClientErrorCode::TokenExpired),
            Err(AuthError::Invalid) => return self.close(DisconnectCode::InvalidToken, cx),
            Err(AuthError::Internal) => return cx.fail(id, ClientErrorCode::Internal),
        };
        if !self.token_is_for(&claims, channel) {
            return self.close(DisconnectCode::InvalidToken, cx);
        }
        let now = cx.now.unix.seconds();
        let expire_at = claims.expire_at.min(now + MAX_LIFETIME_SECONDS);
        if expire_at > 0 && expire_at < now {
            return cx.fail(id, ClientErrorCode::Expired);
        }
        if let Some(subscription) = self.subscriptions.get_mut(channel) {
            subscription.expire_at = expire_at;
            subscription.set_info(claims.info);
        }
        cx.reply(id, |reply| {
            reply.sub_refresh = Some(Box::new(client::SubRefreshResult {
                expires: expire_at > 0,
                ttl: if expire_at > 0 { (expire_at - now) as u32 } else { 0 },
                ..Default::default()
            }));
        });
    }

    /// Asks the application whether this connection, whose time has come, may stay.
    pub(super) fn ask_to_stay(&mut self, cx: &mut Context<'_>) {
        if self.beside.iter().any(|(_, beside)| matches!(beside, Beside::Refresh)) {
            return;
        }
        let request = wire::RefreshRequest {
            client: self.id.to_string(),
            user: self.user.to_string(),
            meta: self.meta(),
            ..Default::default()
        };
        self.inquire_beside(Beside::Refresh, Inquiry::Refresh(request), cx);
    }

    /// Asks the application whether a subscription, whose time has come, may stay.
    pub(super) fn ask_to_stay_subscribed(
        &mut self,
        channel: Arc<str>,
        proxy: Arc<str>,
        cx: &mut Context<'_>,
    ) {
        let asked = |(_, beside): &(_, Beside)| matches!(beside, Beside::SubRefresh(own) if *own == channel);
        if self.beside.iter().any(asked) {
            return;
        }
        let request = wire::SubRefreshRequest {
            client: self.id.to_string(),
            user: self.user.to_string(),
            channel: channel.to_string(),
            meta: self.meta(),
            ..Default::default()
        };
        self.inquire_beside(Beside::SubRefresh(channel), Inquiry::SubRefresh(proxy, request), cx);
    }

    /// Asks the application without a command that waits.
    fn inquire_beside(&mut self, beside: Beside, inquiry: Inquiry, cx: &mut Context<'_>) {
        let ticket = self.ticket();
        self.beside.push((ticket, beside));
        cx.emit(Effect::Ask(ticket, Question::Application(self.caller(), Box::new(inquiry))));
    }

    /// As upstream, an error or a disconnect in the answer means the same as no result.
    pub(super) fn on_refresh_verdict(&mut self, answer: Answer, cx: &mut Context<'_>) {
        if self.phase != Phase::Ready {
            return;
        }
        let now = cx.now.unix.seconds();
        let response = match answer {
            Answer::Application(Ok(verdict)) => match *verdict {
                Verdict::Refresh(response) => response,
                _ => return self.close(DisconnectCode::ServerError, cx),
            },
            Answer::Application(Err(_)) => {
                self.expire_at = now + PATIENCE_SECONDS;
                return self.schedule_expiration(cx);
            }
            _ => return self.close(DisconnectCode::ServerError, cx),
        };
        let stays = response.result.filter(|result| !result.expired && result.expire_at > now);
        let Some(result) = stays else { return self.close(DisconnectCode::Expired, cx) };
        self.expire_at = result.expire_at.min(now + MAX_LIFETIME_SECONDS);
        if !result.info.is_empty() {
            self.info = result.info;
        }
        if !result.meta.is_empty() {
            self.cold.get_or_insert_default().set_meta(result.meta);
        }
        self.schedule_expiration(cx);
    }

    /// As [`Self::on_refresh_verdict`], except that a subscription may be told to live for ever.
    pub(super) fn on_sub_refresh_verdict(&mut self, channel: &str, answer: Answer, cx: &mut Context<'_>) {
        let now = cx.now.unix.seconds();
        let Some(subscription) = self.subscriptions.get_mut(channel) else { return };
        let response = match answer {
            Answer::Application(Ok(verdict)) => match *verdict {
                Verdict::SubRefresh(response) => response,
                _ => return self.close(DisconnectCode::ServerError, cx),
            },
            Answer::Application(Err(_)) => {
                subscription.expire_at = now + PATIENCE_SECONDS;
                return;
            }
            _ => return self.close(DisconnectCode::ServerError, cx),
        };
        let in_past = |at: i64| at != 0 && at <= now;
        match response.result.filter(|result| !result.expired && !in_past(result.expire_at)) {
            Some(result) => {
                subscription.expire_at = result.expire_at.min(now + MAX_LIFETIME_SECONDS);
                if !result.info.is_empty() {
                    subscription.set_info(result.info);
                }
            }
            None => self.end_expired(channel, cx),
        }
    }
}
