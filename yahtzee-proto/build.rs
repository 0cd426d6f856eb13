//! Compiles `yahtzee/*.proto` with a compiler written in Rust, so that no `protoc` binary is needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=yahtzee");
    let descriptors = protox::compile(["yahtzee/dead_letters.proto", "yahtzee/provenance.proto"], ["."])?;
    prost_build::Config::new().compile_fds(descriptors)?;
    Ok(())
}
