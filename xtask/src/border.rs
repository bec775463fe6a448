//! The C library under sanitizers on both sides of its border: its own code, by the nightly
//! compiler, and the programs that its tests compile. libssl is not instrumented; what it orders by
//! atomics of its own is left out by an option of the sanitizer.

use crate::command::{self, TARGET, nightly, root};
use crate::verify::{ADDRESS, Sanitizer, THREAD};
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// What the static library needs of the system.
const NATIVE: [&str; 7] = ["-lssl", "-lcrypto", "-lgcc_s", "-lutil", "-lrt", "-ldl", "-lm"];

/// A sanitizer, the compiler's name for it, the programs that must be clean, and one with a bug
/// that it must see. ThreadSanitizer puts signals off until they interrupt nothing.
const RUNS: [(&Sanitizer, &str, &[&str], [&str; 2]); 2] = [
    (&THREAD, "thread", &["functions", "threads"], ["threads", "race"]),
    (&ADDRESS, "address", &["functions", "threads", "interrupted"], ["functions", "leak"]),
];

pub(crate) fn run() -> Result<()> {
    for (sanitizer, kind, programs, [buggy, bug]) in RUNS {
        let mut cargo = sanitizer.cargo();
        cargo.args(["rustc", "--package", "sessile-capi", "--lib", "--crate-type", "staticlib"]);
        command::run(&mut cargo)?;
        let folder = sanitizer.target_directory();
        let library = folder.join(TARGET).join("debug/libsessile_capi.a");
        let runtime = runtime(sanitizer.name())?;
        for name in programs {
            let program = compile(&folder, name, kind, &library, &runtime)?;
            let output = start(sanitizer, &program, &[])?;
            let said = String::from_utf8_lossy(&output.stderr);
            let is_clean = output.status.success() && sanitizer.count(&said) == (0, 0);
            ensure!(is_clean, "{name} under {}: {}\n{said}", sanitizer.name(), output.status);
            println!("{name} under {}: no report", sanitizer.name());
        }
        let seeded = start(sanitizer, &folder.join(buggy), &[bug])?;
        let said = String::from_utf8_lossy(&seeded.stderr);
        ensure!(sanitizer.count(&said) != (0, 0), "{} does not see the {bug}", sanitizer.name());
        println!("{buggy} {bug} under {}: seen", sanitizer.name());
    }
    Ok(())
}

/// The sanitizer's runtime, which cargo links to programs only.
fn runtime(sanitizer: &str) -> Result<PathBuf> {
    let output = nightly("rustc").args(["--print", "sysroot"]).output()?;
    let sysroot = String::from_utf8(output.stdout).context("a path is not UTF-8")?;
    let folder = Path::new(sysroot.trim()).join("lib/rustlib").join(TARGET).join("lib");
    let file = folder.join(format!("librustc-nightly_rt.{sanitizer}.a"));
    ensure!(file.exists(), "there is no {}", file.display());
    Ok(file)
}

fn compile(
    folder: &Path,
    name: &str,
    kind: &str,
    library: &Path,
    runtime: &Path,
) -> Result<PathBuf> {
    let adapter = root().join("adapters/c");
    let (program, object) = (folder.join(name), folder.join(format!("{name}.o")));
    let mut cc = Command::new("cc");
    cc.args(["-std=gnu11", "-g", "-O1", "-pthread", "-c", &format!("-fsanitize={kind}")]);
    cc.arg(format!("-DEXPECTED_VERSION=\"{}\"", env!("CARGO_PKG_VERSION")));
    cc.arg("-I").arg(adapter.join("include")).arg("-o").arg(&object);
    command::run(cc.arg(adapter.join("tests/c").join(name).with_extension("c")))?;
    // Linked as it stands: the compiler would add the runtime of its own.
    let mut link = Command::new("cc");
    link.args(["-pthread", "-rdynamic"]).arg(&object).arg(library);
    link.arg("-Wl,--whole-archive").arg(runtime).arg("-Wl,--no-whole-archive");
    command::run(link.args(NATIVE).arg("-o").arg(&program))?;
    Ok(program)
}

fn start(sanitizer: &Sanitizer, program: &Path, arguments: &[&str]) -> Result<Output> {
    let mut command = sanitizer.watched(Path::new("setarch"));
    command.arg("--addr-no-randomize").arg(program).args(arguments);
    command.env("TSAN_OPTIONS", "ignore_noninstrumented_modules=1");
    command.output().context("cannot run setarch")
}
