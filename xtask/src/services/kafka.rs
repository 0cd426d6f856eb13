//! Apache Kafka: one KRaft node from Maven artefacts, configured by `services/kafka/`.

mod probe;

use std::fmt;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::artefacts::{fetch_folder, remove_folder, run_tool};
use super::process::{ProcessHandle, Stopped};
use super::service_dir;
use super::state::{self, ServiceDir};

/// The name on the command line.
pub(crate) const NAME: &str = "kafka";
/// Tells tests where the broker is.
pub(crate) const ADDRESS_VARIABLE: &str = "YAHTZEE_TEST_KAFKA";

/// 16 bytes in base64url, as KRaft wants it; the same every time, so that kept data stays readable.
const CLUSTER_ID: &str = "yahtzee-local-kafkaAAA";
const JAVA_HINT: &str =
    "install a Java runtime, 17 or newer (Debian: `apt-get install openjdk-17-jre-headless`)";
const MAVEN_HINT: &str =
    "install Maven (Debian: `apt-get install maven`); it is needed for the first start only";
/// A start takes 3 s on an idle machine; a busy one gets twenty times that.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// A clean stop takes about 2 s.
const STOP_GRACE: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(50);
const LOG_TAIL_LINES: usize = 20;

/// A broker that was started: how to reach it, and how to find it again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Broker {
    /// Where clients connect: `127.0.0.1:PORT`.
    pub(crate) bootstrap: SocketAddr,
    #[serde(flatten)]
    process: ProcessHandle,
    data_dir: PathBuf,
    log: PathBuf,
}

/// The outcome of [`up`].
#[derive(Debug, Serialize)]
pub(crate) struct Up {
    /// Whether the broker was up before.
    pub(crate) already_up: bool,
    #[serde(flatten)]
    pub(crate) broker: Broker,
}

/// How the broker is now.
#[derive(Debug, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub(crate) enum Status {
    /// None was started, or it was stopped.
    Down,
    /// It answers.
    Up(Broker),
    /// Its process runs but does not answer: it is starting, or stuck.
    Unresponsive(Broker),
    /// Its process ended without `down`.
    Died(Broker),
}

/// Starts the broker and waits until it answers, or finds it up already.
///
/// Data starts empty unless `keep`, which also asks for the port of the time before.
///
/// # Errors
/// If Java or Maven is missing, the artefacts cannot be fetched, or the broker does not come up.
pub(crate) fn up(keep: bool) -> Result<Up> {
    let dir = ServiceDir::lock(service_dir(NAME))?;
    let previous: Option<Broker> = state::load(dir.path())?;
    // A running broker may still be starting: the command that started it can have been interrupted.
    if let Some(broker) = previous.clone()
        && answers(&broker)?
    {
        eprintln!("{NAME}: already up at {} (pid {})", broker.bootstrap, broker.process.pid);
        return Ok(Up { already_up: true, broker });
    }
    fetch_artefacts(&dir)?;
    let started_at = Instant::now();
    let port_before = previous.filter(|_| keep).map(|broker| broker.bootstrap.port());
    let broker = start(&dir, keep, port_before)?;
    if !answers(&broker).inspect_err(|_| stop_after_failure(&broker))? {
        bail!("the broker ended while starting; {}", log_tail(&broker.log));
    }
    let seconds = started_at.elapsed().as_secs_f64();
    let Broker { bootstrap, process, log, .. } = &broker;
    eprintln!("{NAME}: up at {bootstrap} after {seconds:.1} s (pid {}, log {})", process.pid, log.display());
    Ok(Up { already_up: false, broker })
}

/// Stops the broker if it is up.
///
/// # Errors
/// If it cannot be stopped.
pub(crate) fn down() -> Result<()> {
    let dir = ServiceDir::lock(service_dir(NAME))?;
    let Some(broker) = state::load::<Broker>(dir.path())? else {
        eprintln!("{NAME}: not up");
        return Ok(());
    };
    let how = match broker.process.stop(STOP_GRACE)? {
        Stopped::AlreadyGone => "had ended before".to_owned(),
        Stopped::Terminated => "stopped".to_owned(),
        Stopped::Killed => format!("killed: it did not stop within {} s", STOP_GRACE.as_secs()),
    };
    eprintln!("{NAME}: {how} (pid {}, log {})", broker.process.pid, broker.log.display());
    dir.clear()
}

/// How the broker is now; asks it.
///
/// # Errors
/// If the state file cannot be read.
pub(crate) fn status() -> Result<Status> {
    let Some(broker) = state::load::<Broker>(&service_dir(NAME))? else {
        return Ok(Status::Down);
    };
    Ok(if !broker.process.is_running() {
        Status::Died(broker)
    } else if probe::is_ready(broker.bootstrap) {
        Status::Up(broker)
    } else {
        Status::Unresponsive(broker)
    })
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, broker, next) = match self {
            Self::Down => return f.write_str("down"),
            Self::Up(broker) => ("up", broker, ""),
            Self::Unresponsive(broker) => {
                ("not answering", broker, "; starting, or stop it with `cargo xtask services down kafka`")
            }
            Self::Died(broker) => ("died", broker, "; start it again with `cargo xtask services up kafka`"),
        };
        let Broker { bootstrap, process, log, .. } = broker;
        write!(f, "{word} at {bootstrap} (pid {}, log {}){next}", process.pid, log.display())
    }
}

fn templates() -> PathBuf {
    crate::repository_root().join("services/kafka")
}

fn library(dir: &ServiceDir) -> PathBuf {
    dir.path().join("lib")
}

/// Fetches the jars unless those of the present `pom.xml` are there.
fn fetch_artefacts(dir: &ServiceDir) -> Result<()> {
    let pom = templates().join("pom.xml");
    let wanted = fs::read(&pom).with_context(|| format!("cannot read {}", pom.display()))?;
    let library = library(dir);
    if fs::read(library.join("pom.xml")).is_ok_and(|fetched| fetched == wanted) {
        return Ok(());
    }
    fetch_folder(&library, |folder| {
        let mut maven = Command::new("mvn");
        maven
            .args(["-q", "-B", "-f"])
            .arg(&pom)
            .args(["dependency:copy-dependencies", "-DincludeScope=runtime"]);
        maven.arg(format!("-DoutputDirectory={}", folder.display()));
        run_tool(&mut maven, MAVEN_HINT)?;
        fs::write(folder.join("pom.xml"), wanted).context("cannot mark the artefacts as fetched")
    })
}

/// Starts the process and remembers it before anything else can fail.
fn start(dir: &ServiceDir, keep: bool, port_before: Option<u16>) -> Result<Broker> {
    let data_dir = dir.path().join("data");
    let log = dir.path().join("broker.log");
    if !keep {
        remove_folder(&data_dir)?;
        fs::write(&log, "").with_context(|| format!("cannot write {}", log.display()))?;
    }
    let [port, controller_port] = free_ports(port_before).context("cannot find free ports on 127.0.0.1")?;
    let properties = write_properties(dir, port, controller_port, &data_dir)?;
    if !data_dir.join("meta.properties").exists() {
        format_storage(dir, &properties, &log)?;
    }
    let mut java = java(dir, &log)?;
    java.args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
    java.arg(format!("-Dlog4j2.configurationFile={}", templates().join("log4j2.properties").display()));
    java.arg("kafka.Kafka").arg(&properties);
    // A process group of its own: Ctrl-C in the terminal is for the command, not for the broker.
    let child = java.process_group(0).spawn().with_context(|| format!("cannot run `java`: {JAVA_HINT}"))?;
    let process = ProcessHandle::of(child.id())?;
    let broker = Broker { bootstrap: SocketAddr::from((Ipv4Addr::LOCALHOST, port)), process, data_dir, log };
    dir.save(&broker)?;
    Ok(broker)
}

/// Java with the broker's classes, writing to the log.
fn java(dir: &ServiceDir, log: &Path) -> Result<Command> {
    let output = File::options().create(true).append(true).open(log);
    let output = output.with_context(|| format!("cannot write {}", log.display()))?;
    let errors = output.try_clone().context("cannot share the log file")?;
    let mut java = Command::new("java");
    java.current_dir(dir.path()).stdin(Stdio::null()).stdout(output).stderr(errors);
    // By environment, since everything after the main class belongs to the main class.
    java.env("CLASSPATH", library(dir).join("*"));
    Ok(java)
}

fn format_storage(dir: &ServiceDir, properties: &Path, log: &Path) -> Result<()> {
    let mut java = java(dir, log)?;
    java.args(["-XX:TieredStopAtLevel=1", "kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c"]);
    let status = java.arg(properties).status().with_context(|| format!("cannot run `java`: {JAVA_HINT}"))?;
    if !status.success() {
        bail!("Kafka's storage tool failed with {status}; {}", log_tail(log));
    }
    Ok(())
}

fn write_properties(dir: &ServiceDir, port: u16, controller_port: u16, data_dir: &Path) -> Result<PathBuf> {
    let template = templates().join("server.properties");
    let text =
        fs::read_to_string(&template).with_context(|| format!("cannot read {}", template.display()))?;
    let path = dir.path().join("server.properties");
    fs::write(&path, fill_in(&text, port, controller_port, data_dir))
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

fn fill_in(template: &str, port: u16, controller_port: u16, data_dir: &Path) -> String {
    template
        .replace("@PORT@", &port.to_string())
        .replace("@CONTROLLER_PORT@", &controller_port.to_string())
        .replace("@DATA_DIR@", &data_dir.display().to_string())
}

/// Two different free ports, the first one `preferred` if that is free.
///
/// They are free when this returns; nobody can promise more, and a broker that loses the race says so in its log.
fn free_ports(preferred: Option<u16>) -> std::io::Result<[u16; 2]> {
    let bind = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    let first = preferred.and_then(|port| bind(port).ok()).map_or_else(|| bind(0), Ok)?;
    let second = bind(0)?;
    Ok([first.local_addr()?.port(), second.local_addr()?.port()])
}

/// Waits for an answer of the broker; `false` if its process has ended instead.
fn answers(broker: &Broker) -> Result<bool> {
    let deadline = Instant::now() + START_TIMEOUT;
    while broker.process.is_running() {
        if probe::is_ready(broker.bootstrap) {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            let Broker { bootstrap, process, log, .. } = broker;
            let seconds = START_TIMEOUT.as_secs();
            bail!("pid {} does not answer on {bootstrap} after {seconds} s; {}", process.pid, log_tail(log));
        }
        thread::sleep(POLL);
    }
    Ok(false)
}

/// A broker that did not come up is of no use to anyone; the failure itself is what the caller reports.
fn stop_after_failure(broker: &Broker) {
    if let Err(error) = broker.process.stop(STOP_GRACE) {
        eprintln!("{NAME}: {error:#}");
    }
}

/// The end of the log and what to do next, as the second half of an error message.
fn log_tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_else(|error| format!("(unreadable: {error})"));
    let lines: Vec<_> = text.lines().collect();
    let tail = lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n  ");
    format!(
        "the end of {}:\n  {tail}\nnext: `cargo xtask services down kafka`, then `up` again for a fresh start",
        log.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_placeholder_of_the_template_is_filled_in() {
        let template = fs::read_to_string(templates().join("server.properties")).unwrap();
        let settings = fill_in(&template, 1111, 2222, Path::new("/data"));
        let settings: Vec<_> = settings.lines().filter(|line| !line.starts_with('#')).collect();
        assert!(settings.contains(&"log.dirs=/data"));
        assert!(settings.contains(&"controller.quorum.voters=1@127.0.0.1:2222"));
        assert!(settings.contains(&"advertised.listeners=PLAINTEXT://127.0.0.1:1111"));
        assert!(!settings.iter().any(|line| line.contains("@") && !line.contains("1@127")), "{settings:#?}");
    }

    #[test]
    fn a_preferred_port_is_used_only_if_it_is_free() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let [first, second] = free_ports(Some(port)).unwrap();
        assert!(first != port && second != port && first != second);
    }

    #[test]
    fn the_state_names_everything_a_person_needs() {
        let process = ProcessHandle { pid: 7, start_time: 8 };
        let (data_dir, log) = ("/data".into(), "/log".into());
        let broker = Broker { bootstrap: ([127, 0, 0, 1], 9092).into(), process, data_dir, log };
        let json = serde_json::to_value(Status::Died(broker)).unwrap();
        let expected = serde_json::json!({
            "state": "died", "bootstrap": "127.0.0.1:9092", "pid": 7, "start_time": 8, "data_dir": "/data", "log": "/log",
        });
        assert_eq!(json, expected);
    }
}
