//! `gentoken`: makes a connection token to try things with.

use crate::app::verifier_options;
use crate::auth::{NewToken, issue};
use crate::config::Config;
use crate::seams::UnixMillis;
use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

/// Arguments of `gentoken`.
#[derive(Clone, Debug, clap::Args)]
pub struct GenTokenArgs {
    /// User, anonymous by default
    #[arg(short, long, default_value = "")]
    pub user: String,
    #[command(flatten)]
    pub output: TokenOutput,
}

/// Arguments that commands which make tokens share.
#[derive(Clone, Debug, clap::Args)]
pub struct TokenOutput {
    /// Seconds until the token expires, -1 for a token that does not
    #[arg(short, long, default_value_t = 7 * 24 * 3600, allow_negative_numbers = true)]
    pub ttl: i64,
    /// Write the token and nothing else
    #[arg(short, long)]
    pub quiet: bool,
}

/// Writes a connection token signed with `client.token.hmac_secret_key`.
///
/// # Errors
/// Only those of `out`. Without a secret the command says so and ends with code 1.
///
/// Source: row CLI-8 of the compatibility list.
pub fn run(
    args: &GenTokenArgs,
    config: &Config,
    now: UnixMillis,
    out: &mut impl Write,
) -> io::Result<ExitCode> {
    let options = verifier_options(&config.client.token, false);
    if options.hmac_secret_key.is_empty() {
        writeln!(
            out,
            "error: tokens are made with HMAC, but client.token.hmac_secret_key is not set; tokens for other keys are made where the private key is"
        )?;
        return Ok(ExitCode::FAILURE);
    }
    let token = NewToken {
        user: &args.user,
        user_claim: &options.user_id_claim,
        channel: None,
        ttl: args.output.ttl,
    };
    let token = issue(&token, &options.hmac_secret_key, now);
    args.output.write(format_args!("{}", Named(&args.user)), &token, out)
}

impl TokenOutput {
    /// Writes a token with a line about whom it is for, or alone.
    pub(super) fn write(
        &self,
        owner: fmt::Arguments<'_>,
        token: &str,
        out: &mut impl Write,
    ) -> io::Result<ExitCode> {
        if self.quiet {
            write!(out, "{token}")?;
        } else {
            writeln!(out, "HMAC SHA-256 JWT for {owner} {}:\n{token}", Expiry(self.ttl))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A user in a sentence.
pub(super) struct Named<'u>(pub &'u str);

impl fmt::Display for Named<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            formatter.write_str("anonymous user")
        } else {
            write!(formatter, "user \"{}\"", self.0)
        }
    }
}

/// A lifetime in seconds in a sentence. Zero is written as one although such a token does not expire.
struct Expiry(i64);

impl fmt::Display for Expiry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hours, minutes, seconds) = (self.0 / 3600, self.0 / 60 % 60, self.0 % 60);
        match self.0 {
            ..0 => formatter.write_str("without expiration"),
            0..60 => write!(formatter, "with expiration TTL {seconds}s"),
            60..3600 => write!(formatter, "with expiration TTL {minutes}m{seconds}s"),
            _ => write!(formatter, "with expiration TTL {hours}h{minutes}m{seconds}s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_are_written_as_upstream_writes_them() {
        for (seconds, expected) in [
            (604_800, "with expiration TTL 168h0m0s"),
            (3661, "with expiration TTL 1h1m1s"),
            (90, "with expiration TTL 1m30s"),
            (60, "with expiration TTL 1m0s"),
            (59, "with expiration TTL 59s"),
            (0, "with expiration TTL 0s"),
            (-1, "without expiration"),
        ] {
            assert_eq!(Expiry(seconds).to_string(), expected);
        }
    }
}
