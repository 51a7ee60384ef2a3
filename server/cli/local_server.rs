//! A small HTTP server for commands that show something in a browser.

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use std::io;
use tokio::net::TcpListener;

/// Serves until the process is interrupted.
pub(super) async fn serve(listener: TcpListener, router: Router) -> io::Result<()> {
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted?.0,
            signal = &mut interrupted => return signal,
        };
        let service = TowerToHyperService::new(router.clone());
        // A connection ends by itself or with the process; how is of no interest here.
        tokio::spawn(async move {
            let _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// A runtime for one command.
pub(super) fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}
