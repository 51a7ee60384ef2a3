//! `serve`: serves the files of a directory, to try web pages with.

use super::local_server::{runtime, serve};
use axum::Router;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::net::TcpListener;
use tower_http::services::ServeDir;

/// Arguments of `serve`.
#[derive(Clone, Debug, clap::Args)]
pub struct ServeArgs {
    /// Directory to serve
    #[arg(short, long, default_value = "./")]
    pub dir: PathBuf,
    /// Port to listen on
    #[arg(short, long, default_value_t = 3000)]
    pub port: u16,
    /// Address to listen on, all interfaces by default
    #[arg(short, long, default_value = "")]
    pub address: String,
}

/// Serves until interrupted.
///
/// # Errors
/// Those of `out`, and those of the port.
///
/// Source: row CLI-7 of the compatibility list.
pub fn run(args: &ServeArgs, out: &mut impl Write) -> io::Result<ExitCode> {
    runtime()?.block_on(async {
        let address = if args.address.is_empty() { "0.0.0.0" } else { args.address.as_str() };
        let listener = TcpListener::bind((address, args.port)).await?;
        writeln!(out, "serving {} on http://{}", args.dir.display(), listener.local_addr()?)?;
        out.flush()?;
        serve(listener, files(args)).await
    })?;
    Ok(ExitCode::SUCCESS)
}

fn files(args: &ServeArgs) -> Router {
    Router::new().fallback_service(ServeDir::new(&args.dir))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use http::{Request, StatusCode};
    use tower::ServiceExt as _;

    #[tokio::test]
    async fn files_of_the_directory_are_served_and_no_others() {
        let outer = tempfile::tempdir().expect("temporary directory");
        let dir = outer.path().join("site");
        std::fs::create_dir(&dir).expect("directory made");
        std::fs::write(dir.join("index.html"), "<p>hello").expect("file written");
        std::fs::write(outer.path().join("secret"), "no").expect("file written");
        let args = ServeArgs { dir, port: 0, address: String::new() };
        for (path, expected) in [
            ("/", StatusCode::OK),
            ("/index.html", StatusCode::OK),
            ("/none", StatusCode::NOT_FOUND),
            ("/../secret", StatusCode::NOT_FOUND),
            ("/%2e%2e/secret", StatusCode::NOT_FOUND),
        ] {
            let request = Request::get(path).body(Body::empty()).expect("request");
            let response = files(&args).oneshot(request).await.expect("served");
            assert_eq!(response.status(), expected, "{path}");
        }
    }
}
