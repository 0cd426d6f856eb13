//! Starting the service: its address, and its way to the log.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use yahtzee_runtime::clock::wall_clock_us;
use yahtzee_runtime::log::{Log, LogError};
use yahtzee_runtime::topics::TopicLayout;

use crate::log_writer::LogWriter;
use crate::owner::TokenTable;
use crate::service::Ingress;
use crate::settings::{Settings, SettingsError};

/// Deliveries between the HTTP service and the log; a full queue is answered with 503.
const QUEUE_DELIVERIES: usize = 1_024;

/// Whether every partition gets the present time now and then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heartbeats {
    /// Windows close where there is no traffic.
    On,
    /// For recordings, which keep their own time.
    Off,
}

/// Reasons why the drain address cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// It must not be used with these settings.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The system refuses it.
    #[error("cannot listen on {address}; set `ingress.listen`")]
    Address {
        /// The address.
        address: SocketAddr,
        /// Why it is refused.
        source: std::io::Error,
    },
}

impl Ingress {
    /// Starts a service that writes to the raw topics of `layout`, with a task that runs within the current runtime.
    ///
    /// # Errors
    /// If the log cannot be written to.
    pub async fn start(
        log: &dyn Log,
        layout: &TopicLayout,
        settings: Settings,
        tokens: TokenTable,
        heartbeats: Heartbeats,
    ) -> Result<Arc<Self>, LogError> {
        let appender = log.appender(settings.ack_budget)?;
        let (queue, deliveries) = mpsc::channel(QUEUE_DELIVERIES);
        let clock = (heartbeats == Heartbeats::On).then_some(wall_clock_us as fn() -> i64);
        tokio::spawn(LogWriter::new(appender, layout).run(deliveries, clock));
        Ok(Self::new(settings, tokens, queue, Box::new(wall_clock_us)))
    }
}

/// Binds the drain address, which must not be open to the world without credentials.
///
/// # Errors
/// If these settings forbid it, or the system refuses it.
pub async fn listen(settings: &Settings, address: SocketAddr) -> Result<TcpListener, ListenError> {
    settings.validate(address)?;
    TcpListener::bind(address).await.map_err(|source| ListenError::Address { address, source })
}
