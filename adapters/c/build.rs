//! What the linker is told of the shared library.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // `rustc-cdylib-link-arg` would be handed on to libraries that this one is part of. To the
    // tests, which get these too, they mean nothing.
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux") {
        // The name by which programs ask for it: one for each version of the binary interface.
        println!("cargo:rustc-link-arg=-Wl,-soname,libsessile.so.0");
        // libssl keeps pointers to its functions, and threads destructors of it.
        println!("cargo:rustc-link-arg=-Wl,-z,nodelete");
    }
}
