//! What somebody sees who has the packages and the README, and nothing else.
//!
//! The library crates are packaged as for a registry and unpacked. Each recipe of the README, its
//! `[dependencies]` and its program, becomes a crate outside of the workspace that is built from
//! the unpacked packages. Its server must resume for `openssl s_client`, in TLS 1.2 and in TLS 1.3.

use crate::command::{self, Server, cargo, free_address};
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Library crates, and where they lie in a clone beside the user's crate.
const PACKAGES: [(&str, &str); 3] = [
    ("sessile", "sessile"),
    ("sessile-rustls", "sessile/adapters/rustls"),
    ("sessile-openssl", "sessile/adapters/openssl"),
];

/// Headings of the README with a recipe below, and the crate that is made of it.
const RECIPES: [(&str, &str); 2] =
    [("## In a rustls server", "rustls-server"), ("## In an OpenSSL server", "openssl-server")];

/// Where the README's programs listen.
const ADDRESS: &str = "\"localhost:8443\"";

/// Where they listen here: where they are told to, since somebody may use that port.
const ARGUMENT: &str = "std::env::args().nth(1).expect(\"an address\")";

/// What only the model checkers need.
const NOT_FOR_USERS: [&str; 2] = ["loom", "shuttle"];

/// How long a server may take until it listens.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn run() -> Result<()> {
    let folder = command::target_directory()?.join("stranger");
    if folder.exists() {
        fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot clear {}", folder.display()))?;
    }
    unpack(&folder)?;
    let readme = fs::read_to_string(folder.join("sessile/README.md"))?;
    for (heading, name) in RECIPES {
        let crate_folder = write_crate(&folder, name, &readme, heading)?;
        let mut build = cargo(&["build", "--quiet"]);
        command::run(
            build.current_dir(&crate_folder).env("CARGO_TARGET_DIR", folder.join("built")),
        )?;
        let packages = locked_packages(&crate_folder)?;
        let unwanted: Vec<_> =
            packages.iter().filter(|name| NOT_FOR_USERS.contains(&name.as_str())).collect();
        ensure!(unwanted.is_empty(), "{name}: a user's lock file names {unwanted:?}");
        resumes(&crate_folder, &folder.join("built/debug").join(name))
            .with_context(|| format!("the program of `{heading}`"))?;
        println!(
            "{name}: resumes in TLS 1.2 and 1.3; {} packages in its lock file",
            packages.len()
        );
    }
    Ok(())
}

/// Packages the library crates, and lays them out as the README's paths want them.
fn unpack(folder: &Path) -> Result<()> {
    let mut package = cargo(&["package", "--quiet", "--no-verify", "--allow-dirty"]);
    for (name, _) in PACKAGES {
        package.args(["--package", name]);
    }
    command::run(package.arg("--target-dir").arg(folder))?;
    for (name, place) in PACKAGES {
        let place = folder.join(place);
        fs::create_dir_all(&place)?;
        let version = env!("CARGO_PKG_VERSION");
        let archive = folder.join(format!("package/{name}-{version}.crate"));
        let mut tar = Command::new("tar");
        tar.args(["--extract", "--gzip", "--strip-components=1", "--file"]).arg(archive);
        command::run(tar.arg("--directory").arg(place))?;
    }
    Ok(())
}

/// A crate of one recipe, outside of any workspace.
fn write_crate(folder: &Path, name: &str, readme: &str, heading: &str) -> Result<PathBuf> {
    let (dependencies, program) = recipe(readme, heading)?;
    let program = program.replace(ADDRESS, ARGUMENT);
    let crate_folder = folder.join(name);
    fs::create_dir_all(crate_folder.join("src"))?;
    // A packaged adapter asks a registry for the core.
    let manifest = format!(
        "[package]\nname = \"{name}\"\nedition = \"2024\"\n\n[workspace]\n\n{dependencies}\n\
         [patch.crates-io]\nsessile = {{ path = \"../sessile\" }}\n"
    );
    fs::write(crate_folder.join("Cargo.toml"), manifest)?;
    fs::write(crate_folder.join("src/main.rs"), program)?;
    let mut certificate = Command::new("openssl");
    certificate.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"]);
    certificate.args(["-keyout", "key.pem", "-out", "cert.pem"]).current_dir(&crate_folder);
    let made = certificate.output().context("cannot run openssl")?;
    ensure!(made.status.success(), "no certificate: {}", String::from_utf8_lossy(&made.stderr));
    Ok(crate_folder)
}

/// The first block of TOML and the first of Rust below a heading.
fn recipe(readme: &str, heading: &str) -> Result<(String, String)> {
    let (_, below) = readme
        .split_once(&format!("\n{heading}\n"))
        .with_context(|| format!("the README has no `{heading}`"))?;
    let below = below.split("\n## ").next().unwrap_or(below);
    let block = |language: &str| {
        let lines = below.lines().skip_while(|line| !line.starts_with(&format!("```{language}")));
        let block: Vec<_> = lines.skip(1).take_while(|line| *line != "```").collect();
        ensure!(!block.is_empty(), "no block of {language} below `{heading}`");
        Ok(block.join("\n") + "\n")
    };
    Ok((block("toml")?, block("rust")?))
}

fn locked_packages(crate_folder: &Path) -> Result<Vec<String>> {
    let lock: toml::Table = fs::read_to_string(crate_folder.join("Cargo.lock"))?.parse()?;
    let packages = lock.get("package").and_then(|list| list.as_array()).context("an empty lock")?;
    let name = |package: &toml::Value| Some(package.get("name")?.as_str()?.to_owned());
    Ok(packages.iter().filter_map(name).collect())
}

fn resumes(crate_folder: &Path, binary: &Path) -> Result<()> {
    let address = &free_address()?;
    let mut server = Command::new(binary);
    let server = server.arg(address).current_dir(crate_folder).spawn();
    let mut server = Server(server.context("cannot start it")?);
    let started = Instant::now();
    while TcpStream::connect(address).is_err() {
        if let Some(status) = server.0.try_wait()? {
            bail!("it ended: {status}");
        }
        ensure!(started.elapsed() < PATIENCE, "it does not listen on {address}");
        sleep(Duration::from_millis(50));
    }
    for version in ["-tls1_2", "-tls1_3"] {
        let session = crate_folder.join("session.pem");
        let first = visit(address, version, "-sess_out", &session)?;
        ensure!(first.contains("New, "), "{version}: no handshake: {first}");
        let second = visit(address, version, "-sess_in", &session)?;
        ensure!(second.contains("Reused, "), "{version}: not resumed: {second}");
    }
    Ok(())
}

/// One request by `openssl s_client`; what it printed.
fn visit(address: &str, version: &str, session: &str, file: &Path) -> Result<String> {
    let mut client = Command::new("openssl");
    client.args(["s_client", "-connect", address, "-ign_eof", version, session]).arg(file);
    let mut client = client
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run openssl")?;
    let mut request = client.stdin.take().context("piped")?;
    request.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let Output { stdout, .. } = client.wait_with_output()?;
    Ok(String::from_utf8_lossy(&stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::root;

    #[test]
    fn the_readme_has_the_recipes() {
        let readme = fs::read_to_string(root().join("README.md")).unwrap();
        for (heading, _) in RECIPES {
            let (dependencies, program) = recipe(&readme, heading).unwrap();
            assert!(dependencies.starts_with("[dependencies]\n"), "{dependencies}");
            assert!(program.contains("fn main()") && program.contains(ADDRESS), "{program}");
        }
    }

    #[test]
    fn a_recipe_ends_with_its_section() {
        let readme = "# A\n\n## B\n\n```toml\nx\n```\n\n## C\n\n```rust\ny\n```\n";
        assert!(recipe(readme, "## B").is_err());
        assert!(recipe(readme, "## D").is_err());
    }
}
