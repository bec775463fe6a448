//! Every function has its manual page, and the pages are sound.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

fn pages() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("man");
    let entries: io::Result<Vec<_>> = fs::read_dir(folder).unwrap().collect();
    entries.unwrap().iter().map(|entry| entry.path()).collect()
}

/// The names that begin with `sessile_` and are followed by a parenthesis.
fn functions(header: &str) -> BTreeSet<&str> {
    let calls = header.split('(').filter_map(|text| text.split([' ', '*', '\n']).next_back());
    calls.filter(|name| name.starts_with("sessile_")).collect()
}

#[test]
fn every_function_has_a_page() {
    let header =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("include/sessile.h"));
    let text: String = pages().iter().map(|page| fs::read_to_string(page).unwrap()).collect();
    let named: BTreeSet<_> =
        text.lines().filter_map(|line| line.strip_prefix(".Nm ")?.split(' ').next()).collect();
    let header = header.unwrap();
    let functions = functions(&header);
    assert!(functions.len() > 30, "{functions:?}");
    let missing: Vec<_> = functions.iter().filter(|name| !named.contains(*name)).collect();
    assert_eq!(missing, [&""; 0], "without a page");
    let shown = |name: &&&str| {
        text.contains(&format!(".Fn {name} ")) || text.contains(&format!(".Fo {name}\n"))
    };
    let missing: Vec<_> = functions.iter().filter(|name| !shown(name)).collect();
    assert_eq!(missing, [&""; 0], "without a synopsis");
}

#[test]
fn every_error_has_its_place() {
    let text: String = pages().iter().map(|page| fs::read_to_string(page).unwrap()).collect();
    let header =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("include/sessile.h"));
    let header = header.unwrap();
    let codes = header.lines().filter_map(|line| line.trim().split_once(" = "));
    let codes = codes.filter(|(name, _)| name.starts_with("SESSILE_ERROR_"));
    // A defect, and what a later version refuses, can come from any function.
    let anywhere = ["SESSILE_ERROR_PANIC", "SESSILE_ERROR_REFUSED"];
    let missing: Vec<_> = codes
        .filter(|(name, _)| !anywhere.contains(name) && !text.contains(name))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(missing, [""; 0]);
}

#[test]
fn the_pages_are_sound() {
    if Command::new("mandoc").arg("-h").output().is_err() {
        return println!("skipped: no mandoc");
    }
    let lint = Command::new("mandoc").args(["-T", "lint", "-W", "warning"]).args(pages()).output();
    let lint = lint.unwrap();
    let said = String::from_utf8_lossy(&lint.stdout);
    assert!(lint.status.success() && said.is_empty(), "{said}");
}
