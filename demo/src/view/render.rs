//! Renders a snapshot onto the whole screen: a pure function of snapshot and shown minute.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Block, Borders, Paragraph, Sparkline};

use super::ShownMinute;
use super::numbers::grouped;
use super::table;
use crate::snapshot::{Minutes, PipelineFigures, Snapshot};
use yahtzee_runtime::utc;

const PIPELINE_HEIGHT: u16 = 5;
const CURVE_WIDTH: u16 = 22;

/// Minimum width at which the pipeline panel has a curve.
const LEAST_WIDTH_WITH_CURVE: u16 = 76;

const FOOTER: &str = " q quit   m other minute   * log lines were lost: lower bounds";

/// Draws `snapshot`; the table is of the minute `shown`.
pub(super) fn render(frame: &mut Frame<'_>, snapshot: &Snapshot, shown: ShownMinute) {
    let [header, apps, pipeline, footer] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Min(2),
        Constraint::Length(PIPELINE_HEIGHT),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    render_header(frame, header, snapshot, shown);
    render_apps(frame, apps, snapshot, shown);
    render_pipeline(frame, pipeline, snapshot);
    frame.render_widget(Line::from(FOOTER).style(Style::new().fg(Color::DarkGray)), footer);
}

fn render_header(frame: &mut Frame<'_>, area: Rect, snapshot: &Snapshot, shown: ShownMinute) {
    let minute = snapshot.minutes.map(|minutes| describe(minutes, shown)).unwrap_or_default();
    let text = format!(" yahtzee demo   {} s   {minute}", snapshot.elapsed.as_secs());
    frame.render_widget(Line::from(text).style(Style::new().add_modifier(Modifier::REVERSED)), area);
}

/// Returns the minute of the table in words.
fn describe(minutes: Minutes, shown: ShownMinute) -> String {
    match shown {
        ShownMinute::Running => {
            format!("minute {} UTC, so far (times in ms)", utc::hour_and_minute(minutes.running_start_ms))
        }
        ShownMinute::Previous => {
            format!(
                "previous minute, {} UTC (times in ms)",
                utc::hour_and_minute(minutes.previous_start_ms())
            )
        }
    }
}

fn render_apps(frame: &mut Frame<'_>, area: Rect, snapshot: &Snapshot, shown: ShownMinute) {
    if snapshot.apps.is_empty() {
        frame.render_widget(Paragraph::new("\n  waiting for the first summaries ..."), area);
        return;
    }
    // One line is the header.
    let rows = snapshot.apps.len().min(usize::from(area.height.saturating_sub(1)));
    frame.render_widget(table::table(&snapshot.apps[..rows], shown, area.width), area);
}

fn render_pipeline(frame: &mut Frame<'_>, area: Rect, snapshot: &Snapshot) {
    let block = Block::new().borders(Borders::TOP).title(" pipeline ");
    let inside = block.inner(area);
    frame.render_widget(block, area);
    let curve_width = if area.width < LEAST_WIDTH_WITH_CURVE { 0 } else { CURVE_WIDTH };
    let [text, curve] =
        Layout::horizontal([Constraint::Min(0), Constraint::Length(curve_width)]).areas(inside);
    frame.render_widget(Paragraph::new(pipeline_lines(&snapshot.pipeline, snapshot.apps.len())), text);
    let newest = snapshot.throughput.len().saturating_sub(curve.width.into());
    let sparkline =
        Sparkline::default().data(&snapshot.throughput[newest..]).style(Style::new().fg(Color::Green));
    frame.render_widget(sparkline, curve);
}

fn pipeline_lines(pipeline: &PipelineFigures, apps: usize) -> Vec<Line<'static>> {
    let commit = match pipeline.commit_age_s {
        Some(age_s) => format!("commit {age_s:.0} s ago"),
        None => "no commit yet".to_owned(),
    };
    let PipelineFigures { frames, lines, late, future, duplicates, poison, .. } = pipeline;
    vec![
        Line::from(format!(
            " {} measurements/s   {} frames   {} lines",
            grouped(pipeline.measurements_per_s.round() as u64),
            grouped(*frames),
            grouped(*lines)
        )),
        Line::from(format!(
            " {} late   {} future   {} duplicates   {} poison",
            grouped(*late),
            grouped(*future),
            grouped(*duplicates),
            grouped(*poison)
        )),
        Line::from(format!(
            " lag: {} unread, {} to replay   {commit}",
            grouped(pipeline.position_lag),
            grouped(pipeline.replay_lag)
        )),
        Line::from(format!(
            " {} summaries   {} commits   {apps} apps",
            grouped(pipeline.summaries),
            grouped(pipeline.commits)
        )),
    ]
}
