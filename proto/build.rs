//! Compiles `yahtzee/*.proto` with a compiler written in Rust, so that no `protoc` binary is needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=yahtzee");
    let files = ["yahtzee/raw.proto", "yahtzee/summary.proto"];
    let descriptors = protox::compile(files, ["."])?;
    let mut config = prost_build::Config::new();
    config.btree_map(["."]).compile_fds(descriptors)?;
    Ok(())
}
