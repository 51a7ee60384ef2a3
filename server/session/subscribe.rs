//! Subscribing: the command itself, and the parts that connect and the server API share with it.

use super::{
    Activation, Answer, AuthError, Close, Context, Delta, Departure, Effect, Grant, Inquiry, JoinError,
    JoinFlags, JoinPlan, Joined, Question, Recovery, Session, SubscribeAsk, SubscribeClaims,
    SubscribeDecision, Subscription,
};
use crate::broker::StreamPosition;
use crate::channel::filter::Filter;
use crate::protocol::{client_publication, delta_publications};
use gyre_proto::client;
use gyre_proto::codes::{ClientErrorCode, DisconnectCode};
use std::sync::Arc;

/// Connections and subscriptions live at most a year from now, whatever a token says.
pub(super) const MAX_LIFETIME_SECONDS: i64 = 365 * 24 * 3600;

/// The peer rather gets error 112 than a subscription that lost publications.
const FLAG_REJECT_UNRECOVERED: i64 = 1 << 1;

/// The only delta format there is.
const DELTA_FOSSIL: &str = "fossil";

/// What a subscribe command waits for.
pub(super) enum Step {
    /// The subscription token is being verified.
    Verify(Box<client::SubscribeRequest>),
    /// The application decides.
    Ask(Box<client::SubscribeRequest>),
    /// The application decides, and provides the publications if it agrees.
    AskFeed(Box<client::SubscribeRequest>),
    /// The channel is being joined.
    Join(Box<Reception>),
}

impl Step {
    pub(super) fn channel(&self) -> &str {
        match self {
            Self::Verify(request) | Self::Ask(request) | Self::AskFeed(request) => &request.channel,
            Self::Join(reception) => &reception.channel,
        }
    }
}

/// What must be remembered until the channel is joined.
pub(super) struct Reception {
    channel: Arc<str>,
    result: client::SubscribeResult,
    /// Offset the client asked to recover from.
    asked: u64,
    recovering: bool,
    reject_unrecovered: bool,
    delta: bool,
    announce: bool,
}

/// Who asks for a subscription.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cause {
    pub(super) server_side: bool,
    pub(super) from_token: bool,
    /// A stream of the application feeds it.
    pub(super) fed: bool,
}

impl Cause {
    pub(super) fn by_server() -> Self {
        Self { server_side: true, ..Self::default() }
    }
}

/// A channel that was joined.
pub(super) struct Subscribed {
    pub(super) result: client::SubscribeResult,
    pub(super) activation: Activation,
    /// Tell others, if the channel tells joins.
    pub(super) announce: bool,
}

impl Session {
    pub(super) fn on_subscribe(&mut self, id: u32, request: client::SubscribeRequest, cx: &mut Context<'_>) {
        if request.channel.is_empty() || !(request.delta.is_empty() || request.delta == DELTA_FOSSIL) {
            return self.close(DisconnectCode::BadRequest, cx);
        }
        match request.r#type {
            0..=3 => {}
            4 => return cx.fail(id, ClientErrorCode::NotAvailable),
            _ => return self.close(DisconnectCode::ServerError, cx),
        }
        let (limit, longest) = (cx.settings.channel_limit, cx.settings.channel_max_length);
        if longest > 0 && request.channel.len() > longest {
            return cx.fail(id, ClientErrorCode::BadRequest);
        }
        if self.subscriptions.get(&request.channel).is_some() || self.is_subscribing(&request.channel) {
            return cx.fail(id, ClientErrorCode::AlreadySubscribed);
        }
        if limit > 0 && self.subscriptions.len() + self.undecided_subscriptions() >= limit {
            return cx.fail(id, ClientErrorCode::LimitExceeded);
        }
        match cx.policy.subscribe(&self.subscribe_ask(&request)) {
            Ok(SubscribeDecision::Granted(grant)) => {
                if let Err(code) = self.join(id, &request, *grant, Cause::default(), cx) {
                    cx.fail(id, code);
                }
            }
            Ok(SubscribeDecision::AskProxy(proxy)) => {
                let inquiry = Inquiry::Subscribe(proxy, self.subscribe_inquiry(&request));
                self.inquire(id, super::Step::Subscribe(Step::Ask(Box::new(request))), inquiry, cx);
            }
            Ok(SubscribeDecision::AskFeed(proxy, bidirectional)) => {
                let asked = self.subscribe_inquiry(&request);
                let inquiry = Inquiry::Feed { proxy, bidirectional, request: asked };
                self.inquire(id, super::Step::Subscribe(Step::AskFeed(Box::new(request))), inquiry, cx);
            }
            Ok(SubscribeDecision::NeedsToken) => {
                let question = Question::VerifySubscribe(request.token.clone());
                self.ask(id, super::Step::Subscribe(Step::Verify(Box::new(request))), question, cx);
            }
            Err(code) => cx.fail(id, code),
        }
    }

    pub(super) fn on_subscribe_answer(&mut self, id: u32, step: Step, answer: Answer, cx: &mut Context<'_>) {
        match (step, answer) {
            (Step::Verify(request), Answer::Subscribe(result)) => {
                self.on_subscribe_token(id, &request, result, cx)
            }
            (Step::Ask(request), Answer::Application(verdict)) => {
                self.on_subscribe_verdict(id, &request, false, verdict, cx)
            }
            (Step::AskFeed(request), Answer::Application(verdict)) => {
                self.on_subscribe_verdict(id, &request, true, verdict, cx)
            }
            (Step::Join(reception), Answer::Joined(joined)) => {
                if let Some((departure, result)) = joined.into_iter().next() {
                    self.on_joined(id, *reception, departure, result, cx);
                }
            }
            _ => self.close(DisconnectCode::ServerError, cx),
        }
    }

    fn on_subscribe_token(
        &mut self,
        id: u32,
        request: &client::SubscribeRequest,
        result: Result<Box<SubscribeClaims>, AuthError>,
        cx: &mut Context<'_>,
    ) {
        let claims = match result {
            Ok(claims) => *claims,
            Err(AuthError::Expired) => return cx.fail(id, ClientErrorCode::TokenExpired),
            Err(AuthError::Invalid) => return cx.fail(id, ClientErrorCode::PermissionDenied),
            Err(AuthError::Internal) => return cx.fail(id, ClientErrorCode::Internal),
        };
        if let Err(code) = cx.policy.server_grant(&claims.channel, &claims.overrides) {
            return cx.fail(id, code);
        }
        if !self.token_is_for(&claims, &request.channel) {
            return self.close(DisconnectCode::InvalidToken, cx);
        }
        match cx.policy.token_grant(&self.subscribe_ask(request), &claims) {
            Ok(grant) => {
                if let Err(code) = self.join(id, request, grant, Cause::default(), cx) {
                    cx.fail(id, code);
                }
            }
            Err(code) => cx.fail(id, code),
        }
    }

    fn subscribe_ask<'r>(&'r self, request: &'r client::SubscribeRequest) -> SubscribeAsk<'r> {
        SubscribeAsk {
            channel: &request.channel,
            user: &self.user,
            has_token: !request.token.is_empty(),
            kind: request.r#type,
            positioned: request.positioned,
            recoverable: request.recoverable,
            join_leave: request.join_leave,
        }
    }

    /// Whether a good subscription token was made for this channel, user and connection.
    pub(super) fn token_is_for(&self, claims: &SubscribeClaims, channel: &str) -> bool {
        claims.channel == channel
            && claims.user == *self.user
            && (claims.client.is_empty() || claims.client == self.id.to_string())
    }

    /// Joins the channel of a subscribe command.
    pub(super) fn join(
        &mut self,
        id: u32,
        request: &client::SubscribeRequest,
        grant: Grant,
        cause: Cause,
        cx: &mut Context<'_>,
    ) -> Result<(), ClientErrorCode> {
        // The server may have subscribed the client while somebody else was asked.
        if self.subscriptions.get(&request.channel).is_some() {
            return Err(ClientErrorCode::AlreadySubscribed);
        }
        let channel: Arc<str> = Arc::from(request.channel.as_str());
        let (plan, reception) = self.prepare(channel, grant, request, cause, cx)?;
        let ticket = self.wait(id, super::Step::Subscribe(Step::Join(Box::new(reception))));
        cx.emit(Effect::Join(ticket, vec![plan]));
        Ok(())
    }

    fn on_joined(
        &mut self,
        id: u32,
        reception: Reception,
        departure: Departure,
        result: Result<Joined, JoinError>,
        cx: &mut Context<'_>,
    ) {
        let channel = reception.channel.clone();
        match self.receive(reception, departure, result, cx) {
            Ok(subscribed) => {
                cx.reply(id, |reply| reply.subscribe = Some(Box::new(subscribed.result)));
                self.activate(&channel, subscribed.activation, subscribed.announce, cx);
            }
            Err(Failure::Error(code)) => cx.fail(id, code),
            Err(Failure::Close(close)) => self.close_with(close, cx),
        }
    }

    /// Books a subscription as being joined and says what joining takes.
    pub(super) fn prepare(
        &mut self,
        channel: Arc<str>,
        grant: Grant,
        request: &client::SubscribeRequest,
        cause: Cause,
        cx: &mut Context<'_>,
    ) -> Result<(JoinPlan, Reception), ClientErrorCode> {
        let now = cx.now.unix.seconds();
        let expire_at = grant.expire_at.min(now + MAX_LIFETIME_SECONDS);
        let mut result = client::SubscribeResult { data: grant.data.clone(), ..Default::default() };
        if grant.expire_at > 0 {
            if expire_at <= now {
                return Err(ClientErrorCode::Expired);
            }
            if grant.client_side_refresh {
                result.expires = true;
                result.ttl = (expire_at - now) as u32;
            }
        }
        let filter = match &request.tf {
            None => None,
            Some(_) if !grant.tags_filter => return Err(ClientErrorCode::BadRequest),
            Some(tree) => Some(Arc::new(Filter::compile(tree).map_err(|_| ClientErrorCode::BadRequest)?)),
        };
        let positioned = grant.positioning || grant.recovery;
        // A delta applies to the publication before it; a filter would leave the client without that one.
        let delta = grant.delta && request.delta == DELTA_FOSSIL && filter.is_none();
        let cache_forced = grant.recovery && grant.cache_mode && grant.auto_cache_recover;
        let since = StreamPosition { offset: request.offset, epoch: request.epoch.as_str().into() };
        let recovery =
            match (positioned, grant.recovery && (request.recover || cache_forced), grant.cache_mode) {
                (false, ..) => Recovery::None,
                (true, false, _) => Recovery::Position,
                (true, true, true) => Recovery::Cache(since),
                (true, true, false) => Recovery::Stream(since, cx.settings.recovery_limit),
            };
        result.recoverable = grant.recovery;
        result.positioned = positioned;
        result.delta = delta;
        result.was_recovering = request.recover || cache_forced;
        let info = (grant.presence || grant.join_leave).then(|| self.client_info(&grant.info));
        let mut subscription = Subscription {
            channel: channel.clone(),
            server_side: cause.server_side,
            from_token: cause.from_token,
            fed: cause.fed,
            joining: true,
            presence: grant.presence,
            join_leave: grant.join_leave,
            positioned,
            recoverable: grant.recovery,
            client_side_refresh: grant.client_side_refresh,
            expire_at,
            info: None,
            checked: Some(cx.now.instant),
        };
        subscription.set_info(grant.info);
        self.subscriptions.insert(subscription);
        let plan = JoinPlan {
            channel: channel.clone(),
            flags: JoinFlags { positioned, delta, join_leave: grant.push_join_leave },
            filter,
            presence: info.clone().filter(|_| grant.presence),
            history_meta_ttl: grant.history_meta_ttl,
            cache_empty_proxy: grant.cache_empty_proxy,
            recovery,
            single_connection: grant.single_connection.then(|| Close::from(DisconnectCode::ConnectionLimit)),
            departure: Departure {
                channel: channel.clone(),
                info,
                presence: grant.presence,
                announce: false,
            },
        };
        let reception = Reception {
            channel,
            result,
            asked: request.offset,
            recovering: matches!(plan.recovery, Recovery::Stream(..) | Recovery::Cache(_)),
            reject_unrecovered: request.flag & FLAG_REJECT_UNRECOVERED != 0 && !grant.cache_mode,
            delta,
            announce: grant.join_leave,
        };
        Ok((plan, reception))
    }

    /// Turns what joining brought into a result. On failure the subscription is gone again.
    pub(super) fn receive(
        &mut self,
        reception: Reception,
        departure: Departure,
        joined: Result<Joined, JoinError>,
        cx: &mut Context<'_>,
    ) -> Result<Subscribed, Failure> {
        let Reception { channel, mut result, asked, recovering, reject_unrecovered, delta, announce } =
            reception;
        let joined = match joined {
            Ok(joined) => joined,
            Err(error) => {
                self.subscriptions.remove(&channel);
                cx.emit(Effect::Leave(departure));
                return Err(match error {
                    JoinError::Unanswered => Failure::Error(ClientErrorCode::Internal),
                    JoinError::Broker(error) if !error.is_passing() => Failure::Error(error.client_code()),
                    _ => Failure::Close(Close::from(DisconnectCode::ServerError)),
                });
            }
        };
        if recovering && !joined.recovered && reject_unrecovered {
            self.subscriptions.remove(&channel);
            cx.emit(Effect::Leave(departure));
            return Err(Failure::Error(ClientErrorCode::UnrecoverablePosition));
        }
        let Some(subscription) = self.subscriptions.get_mut(&channel) else {
            // Unsubscribed while it was being joined.
            cx.emit(Effect::Leave(departure));
            return Err(Failure::Error(ClientErrorCode::Internal));
        };
        subscription.joining = false;
        result.recovered = recovering && joined.recovered;
        result.epoch = joined.position.epoch.as_str().to_owned();
        let mut base = Delta::NeedsFull;
        if result.recovered {
            result.offset = asked;
            let publications = joined.publications.iter();
            let publications: Vec<client::Publication> = publications
                .map(|publication| client_publication(publication, &joined.position.epoch))
                .collect();
            result.publications = if delta {
                base = Delta::Ready;
                delta_publications(publications, self.transport.text_payloads)
            } else {
                publications
            };
        } else {
            result.offset = joined.position.offset;
        }
        let activation = Activation { channel, position: joined.position, delta: base };
        Ok(Subscribed { result, activation, announce })
    }

    /// Lets publications flow and tells others, after the reply or push was queued.
    pub(super) fn activate(
        &mut self,
        channel: &str,
        activation: Activation,
        announce: bool,
        cx: &mut Context<'_>,
    ) {
        let channel_name = activation.channel.clone();
        cx.emit(Effect::Activate(activation));
        if announce
            && let Some(info) = self.subscriptions.get(channel).map(|subscription| subscription.info())
        {
            let info = self.client_info(&info);
            cx.emit(Effect::AnnounceJoin(channel_name, info));
        }
    }
}

/// Why a channel was not joined.
pub(super) enum Failure {
    /// The command gets an error.
    Error(ClientErrorCode),
    /// The connection ends.
    Close(Close),
}
