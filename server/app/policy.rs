//! What sessions and the node may know about namespaces.

use super::calls::Calls;
use crate::broker::PublishOptions;
use crate::channel::permission::{self, Asker, Flags, PublishPath, SubscribePath};
use crate::channel::{
    Channel, Namespace, Namespaces, OptionOverrides, PersonalChannel, RecoveryMode, Refused,
    SubscriptionOptions,
};
use crate::session::{
    Grant, Overrides, Policy, PublishDecision, SubscribeAsk, SubscribeClaims, SubscribeDecision,
};
use gyre_proto::codes::ClientErrorCode;
use std::sync::Arc;
use std::time::Duration;

/// Namespaces in force, with what is configured beside them.
pub struct NamespacePolicy {
    /// Namespaces.
    pub namespaces: Arc<Namespaces>,
    /// Which proxies answer calls.
    pub calls: Calls,
    /// `client.insecure`: permissions are not checked.
    pub insecure: bool,
    /// `channel.history_meta_ttl`, for namespaces without their own.
    pub history_meta_ttl: Duration,
}

impl NamespacePolicy {
    fn find<'c>(&'c self, channel: &'c str) -> Result<Channel<'c>, ClientErrorCode> {
        permission::find(&self.namespaces, channel).map_err(refusal)
    }

    fn asker<'u>(&self, user: &'u str) -> Asker<'u> {
        Asker { user, insecure: self.insecure }
    }

    fn meta_ttl(&self, namespace: &Namespace) -> Duration {
        match namespace.options.history_meta_ttl {
            Duration::ZERO => self.history_meta_ttl,
            own => own,
        }
    }

    fn grant(&self, options: SubscriptionOptions, namespace: &Namespace) -> Grant {
        Grant {
            presence: options.presence,
            join_leave: options.join_leave,
            push_join_leave: options.push_join_leave,
            positioning: options.positioning,
            recovery: options.recovery,
            cache_mode: options.recovery_mode == RecoveryMode::Cache,
            auto_cache_recover: options.auto_cache_recover,
            delta: namespace.options.allowed_delta_types.iter().any(|kind| kind == "fossil"),
            tags_filter: namespace.options.allow_tags_filter,
            history_meta_ttl: self.meta_ttl(namespace),
            cache_empty_proxy: namespace.options.cache_empty_proxy.clone(),
            ..Grant::default()
        }
    }

    /// What the client's own wishes add to a subscription.
    fn with_wishes(
        &self,
        channel: &Channel<'_>,
        ask: &SubscribeAsk<'_>,
        options: SubscriptionOptions,
    ) -> Grant {
        let wanted =
            Flags { positioned: ask.positioned, recoverable: ask.recoverable, join_leave: ask.join_leave };
        let granted = permission::granted_flags(channel, self.asker(ask.user), wanted);
        self.grant(options.with_granted(granted, channel.namespace), channel.namespace)
    }
}

fn refusal(refused: Refused) -> ClientErrorCode {
    ClientErrorCode::try_from(refused.answer.code() as i32).unwrap_or(ClientErrorCode::Internal)
}

impl From<&Overrides> for OptionOverrides {
    fn from(overrides: &Overrides) -> Self {
        Self {
            presence: overrides.presence,
            join_leave: overrides.join_leave,
            force_push_join_leave: overrides.push_join_leave,
            force_recovery: overrides.recovery,
            force_positioning: overrides.positioning,
        }
    }
}

impl Policy for NamespacePolicy {
    fn subscribe(&self, ask: &SubscribeAsk<'_>) -> Result<SubscribeDecision, ClientErrorCode> {
        let channel = self.find(ask.channel)?;
        let decision = permission::subscribe(&channel, self.asker(ask.user), ask.has_token, ask.kind)
            .map_err(refusal)?;
        match decision.path {
            SubscribePath::VerifyToken => Ok(SubscribeDecision::NeedsToken),
            SubscribePath::Granted => {
                let options = SubscriptionOptions::new(channel.namespace, OptionOverrides::default());
                Ok(SubscribeDecision::Granted(Box::new(self.with_wishes(&channel, ask, options))))
            }
            SubscribePath::AskProxy => {
                let proxy = channel.namespace.options.subscribe_proxy_name.clone();
                Ok(SubscribeDecision::AskProxy(proxy))
            }
            SubscribePath::AskStreamProxy => {
                let options = &channel.namespace.options;
                let proxy = options.subscribe_stream_proxy_name.clone();
                Ok(SubscribeDecision::AskFeed(proxy, options.subscribe_stream_proxy_bidirectional))
            }
        }
    }

    fn token_grant(
        &self,
        ask: &SubscribeAsk<'_>,
        claims: &SubscribeClaims,
    ) -> Result<Grant, ClientErrorCode> {
        let channel = self.namespaces.lookup(ask.channel).ok_or(ClientErrorCode::UnknownChannel)?;
        let options = SubscriptionOptions::new(channel.namespace, (&claims.overrides).into());
        Ok(Grant {
            expire_at: claims.expire_at,
            client_side_refresh: true,
            info: claims.info.clone(),
            data: claims.data.clone(),
            ..self.with_wishes(&channel, ask, options)
        })
    }

    fn server_grant(&self, channel: &str, overrides: &Overrides) -> Result<Grant, ClientErrorCode> {
        let channel = self.namespaces.lookup(channel).ok_or(ClientErrorCode::UnknownChannel)?;
        Ok(self.grant(SubscriptionOptions::new(channel.namespace, overrides.into()), channel.namespace))
    }

    fn connect_grant(&self, channel: &str, user: &str) -> Result<Option<Grant>, ClientErrorCode> {
        let channel = self.namespaces.lookup(channel).ok_or(ClientErrorCode::UnknownChannel)?;
        let allowed = permission::connect_subscription(&channel, self.asker(user)).is_ok();
        let options = SubscriptionOptions::new(channel.namespace, OptionOverrides::default());
        Ok(allowed.then(|| self.grant(options, channel.namespace)))
    }

    fn personal_channel(&self, namespace: &str, user: &str) -> String {
        PersonalChannel::new(self.namespaces.syntax(), namespace, false).name(user).unwrap_or_default()
    }

    fn publish(
        &self,
        channel: &str,
        user: &str,
        subscribed: bool,
        data: &[u8],
    ) -> Result<PublishDecision, ClientErrorCode> {
        let channel = self.find(channel)?;
        let decision = permission::publish(&channel, self.asker(user), subscribed, data).map_err(refusal)?;
        let options = &channel.namespace.options;
        let plain = PublishOptions {
            history_size: options.history_size as u64,
            history_ttl: options.history_ttl,
            history_meta_ttl: self.meta_ttl(channel.namespace),
            ..Default::default()
        };
        Ok(match decision.path {
            PublishPath::Granted => {
                PublishDecision::Granted(Box::new(PublishOptions { delta: options.delta_publish, ..plain }))
            }
            PublishPath::AskProxy => {
                PublishDecision::AskProxy(options.publish_proxy_name.clone(), Box::new(plain))
            }
            PublishPath::ToStreamProxy => PublishDecision::IntoFeed,
        })
    }

    fn sub_refresh_proxy(&self, channel: &str) -> Option<Arc<str>> {
        self.namespaces.lookup(channel)?.namespace.options.sub_refresh_proxy.clone()
    }

    fn rpc(&self, method: &str) -> Result<Arc<str>, ClientErrorCode> {
        self.calls.proxy(method)
    }

    fn presence(&self, channel: &str, user: &str, subscribed: bool) -> Result<(), ClientErrorCode> {
        let channel = self.find(channel)?;
        permission::presence(&channel, self.asker(user), subscribed).map(drop).map_err(refusal)
    }

    fn history(&self, channel: &str, user: &str, subscribed: bool) -> Result<Duration, ClientErrorCode> {
        let channel = self.find(channel)?;
        permission::history(&channel, self.asker(user), subscribed).map_err(refusal)?;
        Ok(self.meta_ttl(channel.namespace))
    }
}
