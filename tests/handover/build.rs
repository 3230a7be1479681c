//! Sets `cfg(loom)`, without flags that would make cargo compile everything else again.

fn main() {
    println!("cargo::rustc-check-cfg=cfg(loom)");
    println!("cargo::rustc-cfg=loom");
}
