//! What one subscription gets: the options of its namespace and what was changed about them.

use super::namespaces::Namespace;

/// What a token, a proxy or the server API may change about one subscription. `None` keeps the namespace's value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OptionOverrides {
    /// Replaces `presence`.
    pub presence: Option<bool>,
    /// Replaces `join_leave`.
    pub join_leave: Option<bool>,
    /// Replaces `force_push_join_leave`.
    pub force_push_join_leave: Option<bool>,
    /// Replaces `force_recovery`.
    pub force_recovery: Option<bool>,
    /// Replaces `force_positioning`.
    pub force_positioning: Option<bool>,
}

/// What a reconnecting subscriber receives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RecoveryMode {
    /// Every publication that was missed.
    #[default]
    Stream,
    /// The latest publication.
    Cache,
}

/// Options of one subscription.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SubscriptionOptions {
    /// The subscriber is listed in presence.
    pub presence: bool,
    /// The subscriber's join and leave are announced.
    pub join_leave: bool,
    /// The subscriber receives joins and leaves of others.
    pub push_join_leave: bool,
    /// The position in the stream is watched.
    pub positioning: bool,
    /// Missed publications are recovered; includes positioning.
    pub recovery: bool,
    /// How they are recovered.
    pub recovery_mode: RecoveryMode,
    /// The latest publication is delivered without being asked for.
    pub auto_cache_recover: bool,
}

impl SubscriptionOptions {
    /// Takes the options of a namespace and applies `overrides`.
    pub fn new(namespace: &Namespace, overrides: OptionOverrides) -> Self {
        let options = &namespace.options;
        let recovery_mode = match options.force_recovery_mode.as_str() {
            "cache" => RecoveryMode::Cache,
            _ => RecoveryMode::Stream,
        };
        let base = Self {
            presence: overrides.presence.unwrap_or(options.presence),
            join_leave: overrides.join_leave.unwrap_or(options.join_leave),
            push_join_leave: overrides.force_push_join_leave.unwrap_or(options.force_push_join_leave),
            positioning: overrides.force_positioning.unwrap_or(options.force_positioning),
            recovery: overrides.force_recovery.unwrap_or(options.force_recovery),
            recovery_mode,
            auto_cache_recover: false,
        };
        base.settled(namespace)
    }

    /// Switches on what a client asked for and was granted.
    pub fn with_granted(mut self, granted: super::permission::Flags, namespace: &Namespace) -> Self {
        self.positioning |= granted.positioned;
        self.recovery |= granted.recoverable;
        self.push_join_leave |= granted.join_leave;
        self.settled(namespace)
    }

    fn settled(mut self, namespace: &Namespace) -> Self {
        let in_cache_mode = self.recovery && self.recovery_mode == RecoveryMode::Cache;
        self.auto_cache_recover = in_cache_mode && namespace.options.auto_cache_recover;
        self
    }
}
