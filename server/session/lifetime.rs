//! What happens with time: pings and pongs, expiration, presence renewal, connections that never authenticate.

use super::{Context, Effect, Phase, Send, Session};
use gyre_proto::client;
use gyre_proto::codes::{DisconnectCode, UnsubscribeCode};
use std::time::{Duration, Instant};

/// The next moment of each thing that happens with time.
#[derive(Debug, Default)]
pub(super) struct Timers {
    /// Close unless authenticated.
    stale: Option<Instant>,
    /// Send a ping.
    ping: Option<Instant>,
    /// Close unless a pong came.
    pong: Option<Instant>,
    /// A ping is out and its pong has not come.
    awaiting_pong: bool,
    /// Renew presence, check expirations and positions of subscriptions.
    tick: Option<Instant>,
    /// The connection expires.
    expire: Option<Instant>,
}

impl Timers {
    pub(super) fn stale(at: Instant) -> Self {
        Self { stale: Some(at), ..Self::default() }
    }

    pub(super) fn next(&self) -> Option<Instant> {
        [self.stale, self.ping, self.pong, self.tick, self.expire].into_iter().flatten().min()
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn awaits_pong(&self) -> bool {
        self.awaiting_pong
    }

    /// Counts a pong and says how long it took; none when none was due.
    pub(super) fn take_pong(&mut self, cx: &Context<'_>) -> Option<Duration> {
        let due = std::mem::take(&mut self.awaiting_pong).then_some(self.pong).flatten()?;
        Some((cx.now.instant + cx.settings.pong_timeout).saturating_duration_since(due))
    }
}

fn due(timer: &mut Option<Instant>, now: Instant) -> bool {
    if timer.is_some_and(|at| at <= now) {
        *timer = None;
        return true;
    }
    false
}

impl Session {
    /// Time passed. Call it when [`Session::next_deadline`] has come; calling it early does nothing.
    pub fn on_timer(&mut self, cx: &mut Context<'_>) {
        let now = cx.now.instant;
        if due(&mut self.timers.stale, now) {
            return self.close(DisconnectCode::Stale, cx);
        }
        if self.timers.pong.is_some_and(|at| at <= now) {
            self.timers.pong = None;
            if self.timers.awaiting_pong {
                return self.close(DisconnectCode::NoPong, cx);
            }
        }
        if due(&mut self.timers.expire, now) {
            return self.on_expired(cx);
        }
        if due(&mut self.timers.tick, now) {
            self.on_tick(cx);
            if self.phase == Phase::Closed {
                return;
            }
        }
        if due(&mut self.timers.ping, now) {
            cx.emit(Effect::Send(Send::Ping));
            self.timers.ping = Some(now + cx.settings.ping_interval);
            if !self.transport.unidirectional && !cx.settings.pong_timeout.is_zero() {
                self.timers.awaiting_pong = true;
                self.timers.pong = Some(now + cx.settings.pong_timeout);
            }
        }
    }

    /// Starts the timers of an authenticated connection. First moments are spread by chance, so that
    /// connections that came together do not stay in step.
    pub(super) fn start_timers(&mut self, cx: &mut Context<'_>) {
        let now = cx.now.instant;
        let spread = |interval: Duration| now + interval.mul_f64(0.5 + cx.chance / 2.0);
        self.timers.stale = None;
        if !self.transport.native_ping && !cx.settings.ping_interval.is_zero() {
            self.timers.ping = Some(spread(cx.settings.ping_interval));
        }
        if !cx.settings.presence_update_interval.is_zero() {
            self.timers.tick = Some(spread(cx.settings.presence_update_interval));
        }
        self.schedule_expiration(cx);
    }

    /// Sets when the connection expires, from `expire_at` and who refreshes it.
    pub(super) fn schedule_expiration(&mut self, cx: &mut Context<'_>) {
        self.timers.expire = (self.expire_at > 0).then(|| {
            let left =
                Duration::from_secs(self.expire_at.saturating_sub(cx.now.unix.seconds()).max(0) as u64);
            let grace =
                if self.client_side_refresh { cx.settings.expired_close_delay } else { Duration::ZERO };
            cx.now.instant + left + grace
        });
    }

    fn on_expired(&mut self, cx: &mut Context<'_>) {
        if self.expire_at > 0 && cx.now.unix.seconds() < self.expire_at {
            return self.schedule_expiration(cx);
        }
        if !self.client_side_refresh && cx.settings.refresh_proxy {
            return self.ask_to_stay(cx);
        }
        self.close(DisconnectCode::Expired, cx);
    }

    fn on_tick(&mut self, cx: &mut Context<'_>) {
        let now = cx.now.instant;
        self.timers.tick = Some(now + cx.settings.presence_update_interval);
        let deadline = cx.now.unix.seconds() - cx.settings.expired_sub_close_delay.as_secs() as i64;
        let expired: Vec<_> = self
            .subscriptions
            .iter()
            .filter(|subscription| {
                !subscription.joining && subscription.expire_at > 0 && deadline > subscription.expire_at
            })
            .map(|subscription| (subscription.channel.clone(), subscription.client_side_refresh))
            .collect();
        for (channel, client_side_refresh) in expired {
            match cx.policy.sub_refresh_proxy(&channel).filter(|_| !client_side_refresh) {
                Some(proxy) => self.ask_to_stay_subscribed(channel, proxy, cx),
                None => self.end_expired(&channel, cx),
            }
            if self.phase == Phase::Closed {
                return;
            }
        }
        let mut renewals = Vec::new();
        for subscription in self.subscriptions.iter_mut().filter(|subscription| !subscription.joining) {
            if subscription.presence {
                renewals.push((subscription.channel.clone(), subscription.info()));
            }
            let delay = cx.settings.position_check_delay;
            let waited = subscription.checked.is_none_or(|checked| now.duration_since(checked) >= delay);
            if subscription.positioned && !delay.is_zero() && waited {
                subscription.checked = Some(now);
                cx.effects.push_back(Effect::CheckPosition(subscription.channel.clone(), delay));
            }
        }
        for (channel, info) in renewals {
            let info = self.client_info(&info);
            cx.emit(Effect::RenewPresence(channel, info));
        }
    }

    /// Ends a subscription whose time has come.
    pub(super) fn end_expired(&mut self, channel: &str, cx: &mut Context<'_>) {
        if self.subscriptions.get(channel).is_some_and(|subscription| subscription.server_side) {
            return self.close(DisconnectCode::SubExpired, cx);
        }
        self.unsubscribe_with_push(channel, UnsubscribeCode::Expired, cx);
    }

    /// Publications of a positioned subscription have a gap, or its stream changed: the client starts over
    /// from what it has.
    pub fn on_insufficient_state(&mut self, channel: &str, cx: &mut Context<'_>) {
        let Some(subscription) = self.subscriptions.get(channel) else { return };
        if subscription.joining {
            return;
        }
        if subscription.server_side {
            self.close(DisconnectCode::InsufficientState, cx);
        } else {
            self.unsubscribe_with_push(channel, UnsubscribeCode::Insufficient, cx);
        }
    }

    /// Ends a subscription and tells the client why.
    pub(super) fn unsubscribe_with_push(
        &mut self,
        channel: &str,
        code: UnsubscribeCode,
        cx: &mut Context<'_>,
    ) {
        self.drop_subscription(channel, cx);
        cx.push(channel, |push| {
            push.unsubscribe = Some(Box::new(client::Unsubscribe {
                code: code as i32 as u32,
                reason: code.reason().to_owned(),
            }));
        });
    }
}
