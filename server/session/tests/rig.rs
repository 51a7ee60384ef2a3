//! A session on a bench: a clock that stands still, a policy that says what it is told, effects in a list.

use crate::broker::{ClientInfo, PublishOptions, StreamPosition};
use crate::seams::{Now, UnixMillis};
use crate::session::*;
use gyre_proto::client;
use gyre_proto::codes::ClientErrorCode;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Grants what it holds; channels that begin with `no` are refused, with `?` unknown, with `$` need a token, with
/// `ask` the application decides, with `feed` it provides the publications.
#[derive(Default)]
pub(super) struct Rules {
    pub(super) grant: Grant,
    pub(super) connect: bool,
}

impl Policy for Rules {
    fn subscribe(&self, ask: &SubscribeAsk<'_>) -> Result<SubscribeDecision, ClientErrorCode> {
        match ask.channel.chars().next() {
            Some('?') => Err(ClientErrorCode::UnknownChannel),
            Some('$') if ask.has_token => Ok(SubscribeDecision::NeedsToken),
            Some('$') => Err(ClientErrorCode::PermissionDenied),
            _ if ask.channel.starts_with("ask") => Ok(SubscribeDecision::AskProxy(Arc::from("asked"))),
            _ if ask.channel.starts_with("feed") => Ok(SubscribeDecision::AskFeed(Arc::from("fed"), true)),
            _ if ask.channel.starts_with("no") => Err(ClientErrorCode::PermissionDenied),
            _ => Ok(SubscribeDecision::Granted(Box::new(self.grant.clone()))),
        }
    }

    fn token_grant(
        &self,
        _ask: &SubscribeAsk<'_>,
        claims: &SubscribeClaims,
    ) -> Result<Grant, ClientErrorCode> {
        let client_side_refresh = claims.expire_at > 0;
        Ok(Grant {
            expire_at: claims.expire_at,
            client_side_refresh,
            info: claims.info.clone(),
            ..self.grant.clone()
        })
    }

    fn server_grant(&self, channel: &str, _overrides: &Overrides) -> Result<Grant, ClientErrorCode> {
        if channel.starts_with('?') { Err(ClientErrorCode::UnknownChannel) } else { Ok(self.grant.clone()) }
    }

    fn connect_grant(&self, channel: &str, _user: &str) -> Result<Option<Grant>, ClientErrorCode> {
        let grant = self.server_grant(channel, &Overrides::default())?;
        Ok(self.connect.then_some(grant))
    }

    fn personal_channel(&self, namespace: &str, user: &str) -> String {
        format!("{namespace}#{user}")
    }

    fn publish(
        &self,
        channel: &str,
        _user: &str,
        subscribed: bool,
        _data: &[u8],
    ) -> Result<PublishDecision, ClientErrorCode> {
        if channel.starts_with("ask") {
            return Ok(PublishDecision::AskProxy(
                Arc::from("asked"),
                Box::new(PublishOptions {
                    history_size: 10,
                    history_ttl: Duration::from_secs(60),
                    ..Default::default()
                }),
            ));
        }
        if channel.starts_with("feed") {
            return Ok(PublishDecision::IntoFeed);
        }
        if channel.starts_with("no") || !subscribed {
            return Err(ClientErrorCode::PermissionDenied);
        }
        Ok(PublishDecision::Granted(Box::default()))
    }

    fn sub_refresh_proxy(&self, channel: &str) -> Option<Arc<str>> {
        channel.starts_with("ask").then(|| Arc::from("sub_refresh"))
    }

    fn rpc(&self, method: &str) -> Result<Arc<str>, ClientErrorCode> {
        if method.starts_with("no") {
            return Err(ClientErrorCode::MethodNotFound);
        }
        Ok(Arc::from("rpc"))
    }

    fn presence(&self, _channel: &str, _user: &str, subscribed: bool) -> Result<(), ClientErrorCode> {
        if subscribed { Ok(()) } else { Err(ClientErrorCode::PermissionDenied) }
    }

    fn history(&self, _channel: &str, _user: &str, subscribed: bool) -> Result<Duration, ClientErrorCode> {
        if subscribed { Ok(Duration::ZERO) } else { Err(ClientErrorCode::PermissionDenied) }
    }
}

pub(super) const START: u64 = 1_700_000_000_000;

/// One session and everything around it.
pub(super) struct Rig {
    pub(super) session: Session,
    pub(super) settings: Settings,
    pub(super) rules: Rules,
    pub(super) effects: VecDeque<Effect>,
    pub(super) connections_of_user: usize,
    start: Instant,
    elapsed: Duration,
}

pub(super) fn settings() -> Settings {
    Settings {
        version: "test".into(),
        node: "node".into(),
        ping_interval: Duration::from_secs(25),
        pong_timeout: Duration::from_secs(8),
        stale_close_delay: Duration::from_secs(10),
        expired_close_delay: Duration::from_secs(25),
        expired_sub_close_delay: Duration::from_secs(25),
        presence_update_interval: Duration::from_secs(27),
        position_check_delay: Duration::from_secs(40),
        channel_limit: 4,
        channel_max_length: 20,
        user_connection_limit: 0,
        include_server_time: false,
        history_limit: 300,
        recovery_limit: 300,
        insecure: false,
        allow_anonymous_without_token: true,
        disallow_anonymous_tokens: false,
        personal_channel: None,
        rpc_ping: None,
        concurrency: 0,
        connect_proxy: false,
        refresh_proxy: false,
        emulated_headers: Vec::new(),
        unidirectional_closes: BTreeMap::new(),
    }
}

impl Rig {
    pub(super) fn new() -> Self {
        Self::with(settings(), Transport::default())
    }

    pub(super) fn with(settings: Settings, transport: Transport) -> Self {
        let start = Instant::now();
        let now = Now { instant: start, unix: UnixMillis(START) };
        let session_id = transport.unidirectional.then(|| Uuid::from_u128(2));
        let session =
            Session::new(Uuid::from_u128(1), session_id, transport, Origin::default(), now, &settings);
        Self {
            session,
            settings,
            rules: Rules::default(),
            effects: VecDeque::new(),
            connections_of_user: 0,
            start,
            elapsed: Duration::ZERO,
        }
    }

    /// A session that connected anonymously, with its effects read.
    pub(super) fn connected() -> Self {
        let mut rig = Self::new();
        rig.connect();
        rig
    }

    pub(super) fn connect(&mut self) {
        self.command(client::Command { id: 1, connect: Some(Box::default()), ..Default::default() });
        assert!(self.session.is_ready());
        self.effects.clear();
    }

    pub(super) fn unix(&self) -> i64 {
        ((START + self.elapsed.as_millis() as u64) / 1000) as i64
    }

    pub(super) fn input(&mut self, act: impl FnOnce(&mut Session, &mut Context<'_>)) {
        let now = Now {
            instant: self.start + self.elapsed,
            unix: UnixMillis(START + self.elapsed.as_millis() as u64),
        };
        let count = self.connections_of_user;
        let mut cx = Context {
            now,
            settings: &self.settings,
            policy: &self.rules,
            chance: 0.5,
            connections_of: &|_| count,
            effects: &mut self.effects,
        };
        act(&mut self.session, &mut cx);
    }

    pub(super) fn command(&mut self, command: client::Command) {
        self.input(|session, cx| session.on_command(command, cx));
    }

    /// Lets time pass and calls the session whenever it asked for it.
    pub(super) fn advance(&mut self, by: Duration) {
        let end = self.elapsed + by;
        while let Some(deadline) = self.session.next_deadline() {
            let at = deadline.saturating_duration_since(self.start);
            if at > end {
                break;
            }
            self.elapsed = at.max(self.elapsed);
            self.input(|session, cx| session.on_timer(cx));
        }
        self.elapsed = end;
    }

    /// Answers the question or join that is the newest effect.
    pub(super) fn answer(&mut self, answer: Answer) {
        let ticket = match self.effects.pop_back() {
            Some(Effect::Ask(ticket, _)) => ticket,
            other => panic!("no question to answer: {other:?}"),
        };
        self.input(|session, cx| session.on_answer(ticket, answer, cx));
    }

    /// Answers what the application was asked by the newest effect.
    pub(super) fn verdict(&mut self, verdict: Verdict) {
        self.answer(Answer::Application(Ok(Box::new(verdict))));
    }

    /// What the application was asked by the newest effect.
    pub(super) fn inquiry(&self) -> &Inquiry {
        match self.effects.back() {
            Some(Effect::Ask(_, Question::Application(_, inquiry))) => inquiry,
            other => panic!("the application is not asked: {other:?}"),
        }
    }

    /// Joins everything that waits to be joined, at `position`.
    pub(super) fn join_at(&mut self, offset: u64, epoch: &str) {
        let position = StreamPosition { offset, epoch: epoch.into() };
        self.join_with(|_| Ok(Joined { position: position.clone(), ..Default::default() }));
    }

    pub(super) fn join_with(&mut self, joined: impl Fn(&JoinPlan) -> Result<Joined, JoinError>) {
        let Some(Effect::Join(ticket, plans)) = self.effects.pop_back() else { panic!("nothing to join") };
        let results = plans.iter().map(|plan| (plan.departure.clone(), joined(plan))).collect();
        self.input(|session, cx| session.on_answer(ticket, Answer::Joined(results), cx));
    }

    /// Subscribes without anything special.
    pub(super) fn subscribe(&mut self, id: u32, channel: &str) {
        let request = client::SubscribeRequest { channel: channel.into(), ..Default::default() };
        self.command(client::Command { id, subscribe: Some(Box::new(request)), ..Default::default() });
    }

    pub(super) fn take(&mut self) -> Vec<Effect> {
        self.effects.drain(..).collect()
    }

    /// The reply among the effects; fails when there is none or more than one.
    pub(super) fn reply(&mut self) -> client::Reply {
        let mut replies: Vec<_> = self
            .take()
            .into_iter()
            .filter_map(|effect| match effect {
                Effect::Send(Send::Reply(reply)) => Some(*reply),
                _ => None,
            })
            .collect();
        assert_eq!(replies.len(), 1, "{replies:?}");
        replies.remove(0)
    }

    pub(super) fn error_code(&mut self) -> u32 {
        self.reply().error.expect("an error").code
    }

    /// The code the session closed with, if it did.
    pub(super) fn close_code(&mut self) -> Option<u32> {
        self.take().into_iter().find_map(|effect| match effect {
            Effect::Close(close) => Some(close.code),
            _ => None,
        })
    }
}

pub(super) fn info(user: &str) -> Arc<ClientInfo> {
    Arc::new(ClientInfo { user: user.into(), client: Uuid::from_u128(1).to_string(), ..Default::default() })
}
