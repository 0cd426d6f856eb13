//! The log in a folder: the common properties, and those of a folder: locks, kills, full disks, deletion.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;
use yahtzee_core::owner::Partition;
use yahtzee_core::record::Offset;
use yahtzee_runtime::log::embedded::{EmbeddedLog, Maintained};
use yahtzee_runtime::log::{
    Cleanup, Isolation, Item, Log, LogError, LogReader, NewRecord, SharedLog, SlotName, TopicSpec,
};

use crate::conformance::Bench;
use crate::conformance::support::{
    NOON_MS, Seen, append, append_values, at, committed, read_all, read_until, reader, record, spec, write,
};

mod conforms {
    use super::EmbeddedBench;

    crate::conformance::each_property!(EmbeddedBench::new());
}

/// A folder of its own for each test.
struct EmbeddedBench {
    folder: TempDir,
    log: Mutex<Option<SharedLog>>,
    names: AtomicU32,
}

impl EmbeddedBench {
    fn new() -> Self {
        let folder = fresh_folder();
        let log = Mutex::new(Some(open(folder.path()) as SharedLog));
        Self { folder, log, names: AtomicU32::new(0) }
    }
}

impl Bench for EmbeddedBench {
    fn log(&self) -> SharedLog {
        Arc::clone(self.log.lock().expect("no test panics in here").as_ref().expect("open between two calls"))
    }

    fn reopen(&self) -> SharedLog {
        let mut log = self.log.lock().expect("no test panics in here");
        drop(log.take());
        let reopened: SharedLog = open(self.folder.path());
        *log = Some(Arc::clone(&reopened));
        reopened
    }

    fn topic(&self, hint: &str) -> String {
        format!("{hint}-{}", self.names.fetch_add(1, Ordering::Relaxed))
    }

    fn group(&self, hint: &str) -> String {
        self.topic(hint)
    }
}

fn fresh_folder() -> TempDir {
    tempfile::tempdir().expect("temporary folder")
}

fn open(folder: &Path) -> Arc<EmbeddedLog> {
    Arc::new(EmbeddedLog::open(folder).expect("the folder is free"))
}

/// The folder in which a test is to play the part of another process; `None` in the test itself.
fn folder_of_other_process() -> Option<PathBuf> {
    std::env::var_os(FOLDER).map(Into::into)
}

/// Tells a re-executed test which part it plays.
const FOLDER: &str = "YAHTZEE_TEST_EMBEDDED_FOLDER";

/// Runs one test of this module in another process, behind the words of `wrapper`, if any.
fn other_process(wrapper: &[&str], test: &str, folder: &Path) -> Command {
    let program = std::env::current_exe().expect("the test has a path");
    let words: Vec<_> = wrapper.iter().map(Into::into).chain([program.into_os_string()]).collect();
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).args(["--exact", &format!("embedded::{test}"), "--nocapture"]);
    command.env(FOLDER, folder).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What the other process says after `word`, line by line.
fn said<'a>(word: &'a str, output: impl BufRead + 'a) -> impl Iterator<Item = String> + 'a {
    let lines = output.lines().map(|line| line.expect("text"));
    lines.filter_map(move |line| line.split_once(word).map(|(_, said)| said.to_owned()))
}

#[test]
fn a_folder_belongs_to_one_opening() {
    if let Some(folder) = folder_of_other_process() {
        println!("answer: {:?}", EmbeddedLog::open(&folder).err());
        return;
    }
    let folder = fresh_folder();
    let log = open(folder.path());
    let in_use = LogError::FolderInUse(folder.path().display().to_string());
    assert_eq!(EmbeddedLog::open(folder.path()).err(), Some(in_use.clone()));
    let ask = || other_process(&[], "a_folder_belongs_to_one_opening", folder.path()).output().expect("runs");
    let check = |expected: Option<LogError>| {
        let answers: Vec<_> = said("answer: ", &*ask().stdout).collect();
        assert_eq!(answers, [format!("{expected:?}")]);
    };
    check(Some(in_use));
    drop(log);
    check(None);
}

/// Every handle keeps the folder, and the last one frees it.
#[test]
fn the_last_handle_frees_the_folder() {
    let folder = fresh_folder();
    let log = open(folder.path());
    log.create_topic(&spec("topic", 1)).unwrap();
    let reader = reader(&*log, "topic", &[0]);
    let appender = log.appender(Duration::from_secs(1)).unwrap();
    let writer = log.slot_writer(&SlotName { group: "group".into(), slot: 0 }).unwrap();
    drop(log);
    let handles: [Box<dyn std::any::Any>; 3] = [Box::new(reader), Box::new(appender), Box::new(writer)];
    for handle in handles {
        assert!(matches!(EmbeddedLog::open(folder.path()), Err(LogError::FolderInUse(_))));
        drop(handle);
    }
    open(folder.path());
}

/// A process is killed at each step of the creation: as soon as it has made so many files.
#[test]
fn a_creation_that_is_killed_is_begun_again() {
    if let Some(folder) = folder_of_other_process() {
        open(&folder);
        return;
    }
    for files in (0..6).cycle().take(30) {
        let parent = fresh_folder();
        let folder = parent.path().join("log");
        let test = "a_creation_that_is_killed_is_begun_again";
        let mut process = other_process(&[], test, &folder).spawn().unwrap();
        let has_made = || folder.read_dir().map_or(0, Iterator::count) >= files;
        while !has_made() && process.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        process.kill().unwrap();
        process.wait().unwrap();
        open(&folder).create_topic(&spec("topic", 1)).unwrap();
        assert!(EmbeddedLog::open_existing(&folder).unwrap().describe_topic("topic").unwrap().is_some());
    }
}

#[test]
fn what_is_acknowledged_survives_a_kill() {
    if let Some(folder) = folder_of_other_process() {
        write_until_killed(&folder);
    }
    let folder = fresh_folder();
    open(folder.path()).create_topic(&spec("topic", 2)).unwrap();
    let mut kept = 0;
    for _ in 0..3 {
        let mut process =
            other_process(&[], "what_is_acknowledged_survives_a_kill", folder.path()).spawn().unwrap();
        let output = BufReader::new(process.stdout.take().expect("piped"));
        let mut acknowledged = said("acknowledged ", output).map(|count| count.parse::<u64>().unwrap());
        assert_eq!(
            acknowledged.by_ref().nth(40),
            Some(kept + 41),
            "the process goes on where the last one ended"
        );
        process.kill().unwrap();
        let last = acknowledged.last().unwrap_or(kept + 41);
        process.wait().unwrap();
        kept = check_survivors(&*open(folder.path()), last);
    }
}

/// Writes to partition 0 by append and to partition 1 together with a commit, one round after the other.
fn write_until_killed(folder: &Path) -> ! {
    let log = open(folder);
    let mut writer = log.slot_writer(&SlotName { group: "group".into(), slot: 0 }).expect("slot writer");
    let mut done = committed(&*log, "group", "topic").map_or(0, |commit| commit.offset.0);
    loop {
        done += 1;
        append_values(&*log, "topic", 0, &[&done.to_string()]);
        let record = record("topic", 1, "key", &done.to_string());
        write(&mut *writer, &[record], "topic", Some(at(done, "round"))).expect("write");
        println!("acknowledged {done}");
    }
}

/// All rounds up to `last` are there, perhaps one more, and commit and records agree. Answers with the rounds kept.
fn check_survivors(log: &dyn Log, last: u64) -> u64 {
    let kept = committed(log, "group", "topic").expect("committed in every round").offset.0;
    assert!((last..=last + 1).contains(&kept), "{kept} rounds are committed, {last} were acknowledged");
    let reading = read_all(log, "topic", &[0, 1]);
    let rounds: Vec<String> = (1..=kept).map(|round| round.to_string()).collect();
    assert_eq!(reading.values(1), rounds, "what was written with the commit");
    // A kill between the two writes of a round leaves its append, and the next process appends the number again.
    let mut appended = reading.values(0);
    appended.dedup();
    assert_eq!(appended[..rounds.len()], rounds, "what was appended");
    assert!(appended.len() <= rounds.len() + 1, "{appended:?}");
    kept
}

/// With a limit on the file size, the journal cannot grow on: as on a full disk.
#[test]
fn a_failed_write_is_reported_and_the_last_one() {
    if let Some(folder) = folder_of_other_process() {
        return write_until_refused(&folder);
    }
    let folder = fresh_folder();
    open(folder.path()).create_topic(&spec("topic", 1)).unwrap();
    // 131,072 blocks of 512 bytes: just the 64 MiB to which the store extends a journal at its creation.
    let wrapper = ["sh", "-c", "trap '' XFSZ && ulimit -f 131072 && exec \"$0\" \"$@\""];
    let output =
        other_process(&wrapper, "a_failed_write_is_reported_and_the_last_one", folder.path()).output();
    let output = output.expect("runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answered: Vec<String> = said("answered: ", &*output.stdout).collect();
    let [acknowledged, first, second] = &answered[..] else { panic!("{answered:?}") };
    assert!(first.contains("File too large") && first.contains("refused"), "{first}");
    assert_eq!(first, second, "the log stays closed for writing");

    let log = open(folder.path());
    let kept = log.bounds("topic", &[Partition(0)]).unwrap()[0].end.0;
    assert_eq!(kept, acknowledged.parse::<u64>().unwrap(), "all that was acknowledged and nothing else");
    append_values(&*log, "topic", 0, &["accepted again"]);
}

fn write_until_refused(folder: &Path) {
    let log = open(folder);
    // Incompressible: each byte from a multiplicative generator.
    let mut state = 1_u64;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    let value: Vec<u8> = (0..1 << 20).map(|_| noise()).collect();
    // All in one batch: 8 MiB each, so that the eighth ends beyond the 64 MiB.
    let record = NewRecord { key: vec![], value, ..record("topic", 0, "", "") };
    let append_some = || append(&*log, vec![record.clone(); 8]);
    let (acknowledged, refused) = (0..20)
        .find_map(|calls| append_some().err().map(|error| (calls * 8, error)))
        .expect("the limit is met");
    println!("answered: {acknowledged}\nanswered: {refused}");
    println!("answered: {}", append(&*log, vec![record]).expect_err("nothing more is accepted"));
}

#[test]
fn a_waiting_reader_is_woken() {
    let folder = fresh_folder();
    let log = open(folder.path());
    log.create_topic(&spec("topic", 1)).unwrap();
    let mut reader = reader(&*log, "topic", &[0]);
    read_until(&mut *reader, |reading| reading.has_end(0));
    std::thread::scope(|scope| {
        scope.spawn(|| append_values(&*log, "topic", 0, &["news"]));
        let woken = reader.poll(Duration::MAX).unwrap().count();
        assert_eq!(woken, 2, "the record and the end");
    });
}

/// A partition with much to read does not keep the others waiting, and a page stays small.
#[test]
fn a_page_is_bounded_and_fair() {
    let folder = fresh_folder();
    let log = open(folder.path());
    log.create_topic(&spec("topic", 3)).unwrap();
    append(&*log, vec![record("topic", 0, "key", "busy"); 10_000]).unwrap();
    append(&*log, vec![NewRecord { value: vec![1; 400_000], ..record("topic", 1, "", "") }; 8]).unwrap();
    append_values(&*log, "topic", 2, &["quiet"]);
    let mut reader = reader(&*log, "topic", &[0, 1, 2]);
    let (mut records, mut bytes, mut seen) = (0, 0, [0; 3]);
    for item in reader.poll(Duration::MAX).unwrap() {
        if let Item::Record(partition, record, _) = item {
            (records, bytes) = (records + 1, bytes + record.value.len());
            seen[partition.0 as usize] += 1;
        }
    }
    assert!(records <= 4_096 && bytes <= 2 << 20, "{records} records, {bytes} bytes");
    assert!(seen.iter().all(|&count| count > 0), "{seen:?}");
    let rest = read_until(&mut *reader, |reading| (0..2).all(|partition| reading.has_end(partition)));
    assert_eq!(records + rest.records.len(), 10_009);
}

#[test]
fn compaction_keeps_the_newest_of_each_key() {
    let folder = fresh_folder();
    let log = open(folder.path());
    create_aging(&*log, Cleanup::CompactAndDelete, None);
    let append_keys = |log: &EmbeddedLog, keys: &[&str]| {
        keys.iter().for_each(|key| append(log, vec![record("topic", 0, key, key)]).unwrap());
    };
    append_keys(&log, &["a", "b", "a", "", "c", "b", ""]);
    assert_eq!(log.maintain(NOON_MS).unwrap(), Maintained { expired: 0, superseded: 3 });
    check_kept(&*log, &[(2, "a"), (4, "c"), (5, "b"), (6, "")], (0, 7));
    append_keys(&log, &["a"]);
    drop(log);

    let log = open(folder.path());
    check_kept(&*log, &[(2, "a"), (4, "c"), (5, "b"), (6, ""), (7, "a")], (0, 8));
    assert_eq!(log.maintain(NOON_MS).unwrap(), Maintained { expired: 0, superseded: 1 });
    assert_eq!(log.maintain(NOON_MS).unwrap(), Maintained::default(), "nothing is left to do");
    check_kept(&*log, &[(4, "c"), (5, "b"), (6, ""), (7, "a")], (0, 8));
}

/// More than one turn of the writer thread can do, in both parts of the work.
#[test]
fn maintenance_goes_on_until_nothing_is_left() {
    let folder = fresh_folder();
    let log = open(folder.path());
    create_aging(&*log, Cleanup::CompactAndDelete, Some(5_000));
    for partition in 0..2 {
        let keys = (0..10_000).map(|index| (index % 100).to_string());
        append(&*log, keys.map(|key| record("topic", partition, &key, "value")).collect()).unwrap();
    }
    assert_eq!(log.maintain(NOON_MS).unwrap(), Maintained { expired: 0, superseded: 2 * 9_900 });
    for partition in 0..2 {
        let keys = (0..9_000).map(|index| (100 + index).to_string());
        append(&*log, keys.map(|key| record("topic", partition, &key, "value")).collect()).unwrap();
    }
    assert_eq!(log.maintain(i64::MAX).unwrap(), Maintained { expired: 2 * 9_100, superseded: 0 });
    check_kept(&*log, &[], (19_000, 19_000));
}

/// A key beyond what the store's own keys may have is kept, but never superseded.
#[test]
fn compaction_passes_over_giant_keys() {
    let folder = fresh_folder();
    let log = open(folder.path());
    create_aging(&*log, Cleanup::CompactAndDelete, Some(5_000));
    let giant = NewRecord { key: vec![b'k'; 100_000], ..record("topic", 0, "", "giant") };
    append(&*log, vec![giant.clone(), giant]).unwrap();
    assert_eq!(log.maintain(NOON_MS).unwrap(), Maintained::default());
    check_kept(&*log, &[(0, "giant"), (1, "giant")], (0, 2));
    assert_eq!(log.maintain(i64::MAX).unwrap(), Maintained { expired: 2, superseded: 0 });
}

#[test]
fn retention_moves_the_start_and_never_the_end() {
    let folder = fresh_folder();
    let log = open(folder.path());
    create_aging(&*log, Cleanup::Delete, Some(5_000));
    for second in 0..10 {
        let record =
            NewRecord { timestamp_ms: NOON_MS + 1_000 * second, ..record("topic", 0, "key", "value") };
        append(&*log, vec![record]).unwrap();
    }
    // At second 9 the topic keeps what is not older than second 4.
    assert_eq!(log.maintain(NOON_MS + 9_000).unwrap(), Maintained { expired: 4, superseded: 0 });
    let kept: Vec<_> = (4..10).map(|offset| (offset, "value")).collect();
    check_kept(&*log, &kept, (4, 10));
    assert_eq!(log.offset_for_time("topic", Partition(0), NOON_MS).unwrap(), Offset(4));

    assert_eq!(log.maintain(i64::MAX).unwrap(), Maintained { expired: 6, superseded: 0 });
    check_kept(&*log, &[], (10, 10));
    drop(log);
    let log = open(folder.path());
    check_kept(&*log, &[], (10, 10));
    append_values(&*log, "topic", 0, &["next"]);
    check_kept(&*log, &[(10, "next")], (10, 11));
}

/// A reader whose records were deleted learns of it once, with the offset that it missed.
#[test]
fn a_reader_learns_of_what_retention_took() {
    let folder = fresh_folder();
    let log = open(folder.path());
    create_aging(&*log, Cleanup::Delete, Some(5_000));
    append_values(&*log, "topic", 0, &["gone"]);
    let young = NewRecord { timestamp_ms: NOON_MS + 60_000, ..record("topic", 1, "key", "young") };
    append(&*log, vec![young]).unwrap();
    let mut reader = reader(&*log, "topic", &[0, 1]);
    log.maintain(NOON_MS + 60_000).unwrap();
    let reading = read_until(&mut *reader, |reading| reading.has_end(1));
    let lost =
        LogError::OffsetOutOfRange { topic: "topic".into(), partition: Partition(0), offset: Offset(0) };
    assert_eq!((reading.errors.as_slice(), reading.values(1)), (&[lost][..], vec!["young".into()]));
}

/// Refused without a trace, and all or nothing within one call.
#[test]
fn a_call_with_one_impossible_record_appends_none() {
    let folder = fresh_folder();
    let log = open(folder.path());
    log.create_topic(&spec("topic", 1)).unwrap();
    let possible = record("topic", 0, "key", "value");
    let impossible = NewRecord { timestamp_ms: -1, ..possible.clone() };
    let error = append(&*log, vec![possible, impossible]).unwrap_err();
    assert!(matches!(error, LogError::Refused { .. }), "{error:?}");
    check_kept(&*log, &[], (0, 0));
}

/// Whatever ended a slot writer, it writes nothing more.
#[test]
fn a_failed_slot_writer_stays_failed() {
    let folder = fresh_folder();
    let log = open(folder.path());
    log.create_topic(&spec("topic", 1)).unwrap();
    let mut writer = log.slot_writer(&SlotName { group: "group".into(), slot: 0 }).unwrap();
    let error = write(&mut *writer, &[record("missing", 0, "key", "value")], "topic", None).unwrap_err();
    assert_eq!(write(&mut *writer, &[record("topic", 0, "key", "value")], "topic", None), Err(error));
    check_kept(&*log, &[], (0, 0));
}

fn create_aging(log: &dyn Log, cleanup: Cleanup, retention_ms: Option<i64>) {
    log.create_topic(&TopicSpec { cleanup, retention_ms, ..spec("topic", 2) }).expect("create");
}

/// Offsets and values of partition 0 from the log start on, and its bounds.
fn check_kept(log: &dyn Log, expected: &[(u64, &str)], bounds: (u64, u64)) {
    let found = log.bounds("topic", &[Partition(0)]).expect("bounds")[0];
    assert_eq!((found.start.0, found.end.0), bounds);
    let mut reader: Box<dyn LogReader> =
        log.reader("topic", &[(Partition(0), found.start)], Isolation::Committed).expect("reader");
    let reading = read_until(&mut *reader, |reading| reading.has_end(0));
    let text = |seen: &Seen| (seen.offset.0, String::from_utf8(seen.value.clone()).expect("text"));
    let kept: Vec<_> = reading.records.iter().map(text).collect();
    let kept: Vec<_> = kept.iter().map(|(offset, value)| (*offset, value.as_str())).collect();
    assert_eq!(
        (kept.as_slice(), reading.ends.as_slice()),
        (expected, &[(Partition(0), Offset(bounds.1))][..])
    );
    assert_eq!(reading.errors, []);
}
