//! Installs the C library: what `make install` is elsewhere.

use crate::command::{self, cargo, root};
use anyhow::{Context, Result, ensure};
use clap::Args;
use std::env::current_dir;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a program that links the static library needs beside it, by `rustc --print
/// native-static-libs`; pkg-config adds libssl and libcrypto.
const PRIVATE: &str = "-lgcc_s -lutil -lrt -lpthread -lm -ldl -lc";

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Where the library is to lie: `lib`, `include` and `share/man` below it.
    #[arg(long, value_name = "DIR", default_value = "/usr/local")]
    prefix: PathBuf,
    /// A folder that stands for the root of the file system, for who makes a package.
    #[arg(long, value_name = "DIR")]
    destdir: Option<PathBuf>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    let abi = abi_version(&fs::read_to_string(root().join("adapters/c/include/sessile.h"))?)?;
    // One at a time: each is what a package of it alone would be.
    for package in ["sessile-capi", "sessile-preload"] {
        command::run(&mut cargo(&["build", "--release", "--package", package]))?;
    }
    let prefix = current_dir()?.join(&options.prefix);
    let place = Place::new(options.destdir.as_deref(), &prefix)?;
    let built = command::target_directory()?.join("release");

    let library = format!("libsessile.so.{version}");
    place.copy_library(&built.join("libsessile_capi.so"), &format!("lib/{library}"))?;
    place.link(&library, &format!("lib/libsessile.so.{abi}"))?;
    place.link(&format!("libsessile.so.{abi}"), "lib/libsessile.so")?;
    place.copy_library(&built.join("libsessile_capi.a"), "lib/libsessile.a")?;
    place.copy_library(&built.join("libsessile_preload.so"), "lib/libsessile_preload.so")?;
    place.copy(&root().join("adapters/c/include/sessile.h"), "include/sessile.h")?;
    place.write("lib/pkgconfig/sessile.pc", &package_file(&prefix, version))?;
    for page in fs::read_dir(root().join("adapters/c/man"))? {
        let page = page?.path();
        let name = page.file_name().and_then(|name| name.to_str()).context("a page has a name")?;
        let section = name.rsplit('.').next().unwrap_or("3");
        let folder = format!("share/man/man{section}");
        place.copy(&page, &format!("{folder}/{name}"))?;
        for other in other_names(&fs::read_to_string(&page)?, name) {
            let text = format!(".so man{section}/{name}\n");
            place.write(&format!("{folder}/{other}.{section}"), &text)?;
        }
    }
    println!("installed below {}", place.0.display());
    Ok(())
}

/// The folder that everything is put into.
struct Place(PathBuf);

impl Place {
    fn new(destdir: Option<&Path>, prefix: &Path) -> Result<Self> {
        let Some(destdir) = destdir else { return Ok(Self(prefix.to_owned())) };
        let inside = prefix.strip_prefix("/").context("a prefix is absolute")?;
        Ok(Self(current_dir()?.join(destdir).join(inside)))
    }

    /// The path of a file whose folder is there and that is not.
    fn fresh(&self, name: &str) -> Result<PathBuf> {
        let path = self.0.join(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)
                .with_context(|| format!("cannot make {}", folder.display()))?;
        }
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
            _ => Ok(path),
        }
    }

    fn copy(&self, from: &Path, name: &str) -> Result<PathBuf> {
        let to = self.fresh(name)?;
        fs::copy(from, &to).with_context(|| format!("cannot copy {}", from.display()))?;
        Ok(to)
    }

    /// A library, without what only a debugger reads.
    fn copy_library(&self, from: &Path, name: &str) -> Result<()> {
        let mut strip = Command::new("strip");
        let stripped = strip.arg("--strip-debug").arg(self.copy(from, name)?).status();
        if !stripped.is_ok_and(|status| status.success()) {
            println!("{name} is installed as it was built: there is no `strip`");
        }
        Ok(())
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        Ok(fs::write(self.fresh(name)?, text)?)
    }

    fn link(&self, to: &str, name: &str) -> Result<()> {
        Ok(symlink(to, self.fresh(name)?)?)
    }
}

/// `SESSILE_ABI_VERSION` of a header.
fn abi_version(header: &str) -> Result<u32> {
    let line = header.lines().find_map(|line| line.strip_prefix("#define SESSILE_ABI_VERSION "));
    let version = line.context("the header names its version")?.trim().parse()?;
    let build = fs::read_to_string(root().join("adapters/c/build.rs"))?;
    let name = format!("libsessile.so.{version}\"");
    ensure!(build.contains(&name), "the library is not built as {name}");
    Ok(version)
}

fn package_file(prefix: &Path, version: &str) -> String {
    format!(
        "prefix={}\nlibdir=${{prefix}}/lib\nincludedir=${{prefix}}/include\n\n\
         Name: sessile\nDescription: Lock-free TLS session cache behind SSL_CTX\n\
         Version: {version}\nRequires: openssl\nLibs: -L${{libdir}} -lsessile\n\
         Libs.private: {PRIVATE}\nCflags: -I${{includedir}}\n",
        prefix.display()
    )
}

/// What a page describes beside what its file is named after.
fn other_names<'p>(page: &'p str, file: &str) -> Vec<&'p str> {
    let title = file.rsplit_once('.').map_or(file, |(title, _)| title);
    let names = page.lines().filter_map(|line| line.strip_prefix(".Nm ")?.split(' ').next());
    names.filter(|name| *name != title).collect()
}

#[cfg(test)]
mod tests {
    use super::{abi_version, other_names, package_file};
    use crate::command::root;
    use std::path::Path;

    #[test]
    fn the_library_is_named_after_its_interface() {
        let header = std::fs::read_to_string(root().join("adapters/c/include/sessile.h")).unwrap();
        assert_eq!(abi_version(&header).unwrap(), 0);
        assert!(abi_version("#define SESSILE_ABI_VERSION 77\n").is_err());
    }

    #[test]
    fn a_page_is_found_under_each_name() {
        let page = ".Nm sessile_a ,\n.Nm sessile_b\n.Nd two\n";
        assert_eq!(other_names(page, "sessile_a.3"), ["sessile_b"]);
    }

    #[test]
    fn the_package_file_names_its_place() {
        let text = package_file(Path::new("/opt/x"), "1.2.3");
        assert!(text.starts_with("prefix=/opt/x\n") && text.contains("Version: 1.2.3\n"));
    }
}
