//! What sessions ask for, answered by broker, presence and token authority.

use super::application::unanswered;
use super::registry::{Entered, Next, Registry};
use crate::broker::{
    Broker, BrokerError, HistoryFilter, HistoryPage, MaybeReady, Publication, StreamPosition,
};
use crate::channel::filter::Filter;
use crate::node::{Connections, DisconnectUser, Target};
use crate::observability::{Action, BrokerMessage, Metrics};
use crate::presence::PresenceStore;
use crate::proxy::Events;
use crate::seams::UnixMillis;
use crate::session::{
    Answer, AuthError, ConnectClaims, Departure, JoinError, JoinPlan, Joined, Question, Recovery,
    SubscribeClaims, Unanswered,
};
use gyre_proto::proxy::NotifyCacheEmptyRequest;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Poll};

/// How far back cache recovery looks for a publication that matches a filter.
const CACHE_FILTER_DEPTH: u64 = 300;

/// Who says whether a token is good.
pub trait TokenAuthority: Send + Sync + 'static {
    /// Verifies a connection token.
    fn verify_connect(
        &self,
        token: String,
        now: UnixMillis,
    ) -> MaybeReady<Result<Box<ConnectClaims>, AuthError>>;
    /// Verifies a subscription token.
    fn verify_subscribe(
        &self,
        token: String,
        now: UnixMillis,
    ) -> MaybeReady<Result<Box<SubscribeClaims>, AuthError>>;
}

/// Everything sessions ask for.
#[derive(Clone)]
pub struct Backend {
    /// Publications and history.
    pub broker: Arc<dyn Broker>,
    /// Presence.
    pub presence: Arc<dyn PresenceStore>,
    /// Tokens.
    pub tokens: Arc<dyn TokenAuthority>,
    /// Where what is asked of engines is counted.
    pub metrics: Arc<Metrics>,
    /// Connections of the whole cluster, set once they exist.
    pub connections: Arc<OnceLock<Weak<dyn Connections>>>,
}

impl Backend {
    pub(super) fn ask(&self, question: Question, now: UnixMillis) -> MaybeReady<Answer> {
        self.count(&question);
        match question {
            Question::VerifyConnect(token) => self.tokens.verify_connect(token, now).map(Answer::Connect),
            Question::VerifySubscribe(token) => {
                self.tokens.verify_subscribe(token, now).map(Answer::Subscribe)
            }
            // The shard asks those itself, as they concern its connections.
            Question::Application(..) => MaybeReady::ready(Answer::Application(Err(Unanswered))),
            Question::Feed(..) => MaybeReady::ready(Answer::Fed(Err(Unanswered))),
            Question::Publish(channel, data, options) => self
                .broker
                .publish(&channel, data, *options)
                .map(|result| Answer::Published(result.map(drop))),
            Question::Presence(channel) => self.presence.get(&channel).map(Answer::Presence),
            Question::PresenceStats(channel) => self.presence.stats(&channel).map(Answer::PresenceStats),
            Question::History(channel, filter, meta_ttl) => {
                self.broker.history(&channel, filter, meta_ttl).map(Answer::History)
            }
        }
    }

    fn count(&self, question: &Question) {
        match question {
            Question::VerifyConnect(_)
            | Question::VerifySubscribe(_)
            | Question::Application(..)
            | Question::Feed(..) => {}
            Question::Publish(..) => self.metrics.sent(BrokerMessage::Publication, 1),
            Question::Presence(_) => self.metrics.action(Action::Presence),
            Question::PresenceStats(_) => self.metrics.action(Action::PresenceStats),
            Question::History(..) => self.metrics.action(Action::History),
        }
    }

    /// Joins channels. With each comes what has to be done before its history is read; `application` fills caches
    /// that are empty.
    pub(super) fn join(
        &self,
        plans: Vec<(JoinPlan, Entered)>,
        registry: Arc<Registry>,
        application: Arc<dyn Events>,
    ) -> MaybeReady<Answer> {
        let backend = self.clone();
        MaybeReady::later(async move {
            let joins = plans.into_iter().map(|(plan, entered)| {
                let (backend, registry) = (backend.clone(), registry.clone());
                let application = application.clone();
                async move {
                    // Carried out whatever becomes of the join: others wait for it.
                    let delivered = backend.deliver(&plan.channel, entered, &registry).await;
                    let result = match delivered {
                        Ok(()) => backend.join_one(&plan, &*application).await,
                        Err(error) => Err(error.into()),
                    };
                    (plan.departure, result)
                }
            });
            Answer::Joined(futures_util::future::join_all(joins).await)
        })
    }

    /// Makes sure that the broker delivers a channel that was just entered.
    async fn deliver(
        &self,
        channel: &Arc<str>,
        entered: Entered,
        registry: &Arc<Registry>,
    ) -> Result<(), BrokerError> {
        match entered {
            Entered::Ready => Ok(()),
            Entered::Wait(delivered) => match delivered.await {
                Ok(true) => Ok(()),
                _ => Err(BrokerError::Unavailable("the broker did not take the subscription".into())),
            },
            Entered::Subscribe => {
                self.metrics.action(Action::BrokerSubscribe);
                let result = self.broker.subscribe(channel).await;
                let next = registry.subscribed(channel, result.is_ok());
                if next != Next::Nothing {
                    // Everyone left while the broker was asked; the one who joins need not wait.
                    let (backend, channel, registry) = (self.clone(), channel.clone(), registry.clone());
                    tokio::spawn(async move { backend.pursue(&channel, next, &registry).await });
                }
                result
            }
        }
    }

    /// Asks the broker for what the registry wants until it wants nothing more.
    pub(super) async fn pursue(&self, channel: &Arc<str>, mut next: Next, registry: &Registry) {
        loop {
            next = match next {
                Next::Nothing => return,
                Next::Subscribe => {
                    self.metrics.action(Action::BrokerSubscribe);
                    let result = self.broker.subscribe(channel).await;
                    let delivers = result.is_ok();
                    report("subscribe", channel, result);
                    registry.subscribed(channel, delivers)
                }
                Next::Unsubscribe => {
                    self.metrics.action(Action::BrokerUnsubscribe);
                    report("unsubscribe", channel, self.broker.unsubscribe(channel).await);
                    registry.unsubscribed(channel)
                }
            };
        }
    }

    async fn join_one(&self, plan: &JoinPlan, application: &dyn Events) -> Result<Joined, JoinError> {
        if let (Some(close), Some(info)) = (&plan.single_connection, &plan.departure.info)
            && self.presence.stats(&plan.channel).await?.clients > 0
            && let Some(connections) = self.connections.get().and_then(Weak::upgrade)
        {
            connections.disconnect(Arc::new(DisconnectUser {
                target: Target { user: info.user.clone(), ..Default::default() },
                whitelist: vec![info.client.clone()],
                code: close.code,
                reason: close.reason.to_string(),
            }));
        }
        if let Some(info) = &plan.presence {
            self.metrics.action(Action::AddPresence);
            self.presence.add(&plan.channel, info.clone()).await?;
        }
        let filter = plan.filter.as_deref();
        match &plan.recovery {
            Recovery::None => Ok(Joined::default()),
            Recovery::Position => {
                self.metrics.action(Action::HistoryStreamTop);
                let filter = HistoryFilter { limit: Some(0), ..Default::default() };
                let page = self.broker.history(&plan.channel, filter, plan.history_meta_ttl).await?;
                Ok(Joined { position: page.position, ..Default::default() })
            }
            Recovery::Stream(since, limit) => {
                self.metrics.action(Action::HistoryRecover);
                self.recover_stream(plan, since, *limit, filter).await
            }
            Recovery::Cache(since) => {
                self.metrics.action(Action::HistoryRecoverCache);
                self.recover_cache(plan, since, filter, application).await
            }
        }
    }

    async fn recover_stream(
        &self,
        plan: &JoinPlan,
        since: &StreamPosition,
        limit: u64,
        filter: Option<&Filter>,
    ) -> Result<Joined, JoinError> {
        // The epoch is compared here: a stream with another one still has a position to go on from.
        let limit = (limit > 0).then_some(limit);
        let missed = self.broker.missed(&plan.channel, since.offset, limit, plan.history_meta_ttl);
        let page = missed.await?;
        Ok(stream_recovery(page, since, filter))
    }

    async fn recover_cache(
        &self,
        plan: &JoinPlan,
        since: &StreamPosition,
        filter: Option<&Filter>,
        application: &dyn Events,
    ) -> Result<Joined, JoinError> {
        let depth = if filter.is_some() { CACHE_FILTER_DEPTH } else { 1 };
        let wanted = HistoryFilter { limit: Some(depth), since: None, reverse: true };
        let mut page = self.broker.history(&plan.channel, wanted.clone(), plan.history_meta_ttl).await?;
        let known = since.offset > 0 && *since == page.position;
        if let Some(proxy) =
            plan.cache_empty_proxy.as_ref().filter(|_| page.publications.is_empty() && !known)
        {
            let request = NotifyCacheEmptyRequest { channel: plan.channel.to_string() };
            let notified = application.notify_cache_empty(proxy, request).await;
            let response = notified.map_err(|error| {
                unanswered(&error);
                JoinError::Unanswered
            })?;
            if response.result.is_some_and(|result| result.populated) {
                page = self.broker.history(&plan.channel, wanted, plan.history_meta_ttl).await?;
            }
        }
        Ok(cache_recovery(page, since, filter))
    }

    /// Undoes a join. The future is carried out in the background: nobody waits for a broker while a
    /// connection is torn down. All of it starts at the first poll, so that it stays before whatever the same
    /// connection causes next.
    pub(super) async fn leave(self, departure: Departure, next: Next, registry: Arc<Registry>) {
        let channel = &departure.channel;
        let told = async {
            let Some(info) = &departure.info else { return };
            if departure.presence {
                self.metrics.action(Action::RemovePresence);
                if let Err(error) = self.presence.remove(channel, &info.client, &info.user).await {
                    tracing::warn!(%error, %channel, "presence was not removed");
                }
            }
            if departure.announce {
                self.metrics.sent(BrokerMessage::Leave, 1);
                let published = self.broker.publish_leave(channel, info.clone()).await;
                report("publish leave", channel, published);
            }
        };
        futures_util::future::join(self.pursue(channel, next, &registry), told).await;
    }
}

fn report(operation: &str, channel: &str, result: Result<(), BrokerError>) {
    if let Err(error) = result {
        tracing::warn!(%error, %channel, operation, "broker operation failed");
    }
}

/// Decides whether a page of history closes the gap between a client and the top of the stream.
fn stream_recovery(page: HistoryPage, since: &StreamPosition, filter: Option<&Filter>) -> Joined {
    let HistoryPage { publications, position } = page;
    let same_life = since.epoch.is_none() || since.epoch == position.epoch;
    let complete = match (publications.first(), publications.last()) {
        (Some(first), Some(last)) => first.offset == since.offset + 1 && last.offset == position.offset,
        _ => position.offset == since.offset,
    };
    let recovered = same_life && complete;
    let publications = if recovered {
        publications.into_iter().filter(|publication| matches(filter, publication)).collect()
    } else {
        Vec::new()
    };
    Joined { position, publications, recovered, attempted: true }
}

/// Decides what a client gets that only wants the newest publication. `page` is newest first.
fn cache_recovery(page: HistoryPage, since: &StreamPosition, filter: Option<&Filter>) -> Joined {
    let HistoryPage { publications, position } = page;
    let same_state = since.offset > 0 && *since == position;
    let at_top = publications.first().is_some_and(|newest| newest.offset == position.offset);
    let joined =
        |position, publications, recovered| Joined { position, publications, recovered, attempted: true };
    let wanted = publications.into_iter().find(|publication| matches(filter, publication));
    match wanted {
        None => joined(position, Vec::new(), same_state),
        Some(_) if !at_top => joined(position, Vec::new(), false),
        Some(_) if same_state => joined(position, Vec::new(), true),
        Some(publication) => joined(position, vec![publication], true),
    }
}

fn matches(filter: Option<&Filter>, publication: &Publication) -> bool {
    filter.is_none_or(|filter| filter.matches(publication.tags.as_deref()))
}

/// What is left of an answer that was not there at once.
pub(super) type Unsettled<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Takes an answer that is there or can be had without waiting.
pub(super) fn settle<T>(answer: MaybeReady<T>) -> Result<T, Unsettled<T>> {
    match answer {
        MaybeReady::Ready(mut value) => Ok(value.take().expect("an answer is taken once")),
        MaybeReady::Later(mut future) => {
            let mut context = Context::from_waker(std::task::Waker::noop());
            match future.as_mut().poll(&mut context) {
                Poll::Ready(value) => Ok(value),
                Poll::Pending => Err(future),
            }
        }
    }
}
