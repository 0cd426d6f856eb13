//! Starting the service: its address, and its way to the log.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use yahtzee_runtime::clock::wall_clock_us;
use yahtzee_runtime::log::{Log, LogError};
use yahtzee_runtime::topics::TopicLayout;

use crate::heartbeats::{Heartbeats, write_heartbeats};
use crate::raw_topics::RawTopics;
use crate::service::Ingress;
use crate::settings::{IngressSettingsError, Settings};
use crate::token_table::TokenTable;

/// Reasons why the drain address cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// It must not be used with these settings.
    #[error(transparent)]
    Settings(#[from] IngressSettingsError),
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
    /// Starts a service that writes to the raw topics of `layout`. Heartbeats are a task within the current runtime.
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
        let topics = Arc::new(RawTopics::new(log.appender(settings.ack_budget)?, layout));
        if heartbeats == Heartbeats::On {
            tokio::spawn(write_heartbeats(Arc::downgrade(&topics), wall_clock_us));
        }
        Ok(Self::new(settings, tokens, topics, Box::new(wall_clock_us)))
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
