//! The only readers of time and chance. Everything else takes what it needs from here,
//! so that tests can replay a run.

mod clock;
mod random;

pub use clock::{Clock, Now, SystemClock, UnixMillis, VirtualClock};
pub use random::{random_epoch, random_id};
