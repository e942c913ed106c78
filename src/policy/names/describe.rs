//! From a value back to words: what an explanation says of an argument.
//!
//! Guarantees: what is said, read as a value of the same argument, is the same
//! number (tested over the whole table of constants).

use super::{CONSTANTS, argument, family, in_family};

/// Second names, which nobody looks for. The first is the manual page's.
const SECOND_NAMES: &[&str] = &[
    "AT_STATX_SYNC_AS_STAT",
    "AF_LOCAL",
    "SIGIOT",
    "SIGCLD",
    "SIGPOLL",
    "O_NDELAY",
    "EWOULDBLOCK",
    "EDEADLOCK",
    "LOCK_RW",
];

/// Arguments made of bits; any other is one word.
const FLAGS: &[&str] = &["flags", "prot", "oflag", "options", "shmflg", "semflg", "msgflg", "type"];

/// The value of an argument as its manual page writes it: a constant, constants
/// joined by `|`, an octal mode, or a number.
#[must_use]
pub fn describe(call: u32, arg: &str, value: u64) -> String {
    let bits = argument(call, arg).map_or(64, |a| a.bits);
    if arg == "mode" && bits == 16 {
        return format!("0{value:o}");
    }
    match exact(call, arg, bits, value) {
        Some(name) => name.to_owned(),
        None if FLAGS.contains(&arg) => joined(call, arg, value).unwrap_or_else(|| number(value, bits)),
        None => number(value, bits),
    }
}

/// The bits of a mask, each by its name where it has one.
#[must_use]
pub fn describe_bits(call: u32, arg: &str, bits: u64) -> String {
    match arg {
        "mode" => return format!("0{bits:o}"),
        // Its low bits are one number, whose bits are nobody's names.
        "type" => return format!("{bits:#x}"),
        _ => {}
    }
    joined(call, arg, bits).unwrap_or_else(|| format!("{bits:#x}"))
}

/// A call with its arguments, the pointers left out.
#[must_use]
pub fn describe_call(call: u32, args: &[u64; 6]) -> String {
    let said: Vec<String> = super::arguments(call)
        .into_iter()
        .filter_map(|name| {
            let arg = argument(call, name)?;
            let value = args.get(usize::from(arg.index))? & (u64::MAX >> (64 - u32::from(arg.bits)));
            let pointer = arg.kind == super::ArgKind::Pointer;
            (!pointer).then(|| format!("{name}={}", describe(call, name, value)))
        })
        .collect();
    format!("{}({})", super::shown(call), said.join(", "))
}

/// The constants of an argument; none where any constant would do.
fn constants(call: u32, arg: &str) -> impl Iterator<Item = (&'static str, i64)> {
    let known = family(call, arg);
    CONSTANTS
        .iter()
        .copied()
        .filter(move |c| known.is_some() && in_family(known, c.0) && !SECOND_NAMES.contains(&c.0))
}

fn exact(call: u32, arg: &str, bits: u8, value: u64) -> Option<&'static str> {
    // As a protocol it is another's.
    if (arg, value) == ("level", 1) {
        return Some("SOL_SOCKET");
    }
    let mask = u64::MAX >> (64 - u32::from(bits));
    constants(call, arg).find(|c| c.1.cast_unsigned() & mask == value).map(|c| c.0)
}

/// Constants that together are the value, the largest first; what is left over
/// is a number. None of a value that no constant is part of.
fn joined(call: u32, arg: &str, value: u64) -> Option<String> {
    let mut known: Vec<(&str, u64)> = constants(call, arg)
        .filter_map(|c| Some((c.0, u64::try_from(c.1).ok().filter(|v| *v != 0)?)))
        .collect();
    known.sort_by_key(|c| std::cmp::Reverse(c.1));
    let mut rest = value;
    let mut words = Vec::new();
    for (name, bits) in known {
        if rest & bits == bits {
            words.push(name.to_owned());
            rest &= !bits;
        }
    }
    if words.is_empty() {
        return None;
    }
    if rest != 0 {
        words.push(format!("{rest:#x}"));
    }
    Some(words.join("|"))
}

fn number(value: u64, bits: u8) -> String {
    let negative = match bits {
        32 => i64::from(u32::try_from(value & 0xffff_ffff).unwrap_or_default().cast_signed()),
        _ => value.cast_signed(),
    };
    match (negative, value) {
        (-4096..0, _) => negative.to_string(),
        (_, 0..=9999) => value.to_string(),
        _ => format!("{value:#x}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{all, arguments, constant, number as call_number};
    use super::*;

    fn say(call: &str, arg: &str, value: u64) -> String {
        describe(call_number(call).unwrap(), arg, value)
    }

    #[test]
    fn value_of_a_known_argument_is_said_in_its_own_words() {
        assert_eq!(say("socket", "domain", 1), "AF_UNIX");
        assert_eq!(say("socket", "type", 0x80801), "SOCK_CLOEXEC|SOCK_NONBLOCK|SOCK_STREAM");
        assert_eq!(say("openat", "flags", 0x80241), "O_CLOEXEC|O_TRUNC|O_CREAT|O_WRONLY");
        assert_eq!(say("openat", "dirfd", 0xffff_ff9c), "AT_FDCWD");
        assert_eq!(say("openat", "mode", 0o644), "0644");
        assert_eq!(say("clone", "flags", 0x1200011), "CLONE_CHILD_SETTID|CLONE_CHILD_CLEARTID|SIGCHLD");
        assert_eq!(say("fcntl", "cmd", 1031), "F_SETPIPE_SZ");
        assert_eq!(say("mmap", "prot", 7), "PROT_EXEC|PROT_WRITE|PROT_READ");
        assert_eq!(say("kill", "pid", 0xffff_ffff), "-1");
        assert_eq!(say("lseek", "offset", u64::MAX), "-1");
        assert_eq!(say("kill", "sig", 9), "SIGKILL");
        assert_eq!(say("ioctl", "request", 0xdead_beef), "0xdeadbeef");
        assert_eq!(say("openat", "flags", 0x4000_0000_0001 & 0xffff_ffff), "O_WRONLY");
    }

    #[test]
    fn words_for_any_constant_of_any_argument_mean_the_same_number() {
        for (name, call) in all() {
            for arg in arguments(call) {
                let bits = argument(call, arg).unwrap().bits;
                let mask = u64::MAX >> (64 - u32::from(bits));
                for (_, value) in constants(call, arg) {
                    let value = value.cast_unsigned() & mask;
                    let said = describe(call, arg, value);
                    let mut back = 0;
                    for word in said.split('|') {
                        back |= match constant(word) {
                            Some(v) => v.cast_unsigned() & mask,
                            None if word.starts_with("0x") => u64::from_str_radix(&word[2..], 16).unwrap(),
                            None if arg == "mode" => u64::from_str_radix(word, 8).unwrap(),
                            None => word.parse::<i64>().unwrap().cast_unsigned() & mask,
                        };
                    }
                    assert_eq!(back, value, "{name} {arg} {said}");
                }
            }
        }
    }
}
