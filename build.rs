//! How the program is linked, whatever flags it is built with.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // Addresses to adapt at the start, in a tenth of the room (DT_RELR: binutils 2.38, glibc 2.36).
    println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
}
