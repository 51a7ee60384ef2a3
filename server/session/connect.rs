//! The connect command: who is it, which subscriptions come with it.

use super::inquiry::{Ruling, rule};
use super::subscribe::{Cause, Failure, MAX_LIFETIME_SECONDS, Reception};
use super::{
    Answer, AuthError, Close, Cold, ConnectClaims, Context, Departure, Effect, Grant, Inquiry, JoinError,
    JoinPlan, Joined, Phase, Question, Send, Session, TokenSubscription, Unanswered, Verdict,
};
use gyre_proto::client;
use gyre_proto::codes::{ClientErrorCode, DisconnectCode};
use gyre_proto::proxy as wire;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a connect command waits for.
pub(super) enum Step {
    /// The token is being verified.
    Verify(BTreeMap<String, client::SubscribeRequest>),
    /// The application says who it is.
    Ask(BTreeMap<String, client::SubscribeRequest>),
    /// Channels are being joined.
    Join(Box<client::ConnectResult>, Vec<Reception>),
}

/// How a connection came to its user.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Token,
    /// As the application said.
    Application,
    /// Without a token, by `client.insecure` or `client.allow_anonymous_connect_without_token`.
    Anonymous,
    /// From the trusted header.
    Header,
}

impl Session {
    pub(super) fn on_connect(&mut self, id: u32, request: client::ConnectRequest, cx: &mut Context<'_>) {
        if self.phase != Phase::New || (id == 0 && !self.transport.unidirectional) {
            return self.close(DisconnectCode::BadRequest, cx);
        }
        self.phase = Phase::Connecting;
        if !request.headers.is_empty() {
            self.keep_emulated_headers(request.headers.into_iter().collect(), cx);
        }
        let wanted: BTreeMap<_, _> = request.subs.into_iter().collect();
        if !request.token.is_empty() {
            return self.ask(
                id,
                super::Step::Connect(Step::Verify(wanted)),
                Question::VerifyConnect(request.token),
                cx,
            );
        }
        if cx.settings.connect_proxy {
            let asked = wire::ConnectRequest {
                client: self.id.to_string(),
                data: request.data,
                name: request.name,
                version: request.version,
                channels: wanted.keys().cloned().collect(),
                ..Default::default()
            };
            let step = super::Step::Connect(Step::Ask(wanted));
            return self.inquire(id, step, Inquiry::Connect(asked), cx);
        }
        self.admit_without_claims(id, wanted, cx);
    }

    /// Nobody said who it is: the configuration may let it in nevertheless.
    fn admit_without_claims(
        &mut self,
        id: u32,
        wanted: BTreeMap<String, client::SubscribeRequest>,
        cx: &mut Context<'_>,
    ) {
        let header_user = self.cold.as_ref().map(|cold| cold.origin.header_user.as_str()).unwrap_or_default();
        if cx.settings.insecure || cx.settings.allow_anonymous_without_token {
            self.admit(id, ConnectClaims::default(), Source::Anonymous, wanted, cx);
        } else if !header_user.is_empty() {
            let claims = ConnectClaims { user: header_user.to_owned(), ..Default::default() };
            self.admit(id, claims, Source::Header, wanted, cx);
        } else {
            self.close(DisconnectCode::BadRequest, cx);
        }
    }

    /// The connect request of a unidirectional transport.
    pub fn on_unidirectional_connect(&mut self, request: client::ConnectRequest, cx: &mut Context<'_>) {
        self.on_connect(0, request, cx);
    }

    pub(super) fn on_connect_answer(&mut self, id: u32, step: Step, answer: Answer, cx: &mut Context<'_>) {
        match (step, answer) {
            (Step::Verify(wanted), Answer::Connect(result)) => match result {
                Ok(mut claims) => {
                    if claims.user.is_empty() && cx.settings.disallow_anonymous_tokens {
                        return self.close(DisconnectCode::PermissionDenied, cx);
                    }
                    if cx.settings.insecure {
                        claims.expire_at = 0;
                    }
                    self.admit(id, *claims, Source::Token, wanted, cx);
                }
                Err(AuthError::Expired) => self.refuse(id, ClientErrorCode::TokenExpired, cx),
                Err(AuthError::Invalid) => self.close(DisconnectCode::InvalidToken, cx),
                Err(AuthError::Internal) => self.refuse(id, ClientErrorCode::Internal, cx),
            },
            (Step::Ask(wanted), Answer::Application(verdict)) => {
                self.on_connect_verdict(id, wanted, verdict, cx)
            }
            (Step::Join(result, receptions), Answer::Joined(joined)) => {
                self.on_connect_joined(id, result, receptions, joined, cx);
            }
            _ => self.close(DisconnectCode::ServerError, cx),
        }
    }

    fn on_connect_verdict(
        &mut self,
        id: u32,
        wanted: BTreeMap<String, client::SubscribeRequest>,
        verdict: Result<Box<Verdict>, Unanswered>,
        cx: &mut Context<'_>,
    ) {
        let response = match verdict.map(|verdict| *verdict) {
            Ok(Verdict::Connect(response)) => response,
            Ok(_) => return self.close(DisconnectCode::ServerError, cx),
            Err(Unanswered) => return self.refuse(id, ClientErrorCode::Internal, cx),
        };
        match rule(response.disconnect, response.error, response.result) {
            Ruling::Granted(Some(result)) => {
                self.admit(id, result.into(), Source::Application, wanted, cx);
            }
            Ruling::Granted(None) => self.admit_without_claims(id, wanted, cx),
            Ruling::Refused(error) => self.refuse_with(id, error, cx),
            Ruling::Ended(close) => self.close_with(close, cx),
        }
    }

    fn admit(
        &mut self,
        id: u32,
        claims: ConnectClaims,
        source: Source,
        mut wanted: BTreeMap<String, client::SubscribeRequest>,
        cx: &mut Context<'_>,
    ) {
        let user = claims.user.as_str();
        let grants = match self.server_side_grants(&claims, source, &wanted, cx) {
            Ok(grants) => grants,
            Err(Failure::Error(code)) => return self.refuse(id, code, cx),
            Err(Failure::Close(close)) => return self.close_with(close, cx),
        };
        if cx.settings.channel_limit > 0 && grants.len() > cx.settings.channel_limit {
            return self.close(DisconnectCode::ChannelLimit, cx);
        }
        let most = cx.settings.user_connection_limit;
        if most > 0 && !user.is_empty() && (cx.connections_of)(user) >= most {
            return self.close(DisconnectCode::ConnectionLimit, cx);
        }
        let now = cx.now.unix.seconds();
        let expire_at = claims.expire_at.min(now + MAX_LIFETIME_SECONDS);
        if expire_at > 0 && expire_at < now {
            return self.refuse(id, ClientErrorCode::Expired, cx);
        }
        self.user = Arc::from(user);
        self.info = claims.info;
        if !claims.meta.is_empty() {
            self.cold.get_or_insert_default().meta = claims.meta;
        }
        self.expire_at = expire_at;
        self.client_side_refresh = !cx.settings.refresh_proxy;
        self.phase = Phase::Admitted;
        cx.emit(Effect::Register);
        let mut result = Box::new(self.connect_result(cx));
        result.data = claims.data;

        let (mut plans, mut receptions) = (Vec::new(), Vec::new());
        for (channel, grant, cause) in grants {
            let mut request = wanted.remove(&channel).unwrap_or_default();
            // Only what a reconnect needs is taken from the client.
            request = client::SubscribeRequest {
                recover: request.recover,
                offset: request.offset,
                epoch: request.epoch,
                delta: request.delta,
                ..Default::default()
            };
            match self.prepare(Arc::from(channel), grant, &request, cause, cx) {
                Ok((plan, reception)) => {
                    plans.push(plan);
                    receptions.push(reception);
                }
                Err(code) => {
                    self.subscriptions.drain();
                    return self.refuse(id, code, cx);
                }
            }
        }
        if plans.is_empty() {
            return self.welcome(id, result, cx);
        }
        self.join_all(id, result, plans, receptions, cx);
    }

    fn join_all(
        &mut self,
        id: u32,
        result: Box<client::ConnectResult>,
        plans: Vec<JoinPlan>,
        receptions: Vec<Reception>,
        cx: &mut Context<'_>,
    ) {
        let ticket = self.wait(id, super::Step::Connect(Step::Join(result, receptions)));
        cx.emit(Effect::Join(ticket, plans));
    }

    fn on_connect_joined(
        &mut self,
        id: u32,
        mut result: Box<client::ConnectResult>,
        receptions: Vec<Reception>,
        joined: Vec<(Departure, Result<Joined, JoinError>)>,
        cx: &mut Context<'_>,
    ) {
        let mut activations = Vec::with_capacity(receptions.len());
        let mut failure = None;
        for (reception, (departure, outcome)) in receptions.into_iter().zip(joined) {
            let channel = departure.channel.clone();
            match self.receive(reception, departure, outcome, cx) {
                Ok(subscribed) => {
                    result.subs.insert(channel.to_string(), subscribed.result);
                    activations.push((channel, subscribed.activation, subscribed.announce));
                }
                Err(error) => failure = Some(error),
            }
        }
        match failure {
            None => {
                self.welcome(id, result, cx);
                for (channel, activation, announce) in activations {
                    self.activate(&channel, activation, announce, cx);
                }
            }
            Some(failure) => {
                for (channel, ..) in activations {
                    self.drop_quietly(&channel, cx);
                }
                match failure {
                    Failure::Error(code) => self.refuse(id, code, cx),
                    Failure::Close(close) => self.close_with(close, cx),
                }
            }
        }
    }

    /// Leaves a channel nobody was told about.
    fn drop_quietly(&mut self, channel: &str, cx: &mut Context<'_>) {
        if let Some(subscription) = self.subscriptions.remove(channel) {
            let departure = Departure { announce: false, ..self.departure(&subscription) };
            cx.emit(Effect::Leave(departure));
        }
    }

    fn connect_result(&self, cx: &Context<'_>) -> client::ConnectResult {
        let settings = cx.settings;
        let mut result = client::ConnectResult {
            client: self.id.to_string(),
            version: settings.version.clone(),
            ..Default::default()
        };
        if self.expire_at > 0 && self.client_side_refresh {
            result.expires = true;
            result.ttl = (self.expire_at - cx.now.unix.seconds()).max(0) as u32;
        }
        if !self.transport.native_ping {
            result.ping = settings.ping_interval.as_secs() as u32;
            result.pong =
                !self.transport.unidirectional && !settings.pong_timeout.is_zero() && result.ping > 0;
        }
        if let Some(session) = self.session_id() {
            result.session = session.to_string();
        }
        if self.transport.emulation {
            result.node = settings.node.clone();
        }
        if settings.include_server_time {
            result.time = cx.now.unix.0 as i64;
        }
        result
    }

    fn welcome(&mut self, id: u32, result: Box<client::ConnectResult>, cx: &mut Context<'_>) {
        self.phase = Phase::Ready;
        self.start_timers(cx);
        if self.transport.unidirectional {
            let result = *result;
            let connect = client::Connect {
                client: result.client,
                version: result.version,
                data: result.data,
                subs: result.subs,
                expires: result.expires,
                ttl: result.ttl,
                ping: result.ping,
                pong: result.pong,
                session: result.session,
                node: result.node,
                time: result.time,
            };
            let push = client::Push { connect: Some(Box::new(connect)), ..Default::default() };
            cx.emit(Effect::Send(Send::Push(Box::new(push))));
        } else {
            cx.reply(id, |reply| reply.connect = Some(result));
        }
    }

    /// Answers the connect command with an error. Nothing more is accepted from the peer.
    fn refuse(&mut self, id: u32, code: ClientErrorCode, cx: &mut Context<'_>) {
        self.refuse_with(id, code.into(), cx);
    }

    /// As [`Self::refuse`], with an error of the application perhaps.
    fn refuse_with(&mut self, id: u32, error: client::Error, cx: &mut Context<'_>) {
        if self.transport.keeps_errors {
            return self.close_with(Close { code: error.code, reason: error.message.into() }, cx);
        }
        if self.transport.unidirectional {
            let close = match ClientErrorCode::try_from(error.code as i32) {
                Ok(ClientErrorCode::TokenExpired | ClientErrorCode::Expired) => DisconnectCode::Expired,
                Ok(ClientErrorCode::TooManyRequests) => DisconnectCode::TooManyRequests,
                Ok(ClientErrorCode::PermissionDenied) => DisconnectCode::PermissionDenied,
                _ => DisconnectCode::ServerError,
            };
            let configured = cx.settings.unidirectional_close(error.code);
            return self.close_with(configured.unwrap_or(Close::from(close)), cx);
        }
        if self.phase == Phase::Admitted {
            cx.emit(Effect::Forget);
        }
        self.phase = Phase::Refused;
        cx.fail_with(id, error);
        cx.emit(Effect::Refuse);
    }

    /// Subscriptions a connection gets without asking for each, by channel.
    fn server_side_grants(
        &self,
        claims: &ConnectClaims,
        source: Source,
        wanted: &BTreeMap<String, client::SubscribeRequest>,
        cx: &Context<'_>,
    ) -> Result<Vec<(String, Grant, Cause)>, Failure> {
        let user = claims.user.as_str();
        let mut grants: BTreeMap<String, (Grant, Cause)> = BTreeMap::new();
        for (channel, subscription) in claims.subscriptions.iter().filter(|(channel, _)| !channel.is_empty())
        {
            let grant = cx.policy.server_grant(channel, &subscription.overrides).map_err(Failure::Error)?;
            let grant = Grant {
                info: subscription.info.clone(),
                data: subscription.data.clone(),
                auto_cache_recover: grant.auto_cache_recover || subscription.cache_recover,
                ..grant
            };
            let from_token = source == Source::Token;
            grants.insert(channel.clone(), (grant, Cause { from_token, ..Cause::by_server() }));
        }
        if let Some(personal) = cx
            .settings
            .personal_channel
            .as_ref()
            .filter(|_| matches!(source, Source::Token | Source::Application) && !user.is_empty())
        {
            let channel = cx.policy.personal_channel(&personal.namespace, user);
            let grant = cx.policy.server_grant(&channel, &Default::default()).map_err(Failure::Error)?;
            let grant = Grant { single_connection: personal.single_connection && grant.presence, ..grant };
            grants.insert(channel, (grant, Cause::by_server()));
        }
        if matches!(source, Source::Token | Source::Anonymous) {
            for channel in wanted.keys().filter(|channel| !channel.is_empty()) {
                match cx.policy.connect_grant(channel, user) {
                    Ok(Some(grant)) => {
                        grants.entry(channel.clone()).or_insert((grant, Cause::by_server()));
                    }
                    Ok(None) => {}
                    Err(_) => return Err(Failure::Close(Close::from(DisconnectCode::BadRequest))),
                }
            }
        }
        Ok(grants.into_iter().map(|(channel, (grant, cause))| (channel, grant, cause)).collect())
    }
}

/// Channels and subscriptions hold both; where a channel is in both, its options count.
impl From<wire::ConnectResult> for ConnectClaims {
    fn from(result: wire::ConnectResult) -> Self {
        let plain = result.channels.into_iter().map(|channel| (channel, TokenSubscription::default()));
        let mut subscriptions: BTreeMap<_, _> = plain.collect();
        subscriptions.extend(result.subs.into_iter().map(|(channel, options)| (channel, options.into())));
        Self {
            user: result.user,
            expire_at: result.expire_at,
            info: result.info,
            meta: result.meta,
            data: result.data,
            subscriptions,
        }
    }
}

impl From<wire::SubscribeOptions> for TokenSubscription {
    fn from(options: wire::SubscribeOptions) -> Self {
        Self {
            info: options.info,
            data: options.data,
            overrides: options.r#override.map(Into::into).unwrap_or_default(),
            cache_recover: options.cache_recover,
        }
    }
}

impl Cold {
    /// Meta information from the token.
    pub(super) fn set_meta(&mut self, meta: bytes::Bytes) {
        self.meta = meta;
    }
}
