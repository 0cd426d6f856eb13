//! Compiles the summary's schema; no `protoc` binary is needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(["slow_requests.proto"], ["proto"])?;
    // Maps in the order of their keys: the same summary has the same bytes in every run.
    prost_build::Config::new().prost_path("::yahtzee::prost").btree_map(["."]).compile_fds(descriptors)?;
    Ok(())
}
