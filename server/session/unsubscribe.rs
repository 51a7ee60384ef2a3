//! Ending subscriptions.

use super::{Context, Departure, Effect, Session, Subscription};
use gyre_proto::client;
use gyre_proto::codes::DisconnectCode;

impl Session {
    pub(super) fn on_unsubscribe(&mut self, id: u32, channel: &str, cx: &mut Context<'_>) {
        if channel.is_empty() {
            return self.close(DisconnectCode::BadRequest, cx);
        }
        if self.is_subscribing(channel) {
            self.unsubscribing = Some(Box::new((id, channel.to_owned())));
            return;
        }
        self.drop_subscription(channel, cx);
        cx.reply(id, |reply| reply.unsubscribe = Some(Box::new(client::UnsubscribeResult {})));
    }

    /// Goes on with an unsubscribe command once the subscription it means is decided.
    pub(super) fn unsubscribe_when_decided(&mut self, cx: &mut Context<'_>) {
        if let Some(waiting) = self.unsubscribing.take() {
            let (id, channel) = *waiting;
            self.on_unsubscribe(id, &channel, cx);
        }
    }

    /// Removes a subscription and leaves its channel. One whose join is under way is left when the answer comes.
    pub(super) fn drop_subscription(&mut self, channel: &str, cx: &mut Context<'_>) {
        if let Some(subscription) = self.subscriptions.remove(channel)
            && !subscription.joining
        {
            let departure = self.departure(&subscription);
            cx.emit(Effect::Leave(departure));
        }
    }

    pub(super) fn departure(&self, subscription: &Subscription) -> Departure {
        let told = subscription.presence || subscription.join_leave;
        Departure {
            channel: subscription.channel.clone(),
            info: told.then(|| self.client_info(&subscription.info())),
            presence: subscription.presence,
            announce: subscription.join_leave && !subscription.joining,
        }
    }
}
