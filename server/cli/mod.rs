//! Commands of the program, one file each.
//!
//! A command takes its arguments, the configuration and a place to write to, so that it runs in tests.

pub mod check_sub_token;
pub mod check_token;
pub mod gen_sub_token;
pub mod gen_token;
