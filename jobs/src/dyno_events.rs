//! EventCounts of dynos, per app and process type: state changes, exits by status, reports of memory, restarts.

use yahtzee::prelude::*;
use yahtzee_pipeline_proto::raw::{DynoEventKind, DynoState};
use yahtzee_pipeline_proto::{RawMeasurement, RecordOf, raw, summary};

use crate::{figures, policy, wire};

/// Reads the measurements of [`raw::DynoEvent`].
#[derive(Clone, Copy, Debug)]
pub struct DynoEvents;

accumulator! {
    /// One process type of one app in one window.
    pub struct EventCounts {
        by_kind: Counts,
        by_state_entered: Counts,
        by_exit_status: Counts,
        memory_bytes: Moments,
        memory_quota_permille: Moments,
    }
}

impl Job for DynoEvents {
    const NAME: &'static str = "dyno-events";
    const MEASUREMENT: &'static str = raw::DynoEvent::TYPE;
    const GENERATION: u32 = 1;
    const DIMENSIONS: &'static [&'static str] = &["process_type"];
    type Record<'a> = RecordOf<raw::DynoEvent>;
    type Accumulator = EventCounts;
    type Summary = summary::DynoEvents;

    fn fold(&self, record: &Self::Record<'_>, intake: &mut Intake<'_, Self>) {
        for event in &record.measurements {
            intake.add(event.time_us, [&event.process_type], |events| events.fold(event));
        }
    }

    fn summarize(&self, events: &EventCounts) -> summary::DynoEvents {
        summary::DynoEvents {
            by_kind: events.by_kind.iter().collect(),
            by_state_entered: events.by_state_entered.iter().collect(),
            by_exit_status: events.by_exit_status.iter().collect(),
            memory_bytes: wire::moments(&events.memory_bytes),
            memory_quota_permille: wire::moments(&events.memory_quota_permille),
        }
    }

    /// Returns counts by kind (`restarting`), by state entered (`entered_up`) and by exit status (`exit_status_137`); `crashes`
    /// always.
    fn figures(summary: &summary::DynoEvents) -> Figures {
        let crashes = summary.by_state_entered.get(&(DynoState::Crashed as u32)).copied().unwrap_or(0);
        let mut figures = Figures::from([("crashes".to_owned(), crashes as f64)]);
        for (&kind, &count) in &summary.by_kind {
            *figures.entry(kind_name(kind)).or_default() += count as f64;
        }
        for (&state, &count) in &summary.by_state_entered {
            *figures.entry(format!("entered_{}", state_name(state))).or_default() += count as f64;
        }
        for (status, &count) in &summary.by_exit_status {
            figures.insert(format!("exit_status_{}", figures::key(*status)), count as f64);
        }
        figures::moments("memory_bytes", summary.memory_bytes.as_ref(), &mut figures);
        if let Some(quota) = &summary.memory_quota_permille {
            figures.insert("memory_quota_percent_max".to_owned(), quota.max as f64 / 10.0);
        }
        figures
    }

    fn policy(&self) -> Policy {
        policy::of_rare_measurements()
    }
}

impl EventCounts {
    fn fold(&mut self, event: &raw::DynoEvent) {
        self.by_kind.add(event.kind() as u32, 1);
        if event.to.is_some() {
            self.by_state_entered.add(event.to() as u32, 1);
        }
        if let Some(status) = event.exit_status {
            self.by_exit_status.add(status, 1);
        }
        wire::record(&mut self.memory_bytes, event.memory_bytes);
        wire::record(&mut self.memory_quota_permille, event.memory_quota_permille.map(u64::from));
    }
}

/// Returns the name of a kind, as in `restarting`; one that this build does not know is `unknown`.
fn kind_name(kind: u32) -> String {
    let name = DynoEventKind::try_from(kind.cast_signed()).unwrap_or_default().as_str_name();
    name.trim_start_matches("DYNO_EVENT_KIND_").to_ascii_lowercase()
}

/// Returns the name of a state, as in `crashed`; one that this build does not know is `other`.
fn state_name(state: u32) -> String {
    let name = DynoState::try_from(state.cast_signed()).unwrap_or_default().as_str_name();
    name.trim_start_matches("DYNO_STATE_").to_ascii_lowercase()
}
