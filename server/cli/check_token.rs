//! `checktoken`: verifies a connection token and shows what it says.

use crate::app::{namespaces, verifier_options};
use crate::auth::{ConnectToken, TokenVerifier, VerifierOptions, inspect};
use crate::channel::Namespaces;
use crate::config::Config;
use crate::seams::UnixMillis;
use std::io::{self, Write};
use std::process::ExitCode;

/// Arguments of `checktoken` and `checksubtoken`.
#[derive(Clone, Debug, clap::Args)]
pub struct CheckTokenArgs {
    /// Token to check
    pub token: Vec<String>,
}

/// Verifies one connection token as the server would.
///
/// # Errors
/// Only those of `out`. A token that is not valid is explained and ends the command with code 1.
///
/// Source: row CLI-10 of the compatibility list.
pub fn run(
    args: &CheckTokenArgs,
    config: &Config,
    now: UnixMillis,
    out: &mut impl Write,
) -> io::Result<ExitCode> {
    let options = verifier_options(&config.client.token, false);
    let outcome = check("checktoken", args, &options, config, async |verifier, token, namespaces| {
        let token: ConnectToken = verifier.verify_connect(token, now).await?;
        token.check_channels(namespaces)?;
        Ok(match token.user.as_str() {
            "" => "valid token for anonymous user".to_owned(),
            user => format!("valid token for user {user}"),
        })
    });
    report(outcome, out)
}

/// What is wrong, as a sentence.
pub(super) type Complaint = Box<dyn std::error::Error>;

/// Builds a verifier, lets `verify` judge the one token of `args`, and adds what the token says.
pub(super) fn check(
    command: &str,
    args: &CheckTokenArgs,
    options: &VerifierOptions,
    config: &Config,
    verify: impl AsyncFnOnce(&TokenVerifier, &str, &Namespaces) -> Result<String, crate::auth::TokenError>,
) -> Result<String, Complaint> {
    let [token] = args.token.as_slice() else {
        return Err(format!("provide token to check [gyre {command} <TOKEN>]").into());
    };
    let (algorithm, claims) = inspect(token)?;
    let namespaces = namespaces(config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let verifier = TokenVerifier::new(options, runtime.handle())?;
    match runtime.block_on(verify(&verifier, token, &namespaces)) {
        Ok(valid) => Ok(format!("{valid}\npayload: {claims}")),
        Err(error) => {
            Err(format!("token with algorithm {algorithm} and claims {claims} has error: {error}").into())
        }
    }
}

/// Writes the outcome of a check where upstream writes it.
pub(super) fn report(outcome: Result<String, Complaint>, out: &mut impl Write) -> io::Result<ExitCode> {
    match outcome {
        Ok(text) => writeln!(out, "{text}").map(|()| ExitCode::SUCCESS),
        Err(complaint) => writeln!(out, "error: {complaint}").map(|()| ExitCode::FAILURE),
    }
}
