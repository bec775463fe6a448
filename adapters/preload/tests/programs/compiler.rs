//! Programs in C, compiled by the system's compiler.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{Site, is_there, talk};

pub(crate) fn can_compile() -> bool {
    is_there("openssl") && is_there("cc")
}

fn source(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

/// Compiles a program that asks for nothing but libssl, or also for what `more` names.
pub(crate) fn compile(site: &Site, file: &str, more: &[&Path]) -> String {
    let program = site.file(Path::new(file).file_stem().unwrap().to_str().unwrap());
    let more = more.iter().map(|path| path.to_str().unwrap());
    let arguments: Vec<_> = more.chain(["-lssl", "-lcrypto"]).collect();
    compile_as(site, file, &program, &arguments)
}

/// Compiles a file to another one, with what the linker is told.
pub(crate) fn compile_as(site: &Site, file: &str, made: &str, arguments: &[&str]) -> String {
    let mut cc = Command::new("cc");
    cc.args(["-std=gnu11", "-O1", "-g", "-pthread", "-Wno-deprecated-declarations"]);
    cc.arg(format!("-DEXPECTED_VERSION=\"{}\"", env!("CARGO_PKG_VERSION")));
    for folder in ["../c/include", "../c/tests/c"] {
        cc.arg("-I").arg(source(folder));
    }
    cc.arg(source(file)).args(["-o", made]).args(arguments).current_dir(site.path());
    let output = cc.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    made.to_owned()
}

/// What a command that must succeed printed.
pub(crate) fn printed(command: &mut Command) -> String {
    let output = talk(command, b"");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}: {errors}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// Two runs printed the same; else the first line that differs is said.
pub(crate) fn is_same(printed: &str, plain: &str, run: &str) {
    for (line, expected) in printed.lines().zip(plain.lines()) {
        assert_eq!(line, expected, "{run}");
    }
    assert_eq!(printed.len(), plain.len(), "{run}");
}
