//! Processes under test, and the little that is needed to talk to them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use yahtzee_core::summary::Revision;
use yahtzee_storage::embedded::EmbeddedStore;

/// Longer than anything here takes: only a test that hangs comes to it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// The command with these arguments; no configuration of the machine's own applies.
pub(crate) fn yahtzee(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_yahtzee"));
    command.args(arguments).env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A running process whose standard error is read line by line.
pub(crate) struct Process {
    child: Child,
    lines: mpsc::Receiver<String>,
    seen: String,
}

impl Process {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.spawn().expect("the command starts");
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Self { child, lines, seen: String::new() }
    }

    /// Waits for a line of standard error that contains `part`.
    pub(crate) fn line_with(&mut self, part: &str) -> String {
        loop {
            let Ok(line) = self.lines.recv_timeout(PATIENCE) else {
                panic!("no line with {part:?} in: {}", self.seen);
            };
            writeln!(self.seen, "{line}").unwrap();
            if line.contains(part) {
                return line;
            }
        }
    }

    /// The address behind `http://` in a line of standard error that contains `part`.
    pub(crate) fn address_in(&mut self, part: &str) -> String {
        let line = self.line_with(part);
        let (_, url) = line.split_once("http://").expect("a URL");
        url.split('/').next().unwrap().to_owned()
    }

    /// Waits until the admin address is listened on, and returns it.
    pub(crate) fn admin_address(&mut self) -> String {
        let line = self.line_with("admin address");
        let (_, rest) = line.split_once("address=").expect("the line has the field");
        rest.split(' ').next().unwrap().to_owned()
    }

    /// Fails if the process has ended.
    pub(crate) fn assert_runs(&mut self, what: &str) {
        if let Some(status) = self.child.try_wait().unwrap() {
            let rest: Vec<String> = self.lines.try_iter().collect();
            panic!("ended with {status}: {what}: {}{}", self.seen, rest.join("\n"));
        }
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGTERM.
    pub(crate) fn ask_to_end(&self) {
        let pid = self.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    }

    /// Sends SIGTERM and waits for the end.
    pub(crate) fn terminate(mut self) -> ExitStatus {
        self.ask_to_end();
        self.child.wait().unwrap()
    }

    /// Waits for the end and returns standard output.
    pub(crate) fn output(mut self) -> String {
        let mut output = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut output).unwrap();
        let status = self.child.wait().unwrap();
        let errors: Vec<String> = self.lines.iter().collect();
        assert!(status.success(), "{status}: {}{}", self.seen, errors.join("\n"));
        output
    }
}

/// What `variable` says of what `cargo xtask services up SERVICE` gets. Without it the test that asks ends here,
/// loudly; on a build server it fails.
pub(crate) fn named(variable: &str, service: &str) -> Option<String> {
    let found = std::env::var(variable).ok();
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "CI must set {variable}");
        eprintln!(
            "SKIPPED: no {variable}; run `cargo xtask services up {service}` and export what it prints"
        );
    }
    found
}

/// Calls `fact` until it gives something.
pub(crate) fn wait_for<T>(what: &str, mut fact: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = fact() {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "waited too long for {what}");
        std::thread::yield_now();
    }
}

/// `GET path`: status and body.
pub(crate) fn get(address: &str, path: &str) -> Option<(u16, String)> {
    request(address, &format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), b"")
}

/// One HTTP request on a connection of its own; `None` where nobody answers.
pub(crate) fn request(address: &str, head: &str, body: &[u8]) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let status = answer.split(' ').nth(1)?.parse().ok()?;
    let (_, body) = answer.split_once("\r\n\r\n")?;
    Some((status, body.to_owned()))
}

/// Sum over all series of a metric.
pub(crate) fn metric(address: &str, name: &str) -> Option<f64> {
    let (_, text) = get(address, "/metrics")?;
    let of_name = |line: &&str| line.starts_with(name) && line[name.len()..].starts_with([' ', '{']);
    let values = text.lines().filter(of_name).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    Some(values.sum())
}

/// The rows of a store: job and key, with revision and value.
pub(crate) type Rows = BTreeMap<(String, Vec<u8>), (Revision, Vec<u8>)>;

/// All rows of the store in `folder`.
pub(crate) fn rows(folder: &Path) -> Rows {
    let store = EmbeddedStore::open(folder).unwrap();
    let mut rows = Rows::new();
    store
        .scan(|row| {
            rows.insert((row.job, row.key.encode()), (row.provenance.revision(), row.value));
        })
        .unwrap();
    rows
}

/// The rows that can not change any more.
pub(crate) fn finished(rows: &Rows) -> Rows {
    let is_final = |revision: &Revision| revision.is_final;
    rows.iter()
        .filter(|(_, (revision, _))| is_final(revision))
        .map(|(key, row)| (key.clone(), row.clone()))
        .collect()
}
