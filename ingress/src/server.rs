//! Connections: accepted up to a limit, kept while idle, ended in order.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::handler::router;
use crate::service::Ingress;

/// Pause after a failed accept, which usually means that there are no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Memory for what a connection has read and nobody has taken yet; the head of a request must fit. hyper would let it grow to 400 KB and
/// keep that as long as the connection is open.
const CONNECTION_BYTES_MAX: usize = 32 << 10;

/// Serves drains on `listener` until `shutdown`, then ends open requests within the configured time.
///
/// Requests that are still open are answered as usual, but their connections are closed.
///
/// # Errors
/// If the listener has no address.
pub async fn serve(
    listener: TcpListener,
    ingress: Arc<Ingress>,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let address = listener.local_addr()?;
    tracing::info!(target: "yahtzee::ingress", %address, "listening for drains");
    let service = TowerToHyperService::new(router(Arc::clone(&ingress)));
    let slots = Arc::new(Semaphore::new(ingress.settings.max_connections));
    let connections = GracefulShutdown::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &slots) => accepted,
            () = &mut shutdown => break,
        };
        let Some((stream, slot)) = accepted else { continue };
        let mut protocol = http1::Builder::new();
        protocol
            .timer(TokioTimer::new())
            .header_read_timeout(ingress.settings.idle_timeout)
            .max_buf_size(CONNECTION_BYTES_MAX);
        let connection = connections.watch(protocol.serve_connection(TokioIo::new(stream), service.clone()));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(target: "yahtzee::ingress", %error, "connection ended");
            }
            drop(slot);
        });
    }
    drop(listener);
    ingress.begin_shutdown();
    if tokio::time::timeout(ingress.settings.shutdown_budget, connections.shutdown()).await.is_err() {
        tracing::warn!(target: "yahtzee::ingress", "requests were still open at the end of the shutdown");
    }
    Ok(())
}

/// Waits for a free slot and a connection; `None` if accepting failed.
async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.expect("the semaphore is never closed");
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, slot)),
        Err(error) => {
            tracing::warn!(target: "yahtzee::ingress", %error, "accepting a connection failed");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}
