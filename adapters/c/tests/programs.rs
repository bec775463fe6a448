//! The interface from C: programs compiled by the system's compiler, plain and under sanitizers.
//!
//! A sanitizer sees the C code, and the memory of the library too, since `malloc` is the process's:
//! AddressSanitizer finds what is freed twice or lost across the border, ThreadSanitizer races of
//! the C code that the library calls and of what it hands over. The library's own accesses are
//! checked by `cargo xtask tsan` and `asan`.

mod toolbox;

use toolbox::{Link, Toolbox};

const PROGRAMS: [&str; 2] = ["functions", "threads"];

#[test]
fn every_function_answers() {
    let Some(toolbox) = Toolbox::new() else { return };
    for link in [Link::Shared, Link::Static] {
        let functions = toolbox.compile("functions", link, &["-O1"]);
        toolbox.passes(&functions, &[]);
        toolbox.passes(&functions, &["exhausted"]);
        toolbox.passes(&functions, &["libssl"]);
    }
}

/// Not under ThreadSanitizer, which puts signals off until a thread calls a function that it knows.
#[test]
fn interrupted_threads_bring_about_the_other_errors() {
    let Some(toolbox) = Toolbox::new() else { return };
    for flags in [&["-O1"][..], &["-O1", "-g", "-fsanitize=address"]] {
        if flags.len() == 1 || toolbox.has("address") {
            let interrupted = toolbox.compile("interrupted", Link::Shared, flags);
            print!("{}", toolbox.passes(&interrupted, &[]));
        }
    }
}

#[test]
fn no_handshake_fails_while_contexts_come_and_go() {
    let Some(toolbox) = Toolbox::new() else { return };
    let threads = toolbox.compile("threads", Link::Shared, &["-O1"]);
    print!("{}", toolbox.passes(&threads, &[]));
}

#[test]
fn no_memory_is_misused() {
    let Some(toolbox) = Toolbox::new() else { return };
    if !toolbox.has("address") {
        return;
    }
    for program in PROGRAMS {
        let program = toolbox.compile(program, Link::Shared, &["-O1", "-g", "-fsanitize=address"]);
        toolbox.passes(&program, &[]);
    }
    let functions = toolbox.compile("functions", Link::Shared, &["-g", "-fsanitize=address"]);
    let report = toolbox.fails(&functions, &["leak"]);
    assert!(report.contains("LeakSanitizer"), "a lost handle is not found: {report}");
}

#[test]
fn no_thread_races() {
    let Some(toolbox) = Toolbox::new() else { return };
    if !toolbox.has("thread") {
        return;
    }
    let flags = ["-O1", "-g", "-fsanitize=thread"];
    let [functions, threads] = PROGRAMS.map(|name| toolbox.compile(name, Link::Shared, &flags));
    toolbox.passes(&functions, &[]);
    toolbox.passes(&threads, &[]);
    let report = toolbox.fails(&threads, &["race"]);
    assert!(report.contains("data race"), "a seeded race is not found: {report}");
}

#[test]
fn the_header_is_also_for_cpp() {
    let Some(toolbox) = Toolbox::new() else { return };
    toolbox
        .checks_as("c++", "#include \"sessile.h\"\nint main() { return sessile_version() == 0; }");
    toolbox
        .checks_as("c", "#include \"sessile.h\"\nint main(void) { return SESSILE_ABI_VERSION; }");
}
