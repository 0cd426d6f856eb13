//! Events in the life of a dyno: state changes, exits, reports of memory, restarts.

use yahtzee_pipeline_proto::raw::{DynoEvent, DynoEventKind, DynoState};

use super::class::LineClass;
use super::context::CommonFields;
use super::values::{integer, memory_bytes, permille};

/// The greatest exit status of a process.
const MAX_EXIT_STATUS: u64 = 255;

/// Reads a line about a dyno that is neither a sample nor an error: its class, and its event.
pub(super) fn read(text: &[u8], common: CommonFields<'_>) -> (LineClass, Option<DynoEvent>) {
    let of_kind = |kind| of_kind(kind, common);
    let text = text.trim_ascii_end();
    if let Some(states) = text.strip_prefix(b"State changed from ") {
        (LineClass::DynoState, state_change(states, of_kind(DynoEventKind::StateChanged)))
    } else if let Some(status) = number_after(text, b"Process exited with status ") {
        (LineClass::DynoExit, Some(exit(status, of_kind(DynoEventKind::Exited))))
    } else if let Some(report) = number_after(text, b"Process running mem=") {
        (LineClass::DynoMemReport, Some(memory_report(report, of_kind(DynoEventKind::MemoryReported))))
    } else {
        (LineClass::DynoOther, life_cycle(text).map(of_kind))
    }
}

fn of_kind(kind: DynoEventKind, common: CommonFields<'_>) -> DynoEvent {
    let CommonFields { time_us, process_type, dyno_num, frame_index, flags } = common;
    let (process_type, kind) = (process_type.to_owned(), kind.into());
    DynoEvent { time_us, process_type, dyno_num, frame_index, flags, kind, ..DynoEvent::default() }
}

/// Returns the text after `prefix`, if that begins with a digit.
fn number_after<'a>(text: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    text.strip_prefix(prefix).filter(|rest| rest.first().is_some_and(u8::is_ascii_digit))
}

/// Reads `starting to up`.
fn state_change(states: &[u8], event: DynoEvent) -> Option<DynoEvent> {
    const TO: &[u8] = b" to ";
    let at = states.windows(TO.len()).position(|window| window == TO)?;
    let [from, to] = [&states[..at], &states[at + TO.len()..]].map(|name| Some(state(name).into()));
    Some(DynoEvent { from, to, ..event })
}

fn state(name: &[u8]) -> DynoState {
    match name {
        b"provisioning" => DynoState::Provisioning,
        b"starting" => DynoState::Starting,
        b"up" => DynoState::Up,
        b"down" => DynoState::Down,
        b"crashed" => DynoState::Crashed,
        b"complete" => DynoState::Complete,
        _ => DynoState::Other,
    }
}

fn exit(status: &[u8], event: DynoEvent) -> DynoEvent {
    let status = integer(status).filter(|&status| status <= MAX_EXIT_STATUS);
    let exit_status = status.and_then(|status| u32::try_from(status).ok());
    DynoEvent { exit_status, ..event }
}

/// Reads `590M(115.2%)`; the documentation writes `MB`.
fn memory_report(report: &[u8], event: DynoEvent) -> DynoEvent {
    let end = report.iter().position(|&byte| byte == b'(').unwrap_or(report.len());
    let (memory, quota) = report.split_at(end);
    let quota = quota.strip_prefix(b"(").and_then(|quota| quota.strip_suffix(b"%)"));
    DynoEvent {
        memory_bytes: [&b"MB"[..], b"M"]
            .iter()
            .find_map(|unit| memory.strip_suffix(*unit))
            .and_then(memory_bytes),
        memory_quota_permille: quota.and_then(permille),
        ..event
    }
}

fn life_cycle(text: &[u8]) -> Option<DynoEventKind> {
    match text {
        b"Restarting" => Some(DynoEventKind::Restarting),
        b"Cycling" => Some(DynoEventKind::Cycling),
        b"Idling" => Some(DynoEventKind::Idling),
        b"Unidling" => Some(DynoEventKind::Unidling),
        _ if text.starts_with(b"Starting process with command ") => Some(DynoEventKind::Starting),
        _ if !text.starts_with(b"Stopping ") => None,
        _ if text.ends_with(b" with SIGTERM") => Some(DynoEventKind::Stopping),
        _ if text.ends_with(b" with SIGKILL") => Some(DynoEventKind::Killing),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event(text: &str) -> Option<DynoEvent> {
        read(text.as_bytes(), CommonFields::default()).1
    }

    #[test]
    fn state_changes_name_both_states() {
        fn check(text: &str, expected: Option<(DynoState, DynoState)>) {
            let (class, event) = read(text.as_bytes(), CommonFields::default());
            assert_eq!(class, LineClass::DynoState, "{text}");
            assert_eq!(event.map(|event| (event.from(), event.to())), expected, "{text}");
        }
        check("State changed from starting to up\n", Some((DynoState::Starting, DynoState::Up)));
        check("State changed from up to crashed", Some((DynoState::Up, DynoState::Crashed)));
        check("State changed from up to exploded", Some((DynoState::Up, DynoState::Other)));
        check("State changed from up", None);
    }

    #[test]
    fn exits_have_a_status_where_it_can_be_one() {
        fn check(text: &str, expected: Option<u32>) {
            let event = event(text).unwrap();
            assert_eq!((event.kind(), event.exit_status), (DynoEventKind::Exited, expected), "{text}");
        }
        check("Process exited with status 0\n", Some(0));
        check("Process exited with status 255", Some(255));
        check("Process exited with status 256", None);
        check("Process exited with status 1x", None);
        assert_eq!(event("Process exited\n"), None);
    }

    #[test]
    fn memory_reports_in_both_spellings() {
        fn check(text: &str, expected_mebibytes: Option<u64>, expected_permille: Option<u32>) {
            let (class, event) = read(text.as_bytes(), CommonFields::default());
            let event = event.unwrap();
            assert_eq!((class, event.kind()), (LineClass::DynoMemReport, DynoEventKind::MemoryReported));
            assert_eq!(event.memory_bytes, expected_mebibytes.map(|mebibytes| mebibytes << 20), "{text}");
            assert_eq!(event.memory_quota_permille, expected_permille, "{text}");
        }
        check("Process running mem=590M(115.2%)\n", Some(590), Some(1_152));
        check("Process running mem=1028MB(103.3%)", Some(1_028), Some(1_033));
        check("Process running mem=590M", Some(590), None);
        check("Process running mem=5G(1e3%)", None, None);
    }

    #[test]
    fn steps_of_the_life_cycle() {
        fn check(text: &str, expected: Option<DynoEventKind>) {
            let (class, event) = read(text.as_bytes(), CommonFields::default());
            assert_eq!((class, event.map(|event| event.kind())), (LineClass::DynoOther, expected), "{text}");
        }
        check("Restarting\n", Some(DynoEventKind::Restarting));
        check("Cycling", Some(DynoEventKind::Cycling));
        check("Idling", Some(DynoEventKind::Idling));
        check("Unidling", Some(DynoEventKind::Unidling));
        check("Starting process with command `bin/web`", Some(DynoEventKind::Starting));
        check("Stopping all processes with SIGTERM", Some(DynoEventKind::Stopping));
        check("Stopping remaining processes with SIGKILL", Some(DynoEventKind::Killing));
        for text in ["", "Restarting soon", "Stopping", "Process exited", "Error R"] {
            check(text, None);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(
            prefix in "(State changed from |Process exited with status 1|Process running mem=1|Stopping )?",
            text in proptest::collection::vec(any::<u8>(), 0..60),
        ) {
            let _ = read(&[prefix.as_bytes(), &text].concat(), CommonFields::default());
        }
    }
}
