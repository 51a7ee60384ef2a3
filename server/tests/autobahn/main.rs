//! The cases of the Autobahn test suite for WebSocket servers, with their published numbers.
//!
//! `cargo test -p gyre --test autobahn [filter]` runs `echo::<case>` against an echo server made of the codec
//! of the hot path, and `server::<case>` against the server itself where a case needs no echo. The suite's
//! waiting times are replaced by events: a pong proves that a connection is still open.
//!
//! `GYRE_AUTOBAHN_LISTEN=127.0.0.1:9001` serves echoes instead of running cases, for the original suite:
//! `wstest -m fuzzingclient`.

mod case;
mod cases;
mod client;
mod echo;
#[allow(dead_code, reason = "shared with the hostile tests, which look at more of a process")]
#[path = "../hostile/process.rs"]
mod process;

use case::Case;
use libtest_mimic::{Arguments, Trial};
use process::Process;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

fn main() -> ExitCode {
    if let Ok(address) = std::env::var("GYRE_AUTOBAHN_LISTEN") {
        return serve(&address);
    }
    let arguments = Arguments::from_args();
    let echo = echo::start("127.0.0.1:0").expect("an echo server");
    let server = Arc::new(Process::start(&serde_json::json!({
        "client": {"insecure": true},
        "websocket": {"message_size_limit": 1 << 20},
    })));
    let mut trials = Vec::new();
    for case in cases::all() {
        let case = Arc::new(case);
        if case.needs_no_echo() {
            let address = server.address();
            trials.push(trial("server", "/connection/websocket", &case, address));
        }
        trials.push(trial("echo", "/", &case, echo));
    }
    // The process is stopped by its owner, which lives until all trials are done.
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(target: &str, path: &'static str, case: &Arc<Case>, address: SocketAddr) -> Trial {
    let case = case.clone();
    Trial::test(format!("{target}::case_{}", case.id.replace('.', "_")), move || {
        Ok(client::run(&case, address, path)?)
    })
}

fn serve(address: &str) -> ExitCode {
    match echo::start(address) {
        Ok(address) => {
            println!("echo server on {address}");
            loop {
                std::thread::park();
            }
        }
        Err(error) => {
            eprintln!("listen on {address}: {error}");
            ExitCode::FAILURE
        }
    }
}
