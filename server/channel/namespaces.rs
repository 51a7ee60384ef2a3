//! From the name of a channel to the rules that hold for it.

use super::options::ChannelOptions;
use super::pattern::{self, PatternError};
use super::rule::SubscriptionKind;
use crate::node::DataFormat;
use foldhash::fast::RandomState;
use regex::Regex;
use std::collections::HashMap;
use std::sync::Arc;

/// The characters with a meaning in channel names. An empty text switches its meaning off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Syntax {
    /// Start of channels that need a subscription token.
    pub private_prefix: String,
    /// Between namespace and the rest; the first one counts.
    pub namespace_boundary: String,
    /// Before the list of users; the last one counts.
    pub user_boundary: String,
    /// Between the users of the list.
    pub user_separator: String,
}

impl Default for Syntax {
    fn default() -> Self {
        Self {
            private_prefix: "$".to_owned(),
            namespace_boundary: ":".to_owned(),
            user_boundary: "#".to_owned(),
            user_separator: ",".to_owned(),
        }
    }
}

/// A namespace, compiled.
#[derive(Debug)]
pub struct Namespace {
    /// Its name; empty for channels without a namespace.
    pub name: Box<str>,
    /// Its options as configured.
    pub options: ChannelOptions,
    /// What it takes as payload, with the global default applied.
    pub data_format: DataFormat,
    /// What subscriptions of it carry.
    pub kind: SubscriptionKind,
    name_pattern: Option<Regex>,
}

/// All namespaces of one configuration.
///
/// Built at start and on reload and then only read; a look-up costs one search for the boundary and one hash.
#[derive(Debug)]
pub struct Namespaces {
    syntax: Syntax,
    unnamed: Arc<Namespace>,
    named: HashMap<Box<str>, Arc<Namespace>, RandomState>,
}

/// A channel name together with its namespace.
#[derive(Clone, Copy, Debug)]
pub struct Channel<'c> {
    /// The whole name.
    pub name: &'c str,
    /// The namespace that rules it.
    pub namespace: &'c Arc<Namespace>,
    rest: &'c str,
    syntax: &'c Syntax,
}

/// Why namespaces cannot be built; configurations that were checked have none of these faults.
#[derive(Debug, thiserror::Error)]
pub enum NamespaceError {
    /// `channel_regex` does not compile.
    #[error("channel_regex of namespace {name:?}: {source}")]
    Pattern {
        /// Namespace.
        name: String,
        /// What is wrong.
        source: PatternError,
    },
    /// A word that is none of the allowed ones.
    #[error("{key} of namespace {name:?} is {value:?}, which is none of the allowed values")]
    Word {
        /// Namespace.
        name: String,
        /// Option.
        key: &'static str,
        /// Value.
        value: String,
    },
}

impl Namespaces {
    /// Compiles namespaces. `data_format` is the global default of `publication_data_format`.
    ///
    /// # Errors
    /// The option that cannot be used.
    pub fn new(
        syntax: Syntax,
        data_format: &str,
        without_namespace: ChannelOptions,
        namespaces: impl IntoIterator<Item = (String, ChannelOptions)>,
    ) -> Result<Self, NamespaceError> {
        let unnamed = Arc::new(Namespace::new("", without_namespace, data_format)?);
        let mut named = HashMap::default();
        for (name, options) in namespaces {
            let namespace = Namespace::new(&name, options, data_format)?;
            named.insert(name.into_boxed_str(), Arc::new(namespace));
        }
        Ok(Self { syntax, unnamed, named })
    }

    /// Finds the namespace of a channel: the text before the first boundary, one private prefix aside.
    /// Nothing if it is not configured (code 102).
    pub fn lookup<'c>(&'c self, name: &'c str) -> Option<Channel<'c>> {
        let Syntax { private_prefix, namespace_boundary, .. } = &self.syntax;
        let bare = name.strip_prefix(private_prefix.as_str()).unwrap_or(name);
        let split = match namespace_boundary.as_str() {
            "" => None,
            boundary => bare.split_once(boundary),
        };
        let (namespace, rest) = match split {
            Some(("", rest)) => (&self.unnamed, rest),
            Some((namespace, rest)) => (self.named.get(namespace)?, rest),
            None => (&self.unnamed, name),
        };
        Some(Channel { name, namespace, rest, syntax: &self.syntax })
    }

    /// The meaning of characters in names.
    pub fn syntax(&self) -> &Syntax {
        &self.syntax
    }

    /// How many namespaces have a name.
    pub fn len(&self) -> usize {
        self.named.len()
    }

    /// Tells whether there are only channels without a namespace.
    pub fn is_empty(&self) -> bool {
        self.named.is_empty()
    }
}

impl Namespace {
    fn new(name: &str, options: ChannelOptions, default_format: &str) -> Result<Self, NamespaceError> {
        let word =
            |key, value: &str| NamespaceError::Word { name: name.to_owned(), key, value: value.to_owned() };
        let format = match options.publication_data_format.as_str() {
            "" => default_format,
            format => format,
        };
        let data_format = DataFormat::parse(format).ok_or_else(|| word("publication_data_format", format))?;
        let kind = SubscriptionKind::parse(&options.subscription_type)
            .ok_or_else(|| word("subscription_type", &options.subscription_type))?;
        let name_pattern = match options.channel_regex.as_str() {
            "" => None,
            regex => Some(
                pattern::compile(regex)
                    .map_err(|source| NamespaceError::Pattern { name: name.to_owned(), source })?,
            ),
        };
        Ok(Self { name: name.into(), options, data_format, kind, name_pattern })
    }

    /// Tells whether publications are kept.
    pub fn has_history(&self) -> bool {
        self.options.history_size > 0 && !self.options.history_ttl.is_zero()
    }
}

impl Channel<'_> {
    /// Tells whether clients may use this name: it fits `channel_regex`, or is ASCII where there is none.
    pub fn has_valid_name(&self) -> bool {
        match &self.namespace.name_pattern {
            Some(pattern) => pattern.is_match(self.rest),
            None => self.name.is_ascii(),
        }
    }

    /// Tells whether only a subscription token opens this channel.
    pub fn is_private(&self) -> bool {
        let prefix = &self.syntax.private_prefix;
        !prefix.is_empty() && self.name.starts_with(prefix.as_str())
    }

    /// Tells whether the name lists the users of this channel, and the namespace heeds that.
    pub fn is_user_limited(&self) -> bool {
        let boundary = &self.syntax.user_boundary;
        self.namespace.options.allow_user_limited_channels
            && !boundary.is_empty()
            && self.name.contains(boundary.as_str())
    }

    /// Tells whether the list after the last boundary has `user`. An empty list has the anonymous one.
    pub fn lists_user(&self, user: &str) -> bool {
        let Syntax { user_boundary, user_separator, .. } = self.syntax;
        let Some((_, users)) = self.name.rsplit_once(user_boundary.as_str()) else { return false };
        if user_separator.is_empty() {
            users == user
        } else {
            users.split(user_separator.as_str()).any(|listed| listed == user)
        }
    }
}
