//! Whether a JVM was started with an option that forbids to attach: it would take the signal that attaching begins with for a wish to see its threads, write them all to its output, and never answer.
//!
//! The JVM tells its options in the file of its performance counters, wherever they were given: on the command line, in files of arguments (`@file`, `-XX:Flags=`, `-XX:VMOptionsFile=`) or in variables. Where
//! it has no such file, or more options than that tells, the command line and the variables are looked at.

use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

use plumb_trace::perfdata::{self, FILE_BYTES_MAX, TEXT_BYTES_MAX};

use super::target::Target;

/// The option, without the sign that turns it on or off.
const OPTION: &[u8] = b"DisableAttachMechanism";

/// Whether the JVM was started with `-XX:+DisableAttachMechanism`.
pub(super) fn forbid_attaching(target: &Target) -> bool {
    match told(target) {
        Some((options, false)) => turn_on(&options),
        Some((options, true)) => turn_on(&options) || turn_on(&given(target.pid)),
        None => turn_on(&given(target.pid)),
    }
}

/// What the JVM tells: words between blanks, and whether there were more.
fn told(target: &Target) -> Option<(Vec<u8>, bool)> {
    let file = read_counters(target)?;
    let texts = ["java.rt.vmFlags", "java.rt.vmArgs"].map(|name| perfdata::text(&file, name));
    // That it has none is told too.
    let texts: Vec<&[u8]> = texts.into_iter().collect::<Option<_>>()?;
    let is_cut = texts.iter().any(|text| text.len() >= TEXT_BYTES_MAX);
    Some((texts.join(&b' '), is_cut))
}

/// The file belongs to the JVM's user, who may have put anything in its place.
fn read_counters(target: &Target) -> Option<Vec<u8>> {
    let path = target.perfdata.as_ref()?;
    let mut options = OpenOptions::new();
    options
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC);
    let file = options.open(format!("/proc/{}/root{path}", target.pid)).ok()?;
    let found = file.metadata().ok()?;
    let is_it = found.is_file() && found.len() <= FILE_BYTES_MAX && found.uid() == target.uid;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX)
        .read_to_end(&mut bytes)
        .ok()
        .filter(|_| is_it)?;
    Some(bytes)
}

/// What stands on the command line and in the variables that JVMs take options from, in the order in which they count.
fn given(pid: u32) -> Vec<u8> {
    let bytes = |file| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let (arguments, variables) = (bytes("cmdline"), bytes("environ"));
    let variable = |name: &[u8]| {
        let mut variables = variables.split(|byte| *byte == 0);
        variables
            .find_map(|variable| variable.strip_prefix(name))
            .unwrap_or_default()
    };
    let [jdk, tool, last] = [&b"JDK_JAVA_OPTIONS="[..], b"JAVA_TOOL_OPTIONS=", b"_JAVA_OPTIONS="].map(variable);
    [tool, jdk, &arguments, last].join(&b' ')
}

/// The last word about the option counts.
fn turn_on(options: &[u8]) -> bool {
    let words = options.split(|byte| b" \t\n\r'\"\0".contains(byte));
    let sign = words.rev().find_map(|word| {
        let (sign, name) = word.strip_prefix(b"-XX:").unwrap_or(word).split_first()?;
        (name == OPTION).then_some(*sign)
    });
    sign == Some(b'+')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_counts() {
        for (options, forbid) in [
            ("", false),
            ("-XX:+DisableAttachMechanism", true),
            ("+DisableAttachMechanism -Xint", true),
            ("-Xint\0'-XX:+DisableAttachMechanism'\0Main", true),
            ("-XX:+DisableAttachMechanism -XX:-DisableAttachMechanism", false),
            ("-XX:-DisableAttachMechanism\t-XX:+DisableAttachMechanism", true),
            ("-Dx=-XX:+DisableAttachMechanism", false),
            ("-XX:+DisableAttachMechanisms", false),
            ("-XX:", false),
        ] {
            assert_eq!(turn_on(options.as_bytes()), forbid, "{options}");
        }
    }
}
