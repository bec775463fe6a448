//! Where in the source a child process was when its allocation was refused.
//!
//! The child may be aborted the moment after, and naming its frames would cost it a tenth of a
//! second. So it prints where its return addresses lie relative to a function of the program, and
//! the parent, which runs the same program, names them.
#![forbid(unsafe_code)]

use std::ffi::c_void;
use std::path::Path;

/// Frames looked at: enough to leave the standard library behind.
const FRAMES_MAX: usize = 64;

/// The place in the program that addresses are told from.
fn anchor() -> usize {
    offsets as fn() -> Vec<isize> as usize
}

/// The return addresses of the caller and its callers, relative to the anchor.
pub(crate) fn offsets() -> Vec<isize> {
    let mut offsets = Vec::new();
    backtrace::trace(|frame| {
        // One less, because a return address may be that of the next line.
        offsets.push((frame.ip() as usize).wrapping_sub(1).wrapping_sub(anchor()) as isize);
        offsets.len() < FRAMES_MAX
    });
    offsets
}

/// A place in the source: the innermost one in one of the crates that concern us, and the crate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Site {
    pub(crate) krate: String,
    pub(crate) function: String,
    pub(crate) place: String,
}

/// The innermost place of `offsets` in one of these crates.
pub(crate) fn innermost(offsets: &[isize], crates: &[&str]) -> Option<Site> {
    let mut site = None;
    for &offset in offsets {
        let address = anchor().wrapping_add_signed(offset) as *mut c_void;
        backtrace::resolve(address, |symbol| {
            let file = symbol
                .filename()
                .map(|path| path.to_string_lossy().into_owned())
                .unwrap_or_default();
            let krate = crates.iter().find(|krate| is_of(&file, krate));
            if let (None, Some(krate)) = (&site, krate) {
                let place = format!("{}:{}", shortened(&file, krate), symbol.lineno().unwrap_or(0));
                // Without the type parameters, which name whatever instance the linker kept.
                let function = symbol.name().map(|name| format!("{name:#}")).unwrap_or_default();
                let function = function.split('<').next().unwrap_or_default().to_owned();
                site = Some(Site { krate: (*krate).into(), function, place });
            }
        });
        if site.is_some() {
            break;
        }
    }
    site
}

/// Whether a source file belongs to a crate: `…/NAME-VERSION/src/…` of a registry, or our own
/// `…/src/…`.
fn is_of(file: &str, krate: &str) -> bool {
    if krate == "sessile" {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(|root| root.join("src"));
        return file.starts_with("src/")
            || file.starts_with("./src/")
            || root.is_some_and(|root| Path::new(file).starts_with(root));
    }
    file.contains(&format!("/{krate}-"))
}

fn shortened(file: &str, krate: &str) -> String {
    let from = file.rfind("/src/").map_or(0, |at| at + 1);
    let path = file.get(from..).unwrap_or(file).trim_start_matches("./");
    if krate == "sessile" { path.into() } else { format!("{krate}/{path}") }
}

#[cfg(test)]
mod tests {
    use super::{is_of, shortened};

    #[test]
    fn files_are_told_apart_by_crate() {
        assert!(is_of("src/reclaim/limbo.rs", "sessile"));
        assert!(is_of(
            "/home/me/registry/src/index/crossbeam-epoch-0.9.21/src/internal.rs",
            "crossbeam-epoch"
        ));
        assert!(!is_of(
            "/home/me/registry/src/index/crossbeam-epoch-0.9.21/src/internal.rs",
            "sessile"
        ));
        assert!(!is_of("/rustc/0123/library/alloc/src/vec/mod.rs", "sessile"));
    }

    #[test]
    fn a_place_is_named_without_the_machine() {
        assert_eq!(
            shortened("/home/me/sessile/src/reclaim/limbo.rs", "sessile"),
            "src/reclaim/limbo.rs"
        );
        let file = "/home/me/registry/src/index/crossbeam-epoch-0.9.21/src/internal.rs";
        assert_eq!(shortened(file, "crossbeam-epoch"), "crossbeam-epoch/src/internal.rs");
    }
}
