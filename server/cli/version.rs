//! `version`: which program this is.

use std::io::{self, Write};
use std::process::ExitCode;

/// The version of Centrifugo this server is compatible with.
const COMPATIBLE: &str = "6.9.1";

/// Prints name and version, and the version of Centrifugo it is compatible with.
///
/// # Errors
/// Only those of `out`.
///
/// Source: row CLI-1 of the compatibility list.
pub fn run(out: &mut impl Write) -> io::Result<ExitCode> {
    writeln!(out, "gyre v{} (compatible with Centrifugo v{COMPATIBLE})", crate::VERSION)?;
    Ok(ExitCode::SUCCESS)
}
