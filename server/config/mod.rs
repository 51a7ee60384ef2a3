//! Configuration: keys, defaults and documentation, declared once; where values come from; which values go
//! together. Knows nothing of the rooms that read it.
//!
//! A value comes from a flag, else the environment, else the file, else its default. Entry type: [`Config`], made
//! by [`Config::load`].

mod describe;
mod environment;
mod error;
mod load;
mod read;
pub mod reference;
mod samples;
pub mod sections;
pub mod setting;
mod unsupported;
mod validate;
mod values;

pub use describe::{Key, keys};
pub use error::{ConfigError, Warning};
pub use load::{Format, Loaded};
pub use samples::minimal;
pub use sections::*;
pub(crate) use validate::split_address;
pub use values::{Duration, Pem, PemError, Secret, StringMap};

#[cfg(test)]
mod tests;
