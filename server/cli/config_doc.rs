//! `configdoc`: shows what there is to configure.

use super::local_server::{runtime, serve};
use crate::config::reference;
use axum::Router;
use axum::response::Html;
use axum::routing::get;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::process::ExitCode;
use tokio::net::TcpListener;

/// Arguments of `configdoc`.
#[derive(Clone, Debug, clap::Args)]
pub struct ConfigDocArgs {
    /// Print Markdown instead of serving a page
    #[arg(short, long)]
    pub markdown: bool,
    /// Only keys whose path starts with this
    #[arg(short, long, default_value = "")]
    pub section: String,
    /// Levels added to headings
    #[arg(short = 'l', long, default_value_t = 0)]
    pub base_level: usize,
    /// Port of the page, on this machine only
    #[arg(short, long, default_value_t = 6060)]
    pub port: u16,
}

/// Prints the reference, or serves it until interrupted.
///
/// # Errors
/// Those of `out`, and those of the port.
///
/// Source: row CLI-6 of the compatibility list.
pub fn run(args: &ConfigDocArgs, out: &mut impl Write) -> io::Result<ExitCode> {
    if args.markdown {
        out.write_all(reference::markdown(&args.section, args.base_level).as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    let page = Html(reference::html(&args.section));
    let router = Router::new().route("/", get(async || page));
    runtime()?.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, args.port)).await?;
        writeln!(out, "configuration reference on http://{}", listener.local_addr()?)?;
        out.flush()?;
        serve(listener, router).await
    })?;
    Ok(ExitCode::SUCCESS)
}
