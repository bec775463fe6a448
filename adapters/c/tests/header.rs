//! The committed header is what the source says.

use std::path::Path;
use std::{env, fs};

/// With this in the environment the test writes the header instead of comparing it.
const WRITE: &str = "SESSILE_WRITE_HEADER";

#[test]
fn the_header_is_up_to_date() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(folder.join("cbindgen.toml")).unwrap();
    let bindings = cbindgen::Builder::new().with_crate(folder).with_config(config).generate();
    let mut generated = Vec::new();
    bindings.unwrap().write(&mut generated);
    let generated = String::from_utf8(generated).unwrap();
    let path = folder.join("include/sessile.h");
    if env::var_os(WRITE).is_some() {
        fs::write(&path, &generated).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    let differing = committed.lines().zip(generated.lines()).find(|(old, new)| old != new);
    assert!(committed == generated, "{WRITE}=1 writes the header anew; it differs: {differing:?}");
    for line in generated.lines() {
        assert!(line.len() <= 100, "too wide: {line}");
    }
}
