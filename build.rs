//! Tells the linker what the shared object is to be. With the feature `header` it also makes the C header (header.rs).

use std::env;

#[cfg(feature = "header")]
mod header;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    link_arguments();
    #[cfg(feature = "header")]
    header::make();
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("Cargo sets {name}"))
}

/// A soname, so that programs ask for this series of versions (cmake/cargo.cmake makes the file of that name); the library's
/// own calls bound to itself, whatever names the program has; never unmapped, because the resolver's threads may outlive a
/// dlclose.
fn link_arguments() {
    let (major, minor) = (variable("CARGO_PKG_VERSION_MAJOR"), variable("CARGO_PKG_VERSION_MINOR"));
    // Before 1.0 a new minor version may change the interface.
    let series = if major == "0" { format!("0.{minor}") } else { major };
    let soname = format!("-soname,libiouringnet.so.{series}");
    for argument in [soname.as_str(), "-Bsymbolic-functions", "-z,nodelete"] {
        println!("cargo:rustc-cdylib-link-arg=-Wl,{argument}");
    }
}
