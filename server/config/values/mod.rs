//! The types a single value can have, each with its notation in files and in environment variables.

mod duration;
mod pem;
mod plain;
mod secret;
mod string_map;

pub use duration::Duration;
pub use pem::{Pem, PemError};
pub use secret::Secret;
pub use string_map::StringMap;

/// Makes a leaf usable as a field.
macro_rules! leaf_setting {
    ($($ty:ty),+) => {$(
        impl $crate::config::setting::Setting for $ty {
            fn preset(default: &'static str) -> Self {
                let mut value = <$ty>::default();
                if !default.is_empty()
                    && let Err(reason) = $crate::config::setting::Leaf::read_text(&mut value, default)
                {
                    unreachable!("declared default {default:?}: {reason}");
                }
                value
            }
            fn node(&mut self) -> $crate::config::setting::Node<'_> {
                $crate::config::setting::Node::Leaf(self)
            }
            fn show(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                $crate::config::setting::Leaf::show(self, f)
            }
        }
    )+};
}
use leaf_setting;
