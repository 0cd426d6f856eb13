//! Starting the service: its address, and its way to the log.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use yahtzee_runtime::clock::wall_clock_us;
use yahtzee_runtime::health::Health;
use yahtzee_runtime::log::{Log, LogError};
use yahtzee_runtime::threads;
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
    /// Starts a service that writes to the raw topics of `layout`. Heartbeats are a task within the current runtime. `health` shows whether the log takes records, and accepts the stamps of this machine.
    ///
    /// # Errors
    /// If the log cannot be written to.
    pub async fn start(
        log: &dyn Log,
        layout: &TopicLayout,
        settings: Settings,
        tokens: TokenTable,
        heartbeats: Heartbeats,
        health: &Health,
    ) -> Result<Arc<Self>, LogError> {
        let topics = RawTopics::new(log.appender(settings.ack_budget)?, layout).with_health(health.clone());
        let ingress = Self::new(settings, tokens, Arc::new(topics), Box::new(wall_clock_us));
        if let Heartbeats::Until(stop) = heartbeats {
            let (health, ingress) = (health.clone(), Arc::downgrade(&ingress));
            tokio::spawn(async move {
                threads::watch("ingress-heartbeats", &health, &stop, write_heartbeats(ingress, &stop)).await;
            });
        }
        Ok(ingress)
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
