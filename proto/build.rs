//! Compiles `yahtzee/*.proto` with a compiler written in Rust, so that no `protoc` binary is needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=yahtzee");
    println!("cargo:rerun-if-changed=../yahtzee-proto/yahtzee");
    let files = ["yahtzee/raw.proto", "yahtzee/summary.proto"];
    let descriptors = protox::compile(files, [".", "../yahtzee-proto"])?;
    let mut config = prost_build::Config::new();
    config.btree_map(["."]).extern_path(".yahtzee.v1", "::yahtzee_proto").compile_fds(descriptors)?;
    Ok(())
}
