//! Apache Kafka: one KRaft node from Maven artefacts, configured by `services/kafka/`.

mod probe;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use super::artefacts::{fetch_as_in, run_maven};
use super::daemon::{Server, Start, free_port};
use super::settings::{self, template};
use super::state::ServiceDir;

/// Tells tests where the broker is.
const ADDRESS_VARIABLE: &str = "YAHTZEE_TEST_KAFKA";

/// 16 bytes in base64url, as KRaft wants it; the same every time, so that kept data stays readable.
const CLUSTER_ID: &str = "yahtzee-local-kafkaAAA";
const JAVA_HINT: &str =
    "install a Java runtime, 17 or newer (Debian: `apt-get install openjdk-17-jre-headless`)";

/// One broker.
pub(crate) struct Kafka;

impl Server for Kafka {
    fn name(&self) -> &'static str {
        "kafka"
    }

    fn variable(&self) -> &'static str {
        ADDRESS_VARIABLE
    }

    fn locator(&self, address: SocketAddr) -> String {
        address.to_string()
    }

    fn hint(&self) -> &'static str {
        JAVA_HINT
    }

    fn fetch(&self, dir: &ServiceDir) -> Result<()> {
        let pom = template("kafka/pom.xml");
        fetch_as_in(&pom, &library(dir), |folder| {
            run_maven(&pom, &["dependency:copy-dependencies", "-DincludeScope=runtime"], folder)
        })
    }

    fn prepare(&self, start: &Start<'_>) -> Result<Command> {
        let (dir, data_dir) = (start.dir, start.dir.data());
        let properties = dir.path().join("server.properties");
        let controller = free_port(None).and_then(|port| port.local_addr());
        let controller = controller.context("cannot find a free port on 127.0.0.1")?;
        let values = [
            ("PORT", &*start.port.to_string()),
            ("CONTROLLER_PORT", &*controller.port().to_string()),
            ("DATA_DIR", &*data_dir.display().to_string()),
        ];
        settings::write(&template("kafka/server.properties"), &values, &properties)?;
        if !data_dir.join("meta.properties").exists() {
            let mut format = java(dir);
            format.args(["-XX:TieredStopAtLevel=1", "kafka.tools.StorageTool", "format", "-t", CLUSTER_ID]);
            start.run_step(self, format.arg("-c").arg(&properties))?;
        }
        let mut broker = java(dir);
        broker.args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
        let logging = template("kafka/log4j2.properties");
        broker.arg(format!("-Dlog4j2.configurationFile={}", logging.display()));
        broker.arg("kafka.Kafka").arg(properties);
        Ok(broker)
    }

    fn is_ready(&self, address: SocketAddr) -> bool {
        probe::is_ready(address)
    }
}

fn library(dir: &ServiceDir) -> PathBuf {
    dir.path().join("lib")
}

/// Java with the broker's classes.
fn java(dir: &ServiceDir) -> Command {
    let mut java = Command::new("java");
    // By environment, since everything after the main class belongs to the main class.
    java.env("CLASSPATH", library(dir).join("*"));
    java
}
