//! Running a command and saying so.

use anyhow::{Context, Result, bail};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

/// The target of the sanitizers and the fuzzer.
pub(crate) const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest)
}

/// A server that is killed when it is dropped.
pub(crate) struct Server(pub(crate) Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An address of loopback that nobody listens on.
pub(crate) fn free_address() -> Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

/// Where cargo builds.
pub(crate) fn target_directory() -> Result<PathBuf> {
    let metadata = cargo_metadata::MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .exec()
        .context("cargo metadata")?;
    Ok(metadata.target_directory.into())
}

/// `cargo` with arguments, at the root.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    command
}

/// `cargo` or `rustc` of the nightly toolchain, at the root. Goes by rustup: the `CARGO` that cargo
/// hands down is one toolchain's own and knows no other.
pub(crate) fn nightly(tool: &str) -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", "nightly", tool]).current_dir(root());
    for inherited in [
        "CARGO",
        "RUSTC",
        "RUSTDOC",
        "RUSTFLAGS",
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_TARGET_DIR",
        "RUSTUP_TOOLCHAIN",
    ] {
        command.env_remove(inherited);
    }
    command
}

/// `cargo` in the folder of the models under `root`, whose configuration file sets the model's
/// cfgs.
pub(crate) fn loom_cargo(root: &Path, arguments: &[&str]) -> Command {
    let mut command = cargo(arguments);
    command.current_dir(root.join("loom-tests"));
    as_models(&mut command);
    command
}

/// Keeps from models what would change them.
pub(crate) fn as_models(command: &mut Command) {
    // An inherited RUSTFLAGS would override the configuration file, and the models would run as
    // plain threads.
    for inherited in
        ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_TARGET_DIR", "LOOM_MAX_PREEMPTIONS"]
    {
        command.env_remove(inherited);
    }
    for ours in ["SESSILE_SITES", "SESSILE_REPORT", "SESSILE_WEAKEN"] {
        command.env_remove(ours);
    }
}

/// A command as a document shows it, at the root.
pub(crate) fn shell(shown: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", shown]).current_dir(root());
    command
}

/// Shows the command, runs it, and fails when it does.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = show(command);
    println!("\n$ {shown}");
    let status = command.status().with_context(|| format!("cannot run `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` failed: {status}");
    }
    Ok(())
}

/// The command as one would type it.
pub(crate) fn show(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}
