//! `gensubtoken`: makes a subscription token to try things with.

use super::check_sub_token::subscription_options;
use super::gen_token::{Named, TokenOutput};
use crate::auth::{NewToken, issue};
use crate::config::Config;
use crate::seams::UnixMillis;
use std::io::{self, Write};
use std::process::ExitCode;

/// Arguments of `gensubtoken`.
#[derive(Clone, Debug, clap::Args)]
pub struct GenSubTokenArgs {
    /// User, anonymous by default
    #[arg(short, long, default_value = "")]
    pub user: String,
    /// Channel the token is for
    #[arg(short = 's', long, default_value = "")]
    pub channel: String,
    #[command(flatten)]
    pub output: TokenOutput,
}

/// Writes a subscription token, signed with the secret that subscription tokens are verified with.
///
/// # Errors
/// Only those of `out`. Without a channel or a secret the command says so and ends with code 1.
///
/// Source: row CLI-9 of the compatibility list.
pub fn run(
    args: &GenSubTokenArgs,
    config: &Config,
    now: UnixMillis,
    out: &mut impl Write,
) -> io::Result<ExitCode> {
    if args.channel.is_empty() {
        writeln!(out, "channel is required")?;
        return Ok(ExitCode::FAILURE);
    }
    let (section, options) = subscription_options(config);
    if options.hmac_secret_key.is_empty() {
        writeln!(
            out,
            "error: tokens are made with HMAC, but {section}.hmac_secret_key is not set; tokens for other keys are made where the private key is"
        )?;
        return Ok(ExitCode::FAILURE);
    }
    let token = NewToken {
        user: &args.user,
        user_claim: &options.user_id_claim,
        channel: Some(&args.channel),
        ttl: args.output.ttl,
    };
    let token = issue(&token, &options.hmac_secret_key, now);
    args.output.write(format_args!("{} and channel \"{}\"", Named(&args.user), args.channel), &token, out)
}
