//! The first line of a script, as the kernel reads it. See execve(2), and
//! `load_script` in the kernel's fs/binfmt_script.c.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// How much of a file the kernel looks at.
pub(crate) const LONGEST: usize = 256;

/// What a first line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// The program that reads the script.
    pub(crate) interpreter: PathBuf,
    /// What `env` would start, if the interpreter is env.
    pub(crate) by_env: Option<OsString>,
}

/// `None`: no script.
///
/// # Errors
/// What is wrong with the line.
pub(crate) fn parse(head: &[u8]) -> Result<Option<Line>, &'static str> {
    let Some(rest) = head.strip_prefix(b"#!") else { return Ok(None) };
    let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
        return if head.len() >= LONGEST { Err("is longer than 255 bytes") } else { words(rest) };
    };
    words(&rest[..end])
}

fn words(line: &[u8]) -> Result<Option<Line>, &'static str> {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let line = trim(line);
    if line.contains(&0) {
        return Err("has a NUL in it");
    }
    let end = line.iter().position(blank).unwrap_or(line.len());
    let (interpreter, rest) = line.split_at(end);
    if !interpreter.starts_with(b"/") {
        return Err("names no absolute path");
    }
    Ok(Some(Line {
        interpreter: PathBuf::from(OsString::from_vec(interpreter.to_vec())),
        by_env: env_starts(trim(rest)),
    }))
}

/// What `env ARG` starts: the kernel passes the rest of the line as one word,
/// which `-S` splits.
fn env_starts(rest: &[u8]) -> Option<OsString> {
    let (split, rest) = match rest {
        [b'-', b'S', rest @ ..] => (true, trim(rest)),
        _ => match rest.strip_prefix(b"--split-string=") {
            Some(rest) => (true, rest),
            None => (false, rest),
        },
    };
    let words: Vec<&[u8]> = if split {
        rest.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty()).collect()
    } else {
        vec![rest]
    };
    let name = words.into_iter().find(|word| !word.contains(&b'=') && !word.starts_with(b"-"))?;
    (!name.is_empty()).then(|| OsString::from_vec(name.to_vec()))
}

fn trim(text: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = text.iter().position(|byte| !blank(byte)).unwrap_or(text.len());
    let end = text.iter().rposition(|byte| !blank(byte)).map_or(start, |at| at + 1);
    &text[start..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Option<(String, Option<String>)> {
        let line = parse(text.as_bytes()).unwrap()?;
        Some((line.interpreter.display().to_string(), line.by_env.map(|name| name.into_string().unwrap())))
    }

    #[test]
    fn first_line_is_read_as_the_kernel_and_env_do() {
        let some = |path: &str, env: Option<&str>| Some((path.to_owned(), env.map(str::to_owned)));
        assert_eq!(line("print(1)\n"), None);
        assert_eq!(line("#!/bin/sh\n"), some("/bin/sh", None));
        assert_eq!(line("#! \t/bin/sh -e \n"), some("/bin/sh", None));
        // A line that ends as on Windows names another file, as it does for the kernel.
        assert_eq!(line("#!/bin/sh\r\n"), some("/bin/sh\r", None));
        assert_eq!(line("#!/usr/bin/env python3\n"), some("/usr/bin/env", Some("python3")));
        assert_eq!(line("#!/usr/bin/env -S A=1 python3 -u\n"), some("/usr/bin/env", Some("python3")));
        assert_eq!(line("#!/usr/bin/env python3 -u\n"), some("/usr/bin/env", Some("python3 -u")));
        assert_eq!(line("#!/bin/sh"), some("/bin/sh", None));
    }

    #[test]
    fn first_line_that_the_kernel_cannot_use_is_refused() {
        assert_eq!(parse(b"#!sh\n"), Err("names no absolute path"));
        assert_eq!(parse(b"#!\n"), Err("names no absolute path"));
        assert_eq!(parse(b"#!/a\0b\n"), Err("has a NUL in it"));
        let long = format!("#!/{}\n", "x".repeat(300));
        assert_eq!(parse(&long.as_bytes()[..LONGEST]), Err("is longer than 255 bytes"));
    }
}
