//! Which version this is.

use std::ffi::{CStr, c_char, c_int};

/// Changes when a program that was compiled before cannot run any more; the number of the shared
/// library.
pub const SESSILE_ABI_VERSION: c_int = 0;

const VERSION: &CStr =
    match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(version) => version,
        Err(_) => c"",
    };

/// The version of the library that runs, such as `0.1.0`: a string that lives for ever.
#[unsafe(no_mangle)]
pub extern "C" fn sessile_version() -> *const c_char {
    VERSION.as_ptr()
}

/// The version of the binary interface of the library that runs: `SESSILE_ABI_VERSION` of the
/// header that it was built with.
#[unsafe(no_mangle)]
pub extern "C" fn sessile_abi_version() -> c_int {
    SESSILE_ABI_VERSION
}
