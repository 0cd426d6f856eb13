//! The admin address: `/metrics`, `/healthz`, `/readyz`.

use std::fmt::Write as _;
use std::net::SocketAddr;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;

use crate::health::{Condition, Health};
use crate::shutdown::StopSignal;
use crate::telemetry::metric::MetricDefinition;

/// Installs the process's metrics recorder and registers the metrics of these lists with their help texts.
///
/// # Errors
/// If a recorder was installed before.
pub fn install_metrics(lists: &[&[MetricDefinition]]) -> Result<PrometheusHandle, String> {
    let recorder = PrometheusBuilder::new().install_recorder().map_err(|error| error.to_string())?;
    lists.iter().copied().flatten().for_each(MetricDefinition::describe);
    Ok(recorder)
}

#[derive(Clone)]
struct AdminState {
    metrics: PrometheusHandle,
    health: Health,
}

/// Binds the admin address.
///
/// # Errors
/// If the address cannot be listened on; the text names the setting.
pub async fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        let text =
            format!("cannot listen on admin address {address}: {error}; set `admin.listen`, empty for none");
        std::io::Error::new(error.kind(), text)
    })
}

/// Serves the admin address until `stop` is given.
///
/// # Errors
/// If the server fails.
pub async fn serve(
    listener: TcpListener,
    metrics: PrometheusHandle,
    health: Health,
    stop: StopSignal,
) -> std::io::Result<()> {
    tracing::info!(address = %listener.local_addr()?, "admin address: /metrics /healthz /readyz");
    let app = routes(metrics, health);
    axum::serve(listener, app).with_graceful_shutdown(async move { stop.stopped().await }).await
}

fn routes(metrics: PrometheusHandle, health: Health) -> Router {
    Router::new()
        .route("/metrics", get(render_metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .with_state(AdminState { metrics, health })
}

async fn render_metrics(State(admin): State<AdminState>) -> impl IntoResponse {
    admin.metrics.run_upkeep();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], admin.metrics.render())
}

async fn healthz(State(admin): State<AdminState>) -> impl IntoResponse {
    (status(admin.health.is_alive()), parts_text(&admin.health))
}

async fn readyz(State(admin): State<AdminState>) -> impl IntoResponse {
    (status(admin.health.is_ready()), parts_text(&admin.health))
}

fn status(is_well: bool) -> StatusCode {
    if is_well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

/// One line per part: its name, its state, and what else there is to know of it.
fn parts_text(health: &Health) -> String {
    let (mut text, remarks) = (String::new(), health.remarks());
    for (part, condition) in health.parts() {
        let state = match condition {
            Condition::Starting(what) => format!("starting: {what}"),
            Condition::Ready => "ready".to_owned(),
            Condition::Troubled(what) => format!("troubled: {what}"),
            Condition::Failed(what) => format!("failed: {what}"),
        };
        let remark = remarks.get(&part).map(|remark| format!(" ({remark})")).unwrap_or_default();
        writeln!(text, "{part}: {state}{remark}").expect("a String takes any text");
    }
    text
}
