//! What is allowed: names, namespaces, permissions and limits.
//!
//! Owns the rules by which a channel finds its namespace and by which a subscription, publication, presence
//! or history request is granted. Every decision names the [`Rule`] that made it, so that it can be explained.
//! Knows no connections, tokens or proxies: it says that a token must be verified or a proxy be asked, and
//! others do it. All functions are pure and allocate nothing.
//!
//! Entry point: [`Namespaces::lookup`], then the functions of [`permission`].

mod effective;
pub mod filter;
mod limits;
mod namespaces;
mod options;
pub mod pattern;
pub mod permission;
mod personal;
mod rule;

pub use effective::{OptionOverrides, RecoveryMode, SubscriptionOptions};
pub use limits::{Asked, Limits};
pub use namespaces::{Channel, Namespace, NamespaceError, Namespaces, Syntax};
pub use options::ChannelOptions;
pub use pattern::PatternError;
pub use personal::PersonalChannel;
pub use rule::{Answer, Refused, Rule, SubscriptionKind};

#[cfg(test)]
mod tests;
