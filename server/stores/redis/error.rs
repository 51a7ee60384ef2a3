//! Why Redis did not do what it was asked.

use std::sync::Arc;

/// Why a request to Redis came to nothing.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RedisError {
    /// There is no connection, and none came up while the request waited: nothing was sent.
    #[error("redis at {place} cannot be reached: {reason}")]
    Unreachable {
        /// Address, or what names it.
        place: Arc<str>,
        /// What went wrong at the last try.
        reason: Arc<str>,
    },
    /// The connection ended before the answer came: the request was carried out or not.
    #[error("connection to redis at {place} ended: {reason}")]
    Lost {
        /// Address of the server.
        place: Arc<str>,
        /// How it ended.
        reason: Arc<str>,
    },
    /// More requests wait than a connection may hold; nothing was sent.
    #[error("too many requests wait for redis at {place}")]
    Overloaded {
        /// Address of the server.
        place: Arc<str>,
    },
    /// Redis answered with an error; nothing was changed.
    #[error("redis refused: {0}")]
    Refused(Arc<str>),
    /// The answer has not the form of one: the peer is no Redis, or a key holds something else.
    #[error("redis answered with an unexpected {0}")]
    Unexpected(&'static str),
    /// What the configuration says cannot be used.
    #[error("{0}")]
    Settings(Arc<str>),
}

impl RedisError {
    pub(super) fn unreachable(place: impl AsRef<str>, reason: impl ToString) -> Self {
        Self::Unreachable { place: place.as_ref().into(), reason: reason.to_string().into() }
    }

    pub(super) fn lost(place: impl AsRef<str>, reason: impl ToString) -> Self {
        Self::Lost { place: place.as_ref().into(), reason: reason.to_string().into() }
    }

    /// Whether Redis surely did nothing, so that asking again is safe.
    pub fn is_untouched(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Overloaded { .. } | Self::Refused(_))
    }
}
