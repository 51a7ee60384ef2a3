//! What can be wrong with contracts.

/// Why contracts are no base for an SDK. Always the fault of the contracts; each says where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContractError {
    /// Something that must be declared is not.
    #[error("{what} {name} is not declared")]
    Missing {
        /// Kind of thing.
        what: &'static str,
        /// Its full name.
        name: String,
    },
    /// A comment is missing. SDKs have no other source of documentation.
    #[error("{0} has no comment")]
    Undocumented(String),
    /// A feature of Protobuf that SDKs do not print.
    #[error("{item}: {feature} is not supported")]
    Unsupported {
        /// Full name of the item.
        item: String,
        /// What it uses.
        feature: &'static str,
    },
    /// Annotations or fields that contradict each other.
    #[error("{item}: {problem}")]
    Inconsistent {
        /// Full name of the item.
        item: String,
        /// What does not fit.
        problem: String,
    },
}

impl ContractError {
    pub(super) fn inconsistent(item: &str, problem: impl Into<String>) -> Self {
        Self::Inconsistent { item: item.to_owned(), problem: problem.into() }
    }
}
