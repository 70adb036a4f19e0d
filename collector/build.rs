//! Compiles the BPF programs with clang. aya loads the objects at run time and adapts them to the kernel that runs (CO-RE).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// Name of the object, its source, extra flags.
const OBJECTS: [(&str, &str, &[&str]); 5] = [
    ("sched_rich", "sched.bpf.c", &["-DRICH"]),
    ("sched_cgroups", "sched.bpf.c", &["-DRICH", "-DCGROUPS"]),
    ("options", "options.bpf.c", &["-DRICH", "-DCGROUPS"]),
    ("sched_plain", "sched.bpf.c", &[]),
    ("probe", "probe.bpf.c", &[]),
];

const NEEDS: &str =
    "plumb's BPF programs need clang and libbpf's headers: apt-get install --no-install-recommends clang-14 libbpf-dev";

fn main() {
    println!("cargo::rerun-if-changed=bpf");
    println!("cargo::rerun-if-env-changed=PLUMB_CLANG");
    if env::var("CARGO_CFG_TARGET_ARCH").as_deref() != Ok("x86_64") {
        fail("plumb's BPF programs know the system calls of x86_64 only");
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    let clang = clang();
    for (name, source, flags) in OBJECTS {
        compile(
            &clang,
            &Path::new("bpf").join(source),
            flags,
            &out.join(format!("{name}.o")),
        );
    }
}

fn clang() -> String {
    let given = env::var("PLUMB_CLANG").ok();
    let works = |name: &String| {
        Command::new(name)
            .arg("--version")
            .output()
            .is_ok_and(|output| output.status.success())
    };
    given
        .into_iter()
        .chain(["clang-14", "clang"].map(String::from))
        .find(works)
        .unwrap_or_else(|| fail(NEEDS))
}

fn compile(clang: &str, source: &Path, flags: &[&str], object: &Path) {
    let output = Command::new(clang)
        .args([
            "-target",
            "bpf",
            "-g",
            "-O2",
            "-mcpu=v3",
            "-D__TARGET_ARCH_x86",
            "-I/usr/include/x86_64-linux-gnu",
        ])
        // The object must not name the directory it was built in.
        .arg(format!(
            "-fdebug-prefix-map={}=collector",
            env::current_dir().unwrap_or_default().display()
        ))
        .args(["-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror"])
        .args(flags)
        .arg("-c")
        .arg(source)
        .arg("-o")
        .arg(object)
        .output()
        .unwrap_or_else(|error| fail(&format!("{clang}: {error}\n{NEEDS}")));
    if !output.status.success() || fs::metadata(object).is_err() {
        fail(&format!(
            "{}: {}\n{NEEDS}",
            source.display(),
            String::from_utf8_lossy(&output.stderr)
        ));
    }
}

fn fail(why: &str) -> ! {
    for line in why.lines() {
        println!("cargo::error={line}");
    }
    std::process::exit(1)
}
