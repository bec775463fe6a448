//! The ground plan of DESIGN.md, checked: which file may name what, and who may import whom.

use std::fs;
use std::path::{Path, PathBuf};

fn sources() -> Vec<(PathBuf, String)> {
    fn collect(dir: &Path, into: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, into);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                into.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    collect(&root, &mut paths);
    let read = |path: PathBuf| {
        (path.strip_prefix(&root).unwrap().to_owned(), fs::read_to_string(&path).unwrap())
    };
    paths.into_iter().map(read).collect()
}

/// Lines that are code, without comments.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .map(|line| line.split("//").next().unwrap_or(""))
        .filter(|line| !line.trim().is_empty())
}

#[test]
fn each_foreign_name_has_one_home() {
    let homes = [
        ("std::sync::atomic", "sync"),
        ("std::cell::UnsafeCell", "sync"),
        ("std::sync::Mutex", "reclaim/collector/contract.rs"),
        ("arc_swap", "sync"),
        ("loom::", "sync"),
        ("shuttle::", "sync"),
        ("crossbeam_epoch", "reclaim/collector.rs"),
        ("ahash", "hash.rs"),
        ("sha2", "session/context.rs"),
        ("libc::", "wall.rs"),
        ("rustix::mm", "memory.rs"),
    ];
    for (path, text) in sources() {
        for (name, home) in homes {
            let is_model = path.starts_with("reclaim/collector/contract.rs");
            if path.starts_with(home) || is_model {
                continue;
            }
            let offender = code(&text).find(|line| line.contains(name));
            assert_eq!(offender, None, "{} names {name}, which belongs to {home}", path.display());
        }
    }
}

/// The rooms, floor by floor: a room imports from lower floors only, and from itself.
const FLOORS: &[&[&str]] = &[
    &["sync", "hint", "memory", "panics", "timestamp", "wall", "policy"],
    &["slab"],
    &["clock", "reclaim", "raw", "session", "tickets"],
    &["error", "hash", "histogram", "revocations"],
    &["resumptions", "settings", "stats"],
    &["status", "cache::budget", "cache::eviction"],
    &["cache"],
    &["builder", "publish"],
    &["internals", "lib"],
];

/// The module of a file.
fn module_of(path: &Path) -> String {
    let path = path.with_extension("").display().to_string().replace('/', "::");
    path.strip_suffix("::mod").unwrap_or(&path).to_owned()
}

/// The room that a path within the crate leads to: the longest that it begins with.
fn room_of(path: &str) -> Option<&'static str> {
    let leads_to = |room: &&str| {
        path.strip_prefix(*room).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    FLOORS.iter().copied().flatten().copied().filter(leads_to).max_by_key(|room| room.len())
}

/// Every path in a file that begins with `crate` or `super`, from the root of the crate.
fn paths(module: &str, text: &str) -> Vec<String> {
    let code: String = code(text).flat_map(|line| [line, "\n"]).collect();
    let code = code.split("#[cfg(test)]\nmod tests").next().unwrap_or("");
    // How far a name is seen is no import.
    let code = code.replace("pub(in crate::cache)", "pub");
    let is_part = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == ':';
    let words = code.split(|letter| !is_part(letter));
    let absolute = |word: &str| {
        if let Some(rest) = word.strip_prefix("crate::") {
            return Some(rest.to_owned());
        }
        let (mut rest, mut base) = (word.strip_prefix("super::")?, module.rsplit_once("::"));
        while let Some(further) = rest.strip_prefix("super::") {
            (rest, base) = (further, base.and_then(|(base, _)| base.rsplit_once("::")));
        }
        Some(base.map_or(rest.to_owned(), |(base, _)| format!("{base}::{rest}")))
    };
    words.filter_map(absolute).collect()
}

#[test]
fn rooms_import_from_lower_floors() {
    let floor_of = |room: &str| FLOORS.iter().position(|floor| floor.contains(&room));
    let is_code = |path: &Path| !path.ends_with("tests.rs");
    for (path, text) in sources().into_iter().filter(|(path, _)| is_code(path)) {
        let module = module_of(&path);
        let room = room_of(&module).unwrap_or_else(|| panic!("{module} is in no room"));
        for import in paths(&module, &text) {
            // What is imported from the root of the crate is what it offers to everybody.
            let Some(other) = room_of(&import).filter(|other| *other != room) else { continue };
            assert!(
                floor_of(other) < floor_of(room),
                "{} is in {room} and imports {import}, which is in {other}",
                path.display()
            );
        }
    }
}

#[test]
fn paths_are_followed_from_inside_a_room() {
    let text = "use super::super::raw::{Table, Word};\nfn f() { crate::error::g() }\n";
    assert_eq!(paths("cache::eviction::victim", text), ["cache::raw::", "error::g"]);
    assert_eq!(paths("cache::add", "use super::budget::Permit;"), ["cache::budget::Permit"]);
    assert_eq!(
        (room_of("cache::budget::Permit"), room_of("cacheable")),
        (Some("cache::budget"), None)
    );
}

#[test]
fn unsafe_code_stays_in_its_rooms() {
    let rooms = [
        "memory.rs",
        "wall.rs",
        "sync",
        "reclaim",
        "raw",
        "session/handle.rs",
        "session/memory.rs",
        "slab",
        "tickets",
        // Without unsafe code, but bugs that are seeded there need it.
        "cache/lookup.rs",
        "cache/mod.rs",
        "cache/operation.rs",
        "cache/notify.rs",
        "cache/resize.rs",
        "internals",
    ];
    for (path, text) in sources() {
        if rooms.iter().any(|room| path.starts_with(room)) {
            continue;
        }
        let is_crate_root = path.starts_with("lib.rs") || path.ends_with("mod.rs");
        let forbids = text.contains("#![forbid(unsafe_code)]");
        assert!(forbids || is_crate_root, "{} does not forbid unsafe code", path.display());
    }
}

#[test]
fn functions_and_files_can_be_read_in_one_sitting() {
    for (path, text) in sources() {
        let lines = text.lines().count();
        assert!(lines <= 450, "{} has {lines} lines", path.display());
        for (number, line) in text.lines().enumerate() {
            assert!(line.chars().count() <= 100, "{}:{} is too wide", path.display(), number + 1);
        }
        let mut start = None;
        for (number, line) in text.lines().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let is_function = line.contains("fn ") && (line.ends_with('{') || line.ends_with('('));
            if is_function && start.is_none() {
                start = Some((number, indent));
            } else if let Some((first, depth)) = start {
                if line.trim_end() == format!("{}}}", " ".repeat(depth)) {
                    let length = number - first + 1;
                    assert!(length <= 70, "{}:{} has {length} lines", path.display(), first + 1);
                    start = None;
                }
            }
        }
    }
}
