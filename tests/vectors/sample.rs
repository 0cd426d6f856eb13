//! Samples as they stand in the files.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// One line of a file.
pub(crate) struct Sample(pub(crate) Value);

impl Sample {
    pub(crate) fn id(&self) -> &str {
        self.0["id"].as_str().expect("every sample has an id")
    }

    pub(crate) fn form(&self) -> &str {
        self.0["form"].as_str().expect("every sample has a form")
    }

    pub(crate) fn expect(&self) -> &Value {
        &self.0["expect"]
    }

    /// The sample's bytes, under whichever key it has them.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let text = |key: &str| self.0[key].as_str().map(|text| text.as_bytes().to_vec());
        let encoded = || ["body_b64", "input_b64"].into_iter().find_map(|key| self.0[key].as_str());
        let decoded = || encoded().map(|encoded| STANDARD.decode(encoded).expect("base64"));
        text("input").or_else(|| text("body")).or_else(decoded).unwrap_or_default()
    }
}

/// Our own samples, then those below `$YAHTZEE_VECTORS`, each id once.
pub(crate) fn all() -> Vec<Sample> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/constructed");
    let mut files = jsonl_files(&own);
    if let Some(folder) = std::env::var_os("YAHTZEE_VECTORS") {
        files.extend(jsonl_files(Path::new(&folder)));
    }
    let mut samples: Vec<Sample> = files.iter().flat_map(|file| read(file)).collect();
    let mut seen = std::collections::BTreeSet::new();
    samples.retain(|sample| seen.insert(sample.id().to_owned()));
    samples
}

fn read(file: &Path) -> Vec<Sample> {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let samples = text.lines().filter(|line| !line.is_empty()).map(|line| {
        Sample(serde_json::from_str(line).unwrap_or_else(|error| panic!("{}: {error}", file.display())))
    });
    samples.collect()
}

fn jsonl_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("readable folder").path()).collect();
    paths.sort();
    let files = paths.into_iter().flat_map(|path| {
        if path.is_dir() {
            jsonl_files(&path)
        } else {
            Vec::from_iter(path.extension().is_some_and(|extension| extension == "jsonl").then_some(path))
        }
    });
    files.collect()
}
