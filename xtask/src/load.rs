//! One load on libssl's own session cache, and on Sessile preloaded in its place.

use crate::command::{self, Server, cargo, free_address, root};
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::{available_parallelism, sleep};
use std::time::{Duration, Instant};

/// Where the committed figures are.
pub(crate) const FIGURES: &str = "benches/results/libssl.md";

const VERSIONS: [&str; 2] = ["1.2", "1.3"];
const THREADS: [&str; 2] = ["1", "8"];
const SESSIONS: &str = "20000";
/// Sessions that each thread adds and removes.
const OWN: &str = "8000";
const MILLISECONDS: &str = "500";
/// Runs of each kind, which take turns. The best of each figure counts: what disturbs a run makes it
/// worse.
const ROUNDS: usize = 8;
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Makes these figures the committed ones.
    #[arg(long)]
    write: bool,
}

/// Names and numbers that a run printed.
type Figures = BTreeMap<String, u64>;

pub(crate) fn run(options: &Options) -> Result<()> {
    command::run(&mut cargo(&["build", "--release", "--package", "sessile-preload"]))?;
    let target = command::target_directory()?;
    let library = target.join("release/libsessile_preload.so");
    let load = target.join("load");
    let source = root().join("adapters/preload/tests/c/load.c");
    let mut cc = Command::new("cc");
    cc.args(["-std=gnu11", "-O2", "-pthread", "-I"]).arg(root().join("adapters/c/tests/c"));
    command::run(cc.arg(source).arg("-o").arg(&load).args(["-lssl", "-lcrypto"]))?;

    let mut report = format!(
        "# libssl's cache and Sessile under one load\n\nBy `cargo xtask load --write`: {}; {} \
         processors; the best of {ROUNDS} runs of each, which took turns.\n\n### Summary\n\n{HEAD}",
        version_of("openssl")?,
        available_parallelism()?
    );
    for version in VERSIONS {
        for threads in THREADS {
            let arguments = [threads, MILLISECONDS, SESSIONS, version, OWN];
            let [plain, ours] = in_turns(&library, |command| {
                figures(&command_of(command, &load, &arguments).output()?)
            })?;
            let cells = ["per_second", "server_ns", "add_ns", "remove_ns"]
                .map(|name| format!("{} → {}", plain[name], ours[name]));
            writeln!(report, "| TLS {version}, memory | {threads} | {} |", cells.join(" | "))?;
        }
        let [plain, ours] = in_turns(&library, |command| s_time(command, &target, version))?;
        let name = "per_second";
        writeln!(
            report,
            "| TLS {version}, `s_time` | 1 | {} → {} | | | |",
            plain[name], ours[name]
        )?;
    }
    println!("\n{report}");
    if options.write {
        fs::write(root().join(FIGURES), report)?;
    }
    Ok(())
}

const HEAD: &str = "| resumptions by | threads | per second | server's part, ns of a processor | add, ns | remove, ns |\n\
                    |---|--:|--:|--:|--:|--:|\n";

/// The best figures of runs without and with the library.
fn in_turns(
    library: &Path,
    run: impl Fn(&dyn Fn(&mut Command)) -> Result<Figures>,
) -> Result<[Figures; 2]> {
    let mut runs = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        runs[0].push(run(&|_| ())?);
        runs[1].push(run(&|command| {
            command.env("LD_PRELOAD", library).env("SESSILE_ATTACH", "1");
        })?);
    }
    Ok(runs.map(|runs| best(&runs)))
}

/// The shortest of each time, and the highest of each rate.
fn best(runs: &[Figures]) -> Figures {
    let mut best = Figures::new();
    for (name, value) in runs.iter().flatten() {
        let is_time = name.ends_with("_ns");
        let kept = best.entry(name.clone()).or_insert(*value);
        *kept = if is_time { *value.min(kept) } else { *value.max(kept) };
    }
    best
}

fn command_of(prepare: &dyn Fn(&mut Command), program: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments);
    prepare(&mut command);
    command
}

/// What the load printed; a handshake that failed or did not resume, and an add that was refused,
/// are errors.
fn figures(output: &Output) -> Result<Figures> {
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let words: Vec<_> = said.split_whitespace().collect();
    let pair = |pair: &[&str]| Ok((pair[0].to_owned(), pair[1].parse()?));
    let figures: Figures = words.chunks_exact(2).map(pair).collect::<Result<_>>()?;
    let is_sound = figures["failed"] == 0
        && figures["refused"] == 0
        && figures["resumed"] == figures["handshakes"];
    ensure!(is_sound, "not every handshake resumed: {said}");
    Ok(figures)
}

/// Connections of `openssl s_time -reuse` to `openssl s_server`, which runs as is prepared.
fn s_time(prepare: &dyn Fn(&mut Command), target: &Path, version: &str) -> Result<Figures> {
    const SECONDS: u64 = 1;
    let [key, certificate] = pair(target)?;
    let address = free_address()?;
    let version = format!("-tls{}", version.replace('.', "_"));
    let port = address.rsplit(':').next().unwrap_or_default();
    let arguments = ["s_server", "-www", "-no_ticket", &version, "-accept", port];
    let mut server = command_of(prepare, Path::new("openssl"), &arguments);
    server.arg("-key").arg(key).arg("-cert").arg(certificate);
    let server =
        server.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let _server = Server(server);
    let started = Instant::now();
    while TcpStream::connect(&address).is_err() {
        ensure!(started.elapsed() < PATIENCE, "s_server does not listen");
        sleep(Duration::from_millis(20));
    }
    let mut client = Command::new("openssl");
    client.args(["s_time", "-www", "/", "-reuse", &version, "-connect", &address]);
    let output = client.args(["-time", &SECONDS.to_string()]).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    // A letter for each connection: r is one that resumed.
    let marks = said.lines().find(|line| line.starts_with('r')).unwrap_or_default().trim_end();
    let resumed = marks.matches('r').count();
    if resumed == 0 || resumed != marks.len() {
        bail!("not every connection of s_time resumed: {said}");
    }
    Ok(Figures::from([("per_second".to_owned(), resumed as u64 / SECONDS)]))
}

/// A key and its certificate, made once.
fn pair(target: &Path) -> Result<[PathBuf; 2]> {
    let files = ["load-key.pem", "load-cert.pem"].map(|name| target.join(name));
    if !files.iter().all(|file| file.exists()) {
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
        openssl.args(["-nodes", "-subj", "/CN=localhost"]);
        let made = openssl.arg("-keyout").arg(&files[0]).arg("-out").arg(&files[1]).output()?;
        ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }
    Ok(files)
}

fn version_of(program: &str) -> Result<String> {
    let output = Command::new(program).arg("version").output().context("cannot run openssl")?;
    let said = String::from_utf8_lossy(&output.stdout);
    Ok(said.split(" (").next().unwrap_or_default().trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Figures, best};

    #[test]
    fn a_time_is_best_when_short_and_a_rate_when_high() {
        let run = |time, rate| {
            Figures::from([("add_ns".to_owned(), time), ("per_second".to_owned(), rate)])
        };
        assert_eq!(best(&[run(9, 2), run(1, 1), run(4, 3)]), run(1, 3));
    }
}
