//! The class of a log line by its writer: APP-NAME and PROCID decide, never the priority and never the text.

use super::LogLine;
use super::values::token_uuid;

/// Declares the classes with their stable names.
macro_rules! classes {
    ($($(#[doc = $doc:literal])* $class:ident = $name:literal,)*) => {
        /// LineClass of a log line.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum LineClass {
            $($(#[doc = $doc])* $class,)*
        }

        impl LineClass {
            /// Every class.
            pub const ALL: &[Self] = &[$(Self::$class),*];

            /// Returns the stable name, for metrics.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$class => $name,)*
                }
            }
        }
    };
}

classes! {
    /// A request, from the router.
    Router = "router",
    /// Load of a dyno, from log-runtime-metrics.
    DynoLoad = "dyno_load",
    /// Memory of a dyno, from log-runtime-metrics.
    DynoMemory = "dyno_memory",
    /// An R code.
    DynoError = "dyno_error",
    /// A dyno went from one state to another.
    DynoState = "dyno_state",
    /// A process ended with a status.
    DynoExit = "dyno_exit",
    /// The report of memory in front of an R14 or R15.
    DynoMemReport = "dyno_mem_report",
    /// Anything else the platform says about a dyno.
    DynoOther = "dyno_other",
    /// A release was created.
    Release = "release",
    /// The formation was scaled.
    Scale = "scale",
    /// Anything else from the platform's API.
    ApiOther = "api_other",
    /// The log system announces loss (L10 to L13).
    LogLoss = "log_loss",
    /// Another L code of the log system.
    LogNotice = "log_notice",
    /// A sample of the Postgres add-on.
    Postgres = "postgres",
    /// A sample of the Redis add-on.
    Redis = "redis",
    /// A sample of pgbouncer.
    Pgbouncer = "pgbouncer",
    /// Output of the application.
    App = "app",
    /// A readable header, but nothing known behind it.
    Unknown = "unknown",
    /// No readable header.
    Malformed = "malformed",
}

/// The writer of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineWriter {
    /// The router.
    Router,
    /// The platform's API.
    Api,
    /// Logplex or log-shuttle.
    LogSystem,
    /// The platform, about a dyno.
    Dyno,
    /// Presumably an add-on with samples of this class; an application can imitate it.
    AddOn(LineClass),
    /// The application.
    App,
    /// An unknown one.
    Unknown,
}

impl LineWriter {
    /// Returns whether it is a part of the platform, of whose lines there are measurements.
    #[must_use]
    pub fn is_platform(self) -> bool {
        matches!(self, Self::Router | Self::Api | Self::LogSystem | Self::Dyno)
    }

    /// Returns the writer of `line`, by its APP-NAME and PROCID.
    ///
    /// Application output always has APP-NAME `app` or the name of its own source, so it cannot pass for
    /// the platform. A log token `t.<uuid>` counts as `heroku`.
    #[must_use]
    pub fn of(line: &LogLine<'_>) -> Self {
        let is_platform = line.app_name == b"heroku" || token_uuid(line.app_name, b"t.").is_some();
        let is_app = line.app_name == b"app";
        match line.proc_id {
            b"log-shuttle" => Self::LogSystem,
            b"1" if line.app_name == b"logplex" => Self::LogSystem,
            b"logplex" if is_platform => Self::LogSystem,
            b"router" if is_platform => Self::Router,
            b"api" if is_platform || is_app => Self::Api,
            // The platform writes no MSGID: one that is there is a part of the dyno's name, as in `web.1 2`.
            _ if is_platform && line.message_id == b"-" => Self::Dyno,
            _ if is_platform => Self::Unknown,
            b"heroku-postgres" if is_app => Self::AddOn(LineClass::Postgres),
            b"heroku-redis" if is_app => Self::AddOn(LineClass::Redis),
            b"heroku-pgbouncer" if is_app => Self::AddOn(LineClass::Pgbouncer),
            _ if is_app => Self::App,
            _ => Self::Unknown,
        }
    }
}

/// Returns the class of a line that an add-on may have written: its own if it carries a sample.
#[must_use]
pub fn add_on_class(text: &[u8], add_on: LineClass) -> LineClass {
    let has_sample = text.split(|&byte| byte == b' ').any(|token| token.starts_with(b"sample#"));
    if has_sample { add_on } else { LineClass::App }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_who_writes() {
        fn check(app_name: &str, proc_id: &str, expected: LineWriter) {
            let message = format!("<1>1 T host {app_name} {proc_id} - x");
            let line = LogLine::parse(message.as_bytes()).unwrap();
            assert_eq!(LineWriter::of(&line), expected, "{app_name} {proc_id}");
        }
        let token = "t.0a1b2c3d-0000-4000-8000-00000000abcd";
        for platform in ["heroku", token] {
            check(platform, "router", LineWriter::Router);
            check(platform, "logplex", LineWriter::LogSystem);
            check(platform, "api", LineWriter::Api);
            check(platform, "web.1", LineWriter::Dyno);
            check(platform, "dynoload", LineWriter::Dyno);
        }
        check("token", "log-shuttle", LineWriter::LogSystem);
        check("logplex", "1", LineWriter::LogSystem);
        check("app", "api", LineWriter::Api);
        check("app", "heroku-postgres", LineWriter::AddOn(LineClass::Postgres));
        for (app_name, proc_id) in [("app", "router"), ("app", "logplex"), ("app", "web.1"), ("app", "api.1")]
        {
            check(app_name, proc_id, LineWriter::App);
        }
        for (app_name, proc_id) in
            [("Heroku", "router"), ("t.some-token", "router"), ("web.3", "d.1"), ("x", "api")]
        {
            check(app_name, proc_id, LineWriter::Unknown);
        }
    }

    #[test]
    fn names_of_classes_are_unique() {
        let names: std::collections::BTreeSet<_> = LineClass::ALL.iter().map(|class| class.name()).collect();
        assert_eq!(names.len(), LineClass::ALL.len());
    }
}
