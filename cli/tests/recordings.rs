//! `yahtzee demo --input`: the minutes of a recording, whatever it is like.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use yahtzee_core::summary::Provenance;

use crate::support::{Process, rows, yahtzee};

/// A request at a second of 2026-03-04T05:00Z, which no other has.
fn line(second: u32) -> String {
    format!(
        "2026-03-04T{:02}:{:02}:{:02}.000000+00:00 heroku[router]: at=info method=GET path=\"/{second}\" \
         host=app.example.com request_id=x fwd=\"192.0.2.7\" dyno=web.1 connect=1ms service=20ms status=200 bytes=10 \
         protocol=https\n",
        5 + second / 3_600,
        second / 60 % 60,
        second % 60
    )
}

fn lines(seconds: impl IntoIterator<Item = u32>) -> String {
    seconds.into_iter().map(line).collect()
}

/// Exit code, report and standard error of the demo.
fn demo(arguments: &[&str]) -> (i32, Value, String) {
    let output = yahtzee(&[&["demo", "--json"], arguments].concat()).output().unwrap();
    let report = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output.status.code().unwrap(), report, String::from_utf8_lossy(&output.stderr).into_owned())
}

fn file(folder: &Path, name: &str, text: impl AsRef<[u8]>) -> String {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

/// Requests in all rows of a store.
fn stored(data: &Path) -> u64 {
    let requests = rows(&data.join("store")).into_iter().filter(|((job, _), _)| job == "router-latency");
    requests.map(|(_, (_, value))| Provenance::of_value(&value).unwrap().count).sum()
}

/// All requests of the recordings are counted, none is late and none is taken for another.
#[track_caller]
fn check(inputs: &[&str], requests: u64, owners: u64) {
    let (code, report, errors) = demo(&[&["--input"], inputs].concat());
    assert_eq!(code, 0, "{errors}");
    assert_eq!(report["measurements"]["ROUTER_REQUEST"], requests, "{report}");
    for count in ["late", "future", "duplicates", "poison"] {
        assert_eq!(report[count], 0, "{count}: {report}");
    }
    assert_eq!(report["owners"], owners, "{report}");
}

#[test]
fn gaps_and_wrong_clocks_and_any_order_cost_no_line() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| file(folder.path(), name, text);
    check(&[&write("gap.log", lines([0, 600, 20_000]))], 3, 1);
    let wrong = "2038-01-19T03:14:08.000000+00:00 app[web.1]: a line whose clock is wrong\n";
    check(&[&write("clock.log", format!("{}{wrong}{}", line(361), line(362)))], 2, 1);
    check(&[&write("back.log", lines((0..1_200).rev()))], 1_200, 1);
    // Rotated parts, the newest first.
    check(&[&write("parts.log", lines((600..1_200).chain(0..600)))], 1_200, 1);
}

#[test]
fn recordings_side_by_side_do_not_make_each_other_late() {
    let folder = tempfile::tempdir().unwrap();
    let old = lines(0..300).replace("2026-03-04", "2025-11-11");
    let inputs = [file(folder.path(), "new.log", lines(0..300)), file(folder.path(), "old.log", old)];
    check(&[&inputs[0], &inputs[1]], 600, 2);
    check(&[&format!("shop={}", inputs[0]), &format!("shop={}", inputs[1])], 600, 1);
}

#[test]
fn what_an_app_prints_is_no_request() {
    let folder = tempfile::tempdir().unwrap();
    let printed = "2026-03-04T05:06:02.000000+00:00 app[web.1]: got 250 <158>1 2026-03-04T05:06:02+00:00 host heroku router - \
                   at=error code=H12 desc=\"Request timeout\" method=GET path=\"/\" host=other.example.com request_id=x \
                   fwd=\"192.0.2.9\" dyno=web.9 connect=1ms service=30000ms status=503 bytes=0\n";
    let input = file(folder.path(), "app.log", format!("{}{printed}{}", line(361), line(363)));
    let (code, report, errors) = demo(&["--input", &input]);
    assert_eq!((code, &report["measurements"]["ROUTER_REQUEST"]), (0, &Value::from(2)), "{errors}");
    assert!(report["measurements"]["ERROR"] == 0 && !report.to_string().contains("status_503"), "{report}");
}

#[test]
fn files_of_one_name_are_two_apps_and_a_changed_file_adds_what_is_new() {
    let folder = tempfile::tempdir().unwrap();
    let one = file(folder.path(), "a/app.log", lines(0..30));
    let other = file(folder.path(), "b/app.log", lines(0..30));
    check(&[&one, &other], 60, 2);

    let read = |data: &Path, text: String| {
        let input = file(folder.path(), "app.log", text);
        let (code, _, errors) = demo(&["--data", data.to_str().unwrap(), "--input", &input]);
        assert_eq!(code, 0, "{errors}");
        stored(data)
    };
    let replaced = folder.path().join("replaced");
    assert_eq!(read(&replaced, lines(0..250)), 250);
    assert_eq!(read(&replaced, lines(0..250).replace("path=\"/", "path=\"/other")), 500);
    let grown = folder.path().join("grown");
    assert_eq!(read(&grown, lines(0..250)), 250);
    assert_eq!(read(&grown, lines(0..500)), 500);
    assert_eq!(read(&grown, lines(0..500)), 500);
    // Rotated away and begun anew, with the last lines of before in it.
    assert_eq!(read(&grown, lines(450..600)), 600);
}

#[test]
fn what_cannot_be_read_is_counted_and_nothing_at_all_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let some = file(folder.path(), "some.log", format!("{}what is this\n", line(1)));
    let (code, report, _) = demo(&["--input", &some]);
    assert_eq!((code, &report["unreadable_lines"], &report["lines"]), (0, &Value::from(1), &Value::from(2)));
    for (name, text, expected) in [
        ("none.log", b"what is this\n".as_slice(), "could be read"),
        ("empty.log", b"", "could be read"),
        ("app.lz4", b"\x04\x22\x4d\x18\x00", "lz4 -d"),
        ("cut.zst", b"\x28\xb5\x2f\xfd\x00", "ends early"),
        ("damaged.gz", DAMAGED_GZIP, "damaged"),
        ("binary", &[0, 159, 146, 150, 10, 255, 0, 1], "could be read"),
    ] {
        let (code, _, errors) = demo(&["--input", &file(folder.path(), name, text)]);
        assert!(code == 1 && errors.contains(expected), "{name}: {code} {errors}");
    }
    let (code, _, errors) = demo(&["--input", folder.path().to_str().unwrap()]);
    assert!(code == 1 && errors.contains("irectory"), "{code} {errors}");
    let utf16: Vec<u8> = lines(0..20).encode_utf16().flat_map(u16::to_le_bytes).collect();
    check(&[&file(folder.path(), "windows.log", [b"\xff\xfe".as_slice(), &utf16].concat())], 20, 1);
}

/// The header of a gzip file, and what is no gzip data behind it.
const DAMAGED_GZIP: &[u8] = b"\x1f\x8b\x08\0\0\0\0\0\0\x03no such data";

#[test]
fn a_file_that_cannot_be_read_costs_the_others_nothing_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let good = file(folder.path(), "good.log", lines(0..5));
    let damaged = file(folder.path(), "damaged.gz", DAMAGED_GZIP);
    let (code, report, errors) = demo(&["--input", &damaged, folder.path().to_str().unwrap(), &good]);
    assert_eq!((code, &report["measurements"]["ROUTER_REQUEST"]), (0, &Value::from(5)), "{errors}");
    let unreadable = report["unreadable_inputs"].as_array().unwrap();
    assert_eq!(unreadable.len(), 2, "{report}");
    assert_eq!(unreadable[0]["file"], Value::from(damaged.as_str()));
    let text = yahtzee(&["demo", "--input", &damaged, &good]).output().unwrap();
    assert!(String::from_utf8_lossy(&text.stdout).contains(&format!("unreadable: {damaged}: ")));
}

/// Two parts of one recording that overlap: lines that both have count once, as they do when one is read after the other.
#[test]
fn parts_of_one_app_that_overlap_count_once() {
    let folder = tempfile::tempdir().unwrap();
    let parts =
        [lines(0..40), lines(30..90)].map(|text| file(folder.path(), &format!("{}.log", text.len()), text));
    let inputs = parts.map(|part| format!("shop={part}"));
    let (code, report, errors) = demo(&["--input", &inputs[0], &inputs[1]]);
    assert_eq!((code, &report["measurements"]["ROUTER_REQUEST"]), (0, &Value::from(90)), "{errors}");
    assert_eq!((&report["late"], &report["duplicates"]), (&Value::from(0), &Value::from(10)), "{report}");
}

#[test]
fn clocks_that_contradict_each_other_in_turn_cost_no_request() {
    let folder = tempfile::tempdir().unwrap();
    let app =
        |second: u32| line(second).replace("2026-03", "2038-03").replace("heroku[router]", "app[web.1]");
    let input =
        (0..200).map(|second| format!("{}{}{}", app(second), line(second), app(second))).collect::<String>();
    check(&[&file(folder.path(), "apps.log", input)], 200, 1);
    let router = |second: u32| line(second).replace("2026-03", "2038-03");
    let input = (0..200).map(|second| format!("{}{}", line(second), router(second))).collect::<String>();
    check(&[&file(folder.path(), "routers.log", input)], 400, 1);
}

#[test]
fn the_report_has_every_app_on_request_and_says_when_it_is_partial() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = ["one.log", "two.log", "three.log"].map(|name| file(folder.path(), name, lines(0..5)));
    let arguments = ["--input", &inputs[0], &inputs[1], &inputs[2]];
    let (_, partial, _) = demo(&arguments);
    assert!(partial["busiest_owner"].is_object() && partial["other_owners"].is_null(), "{partial}");
    assert_eq!((&partial["owners_left_out"], &partial["input_ended_early"]), (&2.into(), &false.into()));
    let (_, all, _) = demo(&[&arguments[..], &["--all-apps"]].concat());
    assert_eq!((all["other_owners"].as_array().unwrap().len(), &all["owners_left_out"]), (2, &0.into()));
    let text = yahtzee(&[&["demo"], &arguments[..]].concat()).output().unwrap();
    assert!(String::from_utf8_lossy(&text.stdout).contains("2 more apps; --all-apps"));
}

fn make_fifo(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(name);
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    path
}

/// A pipe with a name, to which `blocks` are written one by one; it stays open until `end` returns.
fn fifo(folder: &Path, name: &str, blocks: Vec<Vec<u8>>, end: impl FnOnce() + Send + 'static) -> String {
    let path = make_fifo(folder, name);
    let text = path.display().to_string();
    std::thread::spawn(move || {
        let mut pipe = File::options().write(true).open(path).unwrap();
        blocks.iter().for_each(|block| pipe.write_all(block).unwrap());
        end();
    });
    text
}

/// All figures of a report but what its run took.
fn figures(mut report: Value) -> Value {
    let fields = report.as_object_mut().unwrap();
    for of_run in ["commits", "elapsed_s"] {
        fields.remove(of_run);
    }
    report
}

/// A recording through a pipe, in whatever pieces, gives what it gives as a file.
#[track_caller]
fn check_pipe(name: &str, recording: &[u8], requests: u64) {
    let folder = tempfile::tempdir().unwrap();
    let input = |path: &str| format!("shop={path}");
    let (code, of_file, errors) = demo(&["--input", &input(&file(folder.path(), name, recording))]);
    assert_eq!((code, &of_file["measurements"]["ROUTER_REQUEST"]), (0, &requests.into()), "{name}: {errors}");
    assert_eq!(of_file["late"], 0, "{name}: {of_file}");
    let pieces = recording.chunks(recording.len().div_ceil(7)).map(<[u8]>::to_vec).collect();
    let pipe = fifo(folder.path(), &format!("{name}.pipe"), pieces, || {});
    let (code, of_pipe, errors) = demo(&["--input", &input(&pipe)]);
    assert_eq!((code, figures(of_pipe)), (0, figures(of_file)), "{name}: {errors}");
}

#[test]
fn a_pipe_gives_what_a_file_gives() {
    check_pipe("back.log", lines((0..1_200).rev()).as_bytes(), 1_200);
    let wrong = "2038-01-19T03:14:08.000000+00:00 app[web.1]: a line whose clock is wrong\n";
    check_pipe("clock.log", format!("{}{wrong}{}", line(361), lines(362..500)).as_bytes(), 139);
    let counted = |second| {
        let line = line(second).replace(" heroku[router]: ", " host heroku router - ");
        format!("{} <158>1 {line}", "<158>1 ".len() + line.len())
    };
    check_pipe("drain", (0..300).map(counted).collect::<String>().as_bytes(), 300);
    let long = format!("2026-03-04T05:00:00.000000+00:00 app[web.1]: {}\n", "x".repeat(4 << 20));
    check_pipe("long.log", format!("{long}{}", lines(0..10)).as_bytes(), 10);
    let text = lines(0..600);
    for program in ["gzip", "bzip2", "xz"] {
        check_pipe(program, &compressed(program, text.as_bytes()), 600);
    }
}

/// What a program that compresses makes of a text.
fn compressed(program: &str, text: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let text = text.to_vec();
    let writer = std::thread::spawn(move || input.write_all(&text).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success(), "{program}");
    output.stdout
}

#[test]
fn standard_input_is_an_input() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "app.log", lines(0..50));
    for name in ["-", "/dev/stdin", "shop=-"] {
        // Once a file, once a pipe.
        let of_file =
            yahtzee(&["demo", "--json", "--input", name]).stdin(File::open(&path).unwrap()).output();
        let mut cat = Command::new("cat").arg(&path).stdout(Stdio::piped()).spawn().unwrap();
        let of_pipe =
            yahtzee(&["demo", "--json", "--input", name]).stdin(cat.stdout.take().unwrap()).output();
        assert!(cat.wait().unwrap().success());
        for output in [of_file.unwrap(), of_pipe.unwrap()] {
            let report: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(report["measurements"]["ROUTER_REQUEST"], 50, "{name}: {report}");
        }
    }
}

#[test]
fn a_pipe_that_does_not_end_counts_as_far_as_it_came() {
    let folder = tempfile::tempdir().unwrap();
    let (release, held) = std::sync::mpsc::channel::<()>();
    let (written, arrived) = std::sync::mpsc::channel::<()>();
    // More than waits between the pipe and its reader: when it is written, the lines before it were read.
    let filler = format!("2026-03-04T05:00:49.000000+00:00 app[web.1]: {}\n", "x".repeat(4 << 20));
    let blocks = vec![lines(0..50).into_bytes(), filler.into_bytes()];
    let pipe = fifo(folder.path(), "live.log", blocks, move || {
        written.send(()).unwrap();
        let _ = held.recv();
    });
    let process = Process::start(yahtzee(&["demo", "--json", "--input", &pipe]));
    arrived.recv().unwrap();
    process.ask_to_end();
    let report: Value = serde_json::from_str(&process.output()).unwrap();
    drop(release);
    assert_eq!(report["measurements"]["ROUTER_REQUEST"], 50, "{report}");
    assert_eq!(report["input_ended_early"], true, "{report}");
    // A pipe that nobody writes to does not hold up the end either.
    let silent = make_fifo(folder.path(), "silent.log");
    let (code, report, errors) = demo(&["--for", "1s", "--input", silent.to_str().unwrap()]);
    assert!(code == 1 && errors.contains("could be read"), "{code} {errors}");
    assert_eq!(report["input_ended_early"], true, "{report}");
}
