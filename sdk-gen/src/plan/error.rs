//! What can be wrong with a plan.

use crate::ir::ContractError;

/// Why no client can be made of a service. Always the fault of the contracts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Something is missing from the contracts.
    #[error(transparent)]
    Contract(#[from] ContractError),
    /// A method answers neither with a result nor an error.
    #[error("method {0} has no outcome")]
    NoOutcome(String),
    /// A method has no HTTP route.
    #[error("method {0} has no http path")]
    NoPath(String),
    /// The paths of methods differ before their last part.
    #[error("path of method {0} starts unlike the others")]
    SeveralPrefixes(String),
    /// A command in a batch is called unlike its method.
    #[error("command {command} of {batch} is not called like its method")]
    CommandName {
        /// The method that runs commands.
        batch: String,
        /// Field of the command.
        command: String,
    },
    /// A method is paged by a field that the free product does not have.
    #[error("no field {0} to page by")]
    PageField(String),
    /// Two things of an SDK get the same name.
    #[error("{language}: {first} and {second} are both called {name}")]
    NameClash {
        /// Language of the SDK.
        language: &'static str,
        /// The name.
        name: String,
        /// What has it.
        first: String,
        /// What would have it too.
        second: String,
    },
}
