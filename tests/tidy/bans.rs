//! Names that may not be used in a part of the repository, each with the reason.

use crate::code::{code_of, has_word};
use crate::tree::{SourceFile, Tree};

struct Ban {
    /// Where it holds, as the start of a path.
    within: &'static str,
    /// Where it does not, as starts of paths.
    except: &'static [&'static str],
    names: &'static [&'static str],
    instead: &'static str,
}

const BANS: &[Ban] = &[
    Ban {
        within: "yahtzee-core/src/",
        except: &[],
        names: &["async fn", ".await"],
        instead: "the core is handed records and returns effects; waiting is the runtime's part",
    },
    Ban {
        within: "yahtzee-core/src/",
        except: &[],
        names: &["SystemTime", "Instant"],
        instead: "the core reads no clock: take the time as an argument, or a replay gives another answer",
    },
    Ban {
        within: "yahtzee-core/src/",
        except: &[],
        names: &["rand", "thread_rng", "RandomState"],
        instead: "the core is deterministic: hash with a fixed function, order with a BTreeMap",
    },
    Ban {
        within: "yahtzee-core/src/",
        except: &[],
        names: &["std::fs", "fs::", "std::net", "net::", "std::thread", "thread::"],
        instead: "the core does no I/O and owns no thread: return an effect",
    },
    Ban {
        within: "yahtzee-core/src/",
        except: &[],
        names: &["print!", "println!", "eprint!", "eprintln!"],
        instead: "the core reports through return values",
    },
    Ban {
        within: "cli/src/",
        except: &[],
        names: &["print!", "println!", "eprint!", "eprintln!"],
        instead: "they panic when nobody reads any more: use `out!`, `outln!` and `errln!` of the runtime",
    },
    Ban {
        within: "demo/src/",
        except: &[],
        names: &["print!", "println!", "eprint!", "eprintln!"],
        instead: "they panic when nobody reads any more: use `out!`, `outln!` and `errln!` of the runtime",
    },
    Ban {
        within: "",
        except: &[
            "yahtzee-runtime/src/log/kafka.rs",
            "yahtzee-runtime/src/log/kafka/",
            "benches/",
            "tests/chaos/",
            "tests/services/",
        ],
        names: &["rdkafka", "rdkafka_sys"],
        instead: "only the Kafka log knows the client, and tests that must go behind it: go through the log seam",
    },
    Ban {
        within: "",
        except: &["yahtzee-runtime/src/telemetry/metric.rs"],
        names: &["counter!", "gauge!", "histogram!"],
        instead: "declare the metric in the list of the crate, with `yahtzee_runtime::metrics!`",
    },
    Ban { within: "", except: &[], names: &["dbg!"], instead: "use tracing, or take it out" },
];

pub(crate) fn violations(tree: &Tree) -> Vec<String> {
    let files = tree.rust().filter(|file| !file.is_a_rule());
    files
        .flat_map(|file| BANS.iter().filter(|ban| ban.holds_in(file)).flat_map(|ban| ban.found_in(file)))
        .collect()
}

impl Ban {
    fn holds_in(&self, file: &SourceFile) -> bool {
        file.path.starts_with(self.within) && !self.except.iter().any(|path| file.path.starts_with(path))
    }

    fn found_in(&self, file: &SourceFile) -> Vec<String> {
        let found = |(number, line)| {
            let code = code_of(line);
            let name = self.names.iter().find(|name| has_word(&code, name))?;
            Some(format!("{}:{number}: `{name}`: {}", file.path, self.instead))
        };
        file.lines().filter_map(found).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::check;

    #[test]
    fn every_banned_name_is_found_where_it_is_banned() {
        for ban in BANS {
            for name in ban.names {
                check(violations, &format!("{}a.rs", ban.within), &format!("let x = {name} ;\n"), 1);
            }
        }
    }

    #[test]
    fn what_is_impure_is_fine_outside_the_core() {
        check(violations, "yahtzee-runtime/src/shell.rs", "let now = Instant::now();\nx.await;\n", 0);
        check(
            violations,
            "yahtzee-core/src/a.rs",
            "// No Instant here.\nexpect(\"no thread:: either\");\n",
            0,
        );
    }

    #[test]
    fn the_client_is_known_in_few_places() {
        let text = "use rdkafka::ClientConfig;\n";
        let of_client = BANS.iter().filter(|ban| ban.names.contains(&"rdkafka"));
        for path in of_client.flat_map(|ban| ban.except) {
            let path = if path.ends_with(".rs") { (*path).to_owned() } else { format!("{path}a.rs") };
            check(violations, &path, text, 0);
        }
        check(violations, "yahtzee-runtime/src/log/embedded.rs", text, 1);
        check(violations, "cli/src/main.rs", text, 1);
    }
}
