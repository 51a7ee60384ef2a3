//! What the server tells about itself: logs, metrics and typed events that write both.
//!
//! Knows no request and no connection. Other rooms emit an event or call a method of [`Metrics`];
//! metric names appear here only.

mod events;
mod exposition;
mod family;
mod flat;
mod instruments;
mod labels;
mod logging;
mod metrics;
mod process;
mod proxy_calls;
mod render;

pub use events::{
    ApiCommandFailed, ApiRequestUnreadable, ConnectionLimitReached, InsecureMode, Serving, Starting,
};
pub use exposition::CONTENT_TYPE as METRICS_CONTENT_TYPE;
pub use instruments::Timing;
pub use labels::{Action, ApiProtocol, BrokerMessage, Frame, Suppressed, Transport};
pub use logging::{LogError, LogGuard, LogSettings, init as init_logging};
pub use metrics::{Metrics, MetricsSettings, ShardMetrics};
pub use proxy_calls::{CallUnderway, ProxyCalls};
pub use render::Gauges;
