//! `yahtzee new-job`: creates a crate with a job, its schema, its tests and the whole command.
//!
//! The files are those of `examples/slow-requests` under another name, so the scaffold is code that CI builds.

use std::fs;
use std::path::{Path, PathBuf};
use yahtzee_runtime::outln;

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;

use crate::process::GlobalOptions;

/// Options of `yahtzee new-job`.
#[derive(Debug, Args)]
pub(crate) struct NewJobOptions {
    /// Name of the job and of its crate: lower case letters, digits and dashes, as in `page-weight`
    name: String,
    /// Folder to create the crate's folder in
    #[arg(long, value_name = "DIR", default_value = ".")]
    into: PathBuf,
    /// Folder of the Yahtzee repository; default: the one that the current folder lies in
    #[arg(long, value_name = "DIR")]
    framework: Option<PathBuf>,
}

/// Files of the crate: path, and text under the example's name.
const FILES: [(&str, &str); 4] = [
    ("build.rs", include_str!("../../examples/slow-requests/build.rs")),
    ("proto/slow_requests.proto", include_str!("../../examples/slow-requests/proto/slow_requests.proto")),
    ("src/lib.rs", include_str!("../../examples/slow-requests/src/lib.rs")),
    ("src/main.rs", include_str!("../../examples/slow-requests/src/main.rs")),
];

/// Crates that every crate sees, beside those whose names begin as the framework's own.
const CRATES: [&str; 6] = ["alloc", "core", "proc-macro", "prost", "std", "test"];

/// Words that Rust keeps: <https://doc.rust-lang.org/reference/keywords.html>.
const KEYWORDS: [&str; 51] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do", "dyn",
    "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop",
    "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return", "self", "static",
    "struct", "super", "trait", "true", "try", "type", "typeof", "union", "unsafe", "unsized", "use",
    "virtual", "where", "while",
];

pub(crate) fn new_job(global: &GlobalOptions, options: &NewJobOptions) -> Result<()> {
    let taken: Vec<(&str, &str)> = global.jobs.all().iter().map(|job| (job.name(), job.summary())).collect();
    check_is_free(&taken, &options.name)?;
    create(options)
}

fn create(options: &NewJobOptions) -> Result<()> {
    let names = CrateNames::of(&options.name)?;
    let framework = framework(options.framework.as_deref())?;
    let folder = options.into.join(&options.name);
    if folder.exists() {
        bail!("{} exists already; choose another name, or another folder with --into", folder.display());
    }
    for (path, text) in FILES {
        write(&folder.join(names.apply(path)), &names.apply(text))?;
    }
    write(&folder.join("Cargo.toml"), &manifest(&options.name, &framework))?;
    let lock = framework.join("Cargo.lock");
    if lock.exists() {
        // The framework's own versions of everything: what is tested there is what is built here.
        fs::copy(&lock, folder.join("Cargo.lock"))
            .with_context(|| format!("cannot copy {}", lock.display()))?;
    }
    outln!("created {}\n\nnext:", folder.display())?;
    outln!("  cd {}", folder.display())?;
    outln!("  cargo test              # the job's laws, and a crash at every single write")?;
    outln!("  cargo run -- jobs       # its topics and its policy")?;
    outln!("  cargo run -- demo       # live, beside the stock jobs")?;
    Ok(())
}

/// Refuses a name that the job, its summaries and its crate cannot have beside what is there: jobs, each with the stem of
/// its summaries.
fn check_is_free(taken: &[(&str, &str)], name: &str) -> Result<()> {
    if taken.iter().any(|&(job, _)| job == name) {
        bail!("a job {name} is there already, see `yahtzee jobs`; choose another name");
    }
    if KEYWORDS.contains(&name) || CRATES.contains(&name) || name.split('-').next() == Some("yahtzee") {
        bail!("no crate beside the job's can be called {name}: choose another name, as in `{name}-count`");
    }
    let upper = CrateNames::of(name)?.upper;
    if let Some((job, stem)) = taken.iter().find(|&&(_, stem)| stem == upper) {
        bail!("{stem} names the summaries of job {job} already; choose another name, as in `{name}-count`");
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<()> {
    let parent = path.parent().expect("files of a crate lie in a folder");
    fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Returns the given repository, or the one that the current folder lies in.
fn framework(given: Option<&Path>) -> Result<PathBuf> {
    let is_repository = |folder: &Path| folder.join("yahtzee/Cargo.toml").exists();
    if let Some(folder) = given {
        let folder = folder.canonicalize().with_context(|| format!("cannot find {}", folder.display()))?;
        let missing =
            || anyhow!("{} is not the Yahtzee repository: it has no folder `yahtzee`", folder.display());
        return if is_repository(&folder) { Ok(folder) } else { Err(missing()) };
    }
    let here = std::env::current_dir()?;
    let found = here.ancestors().find(|folder| is_repository(folder));
    found.map(Path::to_owned).ok_or_else(|| {
        anyhow!("this folder is not in the Yahtzee repository: say where that is, with --framework DIR")
    })
}

fn manifest(name: &str, framework: &Path) -> String {
    let framework = framework.display();
    format!(
        r#"[package]
name = "{name}"
version = "0.1.0"
edition = "2024"
publish = false

[dependencies]
yahtzee = {{ path = "{framework}/yahtzee" }}
yahtzee-cli = {{ path = "{framework}/cli" }}
yahtzee-pipeline-proto = {{ path = "{framework}/proto" }}

[build-dependencies]
prost-build = {{ version = "0.14", default-features = false }}
protox = {{ version = "0.10", default-features = false }}

[dev-dependencies]
yahtzee-testkit = {{ path = "{framework}/yahtzee-testkit" }}

# A crate of its own, wherever it lies.
[workspace]
"#
    )
}

/// The forms in which a job's name appears.
struct CrateNames {
    dashed: String,
    snake: String,
    camel: String,
    upper: String,
    words: String,
}

impl CrateNames {
    fn of(name: &str) -> Result<Self> {
        let is_word = |word: &str| {
            word.starts_with(|first: char| first.is_ascii_lowercase())
                && word.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit())
        };
        let words: Vec<&str> = name.split('-').collect();
        if !words.iter().all(|word| is_word(word)) {
            bail!(
                "job name `{name}`: lower case letters, digits and single dashes are allowed, as in `page-weight`"
            );
        }
        let capital = |word: &&str| word[..1].to_uppercase() + &word[1..];
        Ok(Self {
            dashed: name.to_owned(),
            snake: words.join("_"),
            camel: words.iter().map(capital).collect(),
            upper: words.join("_").to_uppercase(),
            words: words.join(" "),
        })
    }

    /// Returns a text of the example with this name in all its forms.
    fn apply(&self, text: &str) -> String {
        text.replace("slow-requests", &self.dashed)
            .replace("slow_requests", &self.snake)
            .replace("SlowRequests", &self.camel)
            .replace("SLOW_REQUESTS", &self.upper)
            .replace("slow requests", &self.words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_take_all_their_forms() {
        let names = CrateNames::of("page-weight2").unwrap();
        let found = names.apply("slow-requests slow_requests SlowRequests SLOW_REQUESTS");
        assert_eq!(found, "page-weight2 page_weight2 PageWeight2 PAGE_WEIGHT2");
        for wrong in ["", "Page", "page--weight", "-page", "2page", "page weight", "../page"] {
            assert!(CrateNames::of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_name_that_is_taken_is_refused() {
        fn check(name: &str, expected: Option<&str>) {
            let taken = [("errors", "ERROR"), ("dyno-load", "DYNO_LOAD")];
            let refused = check_is_free(&taken, name).err().map(|error| error.to_string());
            match expected {
                None => assert_eq!(refused, None),
                Some(part) => {
                    assert!(refused.as_ref().is_some_and(|text| text.contains(part)), "{refused:?}")
                }
            }
        }
        check("page-weight", None);
        check("type-count", None);
        check("errors", Some("yahtzee jobs"));
        check("dyno-load", Some("yahtzee jobs"));
        check("error", Some("ERROR names the summaries of job errors"));
        for name in ["type", "match", "self", "std", "core", "test", "yahtzee", "yahtzee-jobs"] {
            check(name, Some(&format!("{name}-count")));
        }
    }

    #[test]
    fn a_crate_is_created_once_and_points_to_the_framework() {
        let folder = tempfile::tempdir().unwrap();
        let framework = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let options = NewJobOptions {
            name: "page-weight".to_owned(),
            into: folder.path().to_owned(),
            framework: Some(framework.to_owned()),
        };
        create(&options).unwrap();
        let job = fs::read_to_string(folder.path().join("page-weight/src/lib.rs")).unwrap();
        assert!(job.contains("pub struct PageWeight;") && job.contains("/page_weight.rs"), "{job}");
        assert!(
            !job.to_lowercase().contains("slow_req") && !job.contains("SlowReq"),
            "something of the example's name is left: {job}"
        );
        let manifest: String = fs::read_to_string(folder.path().join("page-weight/Cargo.toml")).unwrap();
        assert!(manifest.contains(&format!("{}/yahtzee\"", framework.display())), "{manifest}");
        assert!(create(&options).unwrap_err().to_string().contains("exists already"));
    }
}
