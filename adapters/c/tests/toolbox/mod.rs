//! The system's compiler, and the libraries that cargo has built for these tests.

use std::env::consts::DLL_SUFFIX;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// What a program needs of the system beside the static library: `rustc --print
/// native-static-libs`.
const NATIVE: [&str; 7] = ["-lssl", "-lcrypto", "-lgcc_s", "-lutil", "-lrt", "-ldl", "-lm"];

/// How a program gets the library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    Shared,
    Static,
}

pub(crate) struct Toolbox {
    folder: TempDir,
    libraries: PathBuf,
}

fn source() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

impl Toolbox {
    /// `None` without a compiler, which is said.
    pub(crate) fn new() -> Option<Self> {
        if Command::new("cc").arg("--version").output().is_err() {
            println!("skipped: no C compiler");
            return None;
        }
        // Cargo puts what a test needs beside it.
        let test = std::env::current_exe().unwrap();
        let libraries = test.parent().unwrap().to_owned();
        let folder = tempfile::tempdir().unwrap();
        let shared = libraries.join(format!("libsessile_capi{DLL_SUFFIX}"));
        for name in ["libsessile.so", "libsessile.so.0"] {
            symlink(&shared, folder.path().join(name)).unwrap();
        }
        Some(Self { folder, libraries })
    }

    /// Compiles a program of `tests/c`.
    pub(crate) fn compile(&self, name: &str, link: Link, flags: &[&str]) -> PathBuf {
        self.compile_file(&source().join("tests/c").join(name).with_extension("c"), link, flags)
    }

    pub(crate) fn compile_file(&self, file: &Path, link: Link, flags: &[&str]) -> PathBuf {
        let stem = file.file_stem().unwrap().to_str().unwrap();
        let program = self.folder.path().join(format!("{stem}{}", flags.concat()));
        let mut cc = self.cc();
        cc.arg(format!("-DEXPECTED_VERSION=\"{}\"", env!("CARGO_PKG_VERSION")));
        cc.args(["-std=gnu11", "-pthread"]).args(flags).arg(file).arg("-o").arg(&program);
        match link {
            Link::Shared => cc
                .arg("-L")
                .arg(self.folder.path())
                .arg(format!("-Wl,-rpath,{}", self.folder.path().display()))
                .args(["-lsessile", "-lssl", "-lcrypto"]),
            Link::Static => cc.arg(self.libraries.join("libsessile_capi.a")).args(NATIVE),
        };
        succeed(cc.output().unwrap(), file);
        program
    }

    fn cc(&self) -> Command {
        let mut cc = Command::new("cc");
        cc.args(["-Wall", "-Wextra", "-Werror", "-I"]).arg(source().join("include"));
        cc
    }

    /// Compiles a text as a language, without linking it.
    pub(crate) fn checks_as(&self, language: &str, text: &str) {
        let mut cc = self.cc();
        cc.args(["-fsyntax-only", "-Wpedantic", "-x", language, "-"]).stdin(Stdio::piped());
        let mut child = cc.stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        if String::from_utf8_lossy(&output.stderr).contains("cc1plus") {
            return println!("skipped: no C++ compiler");
        }
        succeed(output, Path::new(language));
    }

    /// Whether the compiler has a sanitizer whose programs run here; what is missing is said.
    pub(crate) fn has(&self, sanitizer: &str) -> bool {
        let file = self.folder.path().join("empty.c");
        std::fs::write(&file, "int main(void) { return 0; }").unwrap();
        let program = file.with_extension("");
        let mut cc = Command::new("cc");
        cc.arg(format!("-fsanitize={sanitizer}")).arg(&file).arg("-o").arg(&program);
        let is_there = cc.output().is_ok_and(|output| output.status.success())
            && run(&program, &[]).status.success();
        if !is_there {
            println!("skipped: no programs under -fsanitize={sanitizer}");
        }
        is_there
    }

    /// What a program printed that must succeed.
    pub(crate) fn passes(&self, program: &Path, arguments: &[&str]) -> String {
        succeed(run(program, arguments), program)
    }

    /// What a program said that must fail.
    pub(crate) fn fails(&self, program: &Path, arguments: &[&str]) -> String {
        let output = run(program, arguments);
        assert!(!output.status.success(), "{} {arguments:?} succeeded", program.display());
        String::from_utf8_lossy(&output.stderr).into_owned()
    }
}

fn run(program: &Path, arguments: &[&str]) -> Output {
    // Some kernels place programs where ThreadSanitizer wants its shadow.
    let mut command = Command::new("setarch");
    command.arg("--addr-no-randomize").arg(program).args(arguments);
    // What libssl and the library do is ordered by atomics that the sanitizer does not see.
    command.env("TSAN_OPTIONS", "ignore_noninstrumented_modules=1");
    command.output().unwrap()
}

fn succeed(output: Output, what: &Path) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {}\n{said}", what.display(), output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}
