//! `src/generated/` is what the `.proto` files give. It is checked in, so that no build waits for the compiler of schemas.

use std::fs;
use std::path::Path;

/// Puts what has changed into place, and fails: the next run passes, and the change is there to be looked at.
#[test]
fn the_generated_code_is_that_of_the_schema() {
    let fresh = tempfile::tempdir().unwrap();
    let descriptors = protox::compile(["yahtzee/raw.proto", "yahtzee/summary.proto"], ["."]).unwrap();
    prost_build::Config::new().btree_map(["."]).out_dir(fresh.path()).compile_fds(descriptors).unwrap();
    let generated = Path::new("src/generated");
    let mut changed = Vec::new();
    for entry in fs::read_dir(fresh.path()).unwrap() {
        let path = entry.unwrap().path();
        let committed = generated.join(path.file_name().unwrap());
        if fs::read(&committed).ok() != fs::read(&path).ok() {
            fs::copy(&path, &committed).unwrap();
            changed.push(committed);
        }
    }
    assert!(changed.is_empty(), "{changed:?} did not fit the schema and are written anew: commit them");
}
