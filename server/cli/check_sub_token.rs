//! `checksubtoken`: verifies a subscription token and shows what it says.

use super::check_token::{CheckTokenArgs, check, report};
use super::gen_token::Named;
use crate::app::verifier_options;
use crate::auth::VerifierOptions;
use crate::config::Config;
use crate::seams::UnixMillis;
use std::io::{self, Write};
use std::process::ExitCode;

/// Verifies one subscription token as the server would, its channel included.
///
/// # Errors
/// Only those of `out`. A token that is not valid is explained and ends the command with code 1.
///
/// Source: row CLI-11 of the compatibility list.
pub fn run(
    args: &CheckTokenArgs,
    config: &Config,
    now: UnixMillis,
    out: &mut impl Write,
) -> io::Result<ExitCode> {
    let (_, options) = subscription_options(config);
    let outcome = check("checksubtoken", args, &options, config, async |verifier, token, namespaces| {
        let token = verifier.verify_subscribe(token, now).await?;
        token.check_channel(namespaces)?;
        Ok(format!("valid subscription token for {} and channel \"{}\"", Named(&token.user), token.channel))
    });
    report(outcome, out)
}

/// How subscription tokens are verified, and the section of the configuration that says so.
pub(super) fn subscription_options(config: &Config) -> (&'static str, VerifierOptions) {
    let own = &config.client.subscription_token;
    if own.enabled {
        ("client.subscription_token", verifier_options(&own.token, false))
    } else {
        ("client.token", verifier_options(&config.client.token, false))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{check_token, gen_sub_token, gen_token};
    use super::*;
    use gen_sub_token::GenSubTokenArgs;
    use gen_token::{GenTokenArgs, TokenOutput};

    const NOW: UnixMillis = UnixMillis(1_795_484_705_000);

    fn config(json: &str) -> Config {
        Config::from_value(serde_json::from_str(json).unwrap()).unwrap().config
    }

    fn output(ttl: i64, quiet: bool) -> TokenOutput {
        TokenOutput { ttl, quiet }
    }

    fn text(run: impl FnOnce(&mut Vec<u8>) -> io::Result<ExitCode>) -> (String, bool) {
        let mut out = Vec::new();
        let code = run(&mut out).unwrap();
        (String::from_utf8(out).unwrap(), code == ExitCode::SUCCESS)
    }

    fn gen_connection(config: &Config, user: &str, output: TokenOutput) -> (String, bool) {
        let args = GenTokenArgs { user: user.to_owned(), output };
        text(|out| gen_token::run(&args, config, NOW, out))
    }

    fn gen_subscription(config: &Config, user: &str, channel: &str, output: TokenOutput) -> (String, bool) {
        let args = GenSubTokenArgs { user: user.to_owned(), channel: channel.to_owned(), output };
        text(|out| gen_sub_token::run(&args, config, NOW, out))
    }

    fn check_connection(config: &Config, tokens: &[&str]) -> (String, bool) {
        let args = CheckTokenArgs { token: tokens.iter().map(|token| token.to_string()).collect() };
        text(|out| check_token::run(&args, config, NOW, out))
    }

    fn check_subscription(config: &Config, tokens: &[&str]) -> (String, bool) {
        let args = CheckTokenArgs { token: tokens.iter().map(|token| token.to_string()).collect() };
        text(|out| run(&args, config, NOW, out))
    }

    fn sample() -> Config {
        config(
            r#"{"client":{"token":{"hmac_secret_key":"correct horse battery staple"}},"channel":{"namespaces":[{"name":"ns"}]}}"#,
        )
    }

    #[test]
    fn output_is_what_upstream_writes() {
        let (written, success) = gen_connection(&sample(), "42", output(604_800, false));
        assert!(success);
        let (head, token) = written.split_once('\n').unwrap();
        assert_eq!(head, "HMAC SHA-256 JWT for user \"42\" with expiration TTL 168h0m0s:");
        assert_eq!(
            token,
            "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiI0MiIsImV4cCI6MTc5NjA4OTUwNSwiaWF0IjoxNzk1NDg0NzA1fQ.\
             payrrb0HxkKsJRGJCraI3iyn6qCCy6vtPSV-FF-tSlY\n"
        );
        let checked = check_connection(&sample(), &[token.trim()]);
        let expected =
            "valid token for user 42\npayload: {\"sub\":\"42\",\"exp\":1796089505,\"iat\":1795484705}\n";
        assert_eq!(checked, (expected.to_owned(), true));

        let anonymous = gen_connection(&sample(), "", output(-1, false)).0;
        assert!(anonymous.starts_with("HMAC SHA-256 JWT for anonymous user without expiration:\n"));
        let (quiet, _) = gen_connection(&sample(), "", output(0, true));
        let checked = check_connection(&sample(), &[&quiet]);
        let expected = "valid token for anonymous user\npayload: {\"iat\":1795484705}\n";
        assert_eq!(checked, (expected.to_owned(), true));
    }

    #[test]
    fn subscription_tokens_are_made_and_checked() {
        let (written, _) = gen_subscription(&sample(), "42", "ns:a", output(604_800, false));
        let (head, token) = written.split_once('\n').unwrap();
        assert_eq!(
            head,
            "HMAC SHA-256 JWT for user \"42\" and channel \"ns:a\" with expiration TTL 168h0m0s:"
        );
        let (checked, success) = check_subscription(&sample(), &[token.trim()]);
        assert!(success);
        assert_eq!(
            checked,
            "valid subscription token for user \"42\" and channel \"ns:a\"\n\
             payload: {\"sub\":\"42\",\"exp\":1796089505,\"iat\":1795484705,\"channel\":\"ns:a\"}\n"
        );
        assert!(!check_connection(&sample(), &[token.trim()]).1);
        let (foreign, _) = gen_subscription(&sample(), "", "other:a", output(-1, true));
        let (complaint, success) = check_subscription(&sample(), &[&foreign]);
        assert!(!success && complaint.contains("no configured namespace"), "{complaint}");
        let required = ("channel is required\n".to_owned(), false);
        assert_eq!(gen_subscription(&sample(), "42", "", output(1, false)), required);
    }

    #[test]
    fn subscription_tokens_may_have_keys_of_their_own() {
        let config = config(
            r#"{"client":{"token":{"hmac_secret_key":"a","user_id_claim":"uid"},
                "subscription_token":{"enabled":true,"hmac_secret_key":"b"}}}"#,
        );
        let (token, _) = gen_subscription(&config, "42", "a", output(-1, true));
        assert!(check_subscription(&config, &[&token]).1);
        let (token, _) = gen_connection(&config, "42", output(-1, true));
        let (checked, _) = check_connection(&config, &[&token]);
        let expected =
            "valid token for user 42\npayload: {\"sub\":\"42\",\"iat\":1795484705,\"uid\":\"42\"}\n";
        assert_eq!(checked, expected);
        let (complaint, success) = check_subscription(&config, &[&token]);
        assert!(!success && complaint.contains("signature does not match"), "{complaint}");
    }

    #[test]
    fn what_cannot_be_done_is_said_with_code_1() {
        let none = config("{}");
        let (complaint, success) = gen_connection(&none, "42", output(1, false));
        assert!(!success && complaint.contains("client.token.hmac_secret_key"), "{complaint}");
        let (complaint, success) = gen_subscription(&none, "42", "a", output(1, false));
        assert!(!success && complaint.contains("client.token.hmac_secret_key"), "{complaint}");
        for tokens in [&[][..], &["a", "b"]] {
            let (complaint, success) = check_connection(&sample(), tokens);
            assert_eq!(
                (complaint.as_str(), success),
                ("error: provide token to check [gyre checktoken <TOKEN>]\n", false)
            );
        }
        let (complaint, success) = check_connection(&sample(), &["abc"]);
        assert!(!success && complaint.starts_with("error: "), "{complaint}");
        let expired = "eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjF9.AAAA";
        let (complaint, _) = check_connection(&sample(), &[expired]);
        assert_eq!(
            complaint,
            "error: token with algorithm HS256 and claims {\"exp\":1} has error: invalid token: signature does not match\n"
        );
    }
}
