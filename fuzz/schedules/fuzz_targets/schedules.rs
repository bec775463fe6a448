//! Fuzzed interleavings: `cargo fuzz` makes this libFuzzer's program, `cargo run` the command line
//! of `schedules::cli`.
#![forbid(unsafe_code)]
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    schedules::execute(data);
});

#[cfg(not(fuzzing))]
fn main() -> anyhow::Result<()> {
    schedules::cli::main()
}
