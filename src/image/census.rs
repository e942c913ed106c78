//! What an image lets an attacker use: programs, and what kinds they are of.
//!
//! A program is known by its name and, because names are cheap, by what is in
//! it: a shell that is called `true` is a shell.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;

use serde::{Deserialize, Serialize};

use super::digest::Digest;
use super::draft::Draft;
use super::elf::{self, ElfProblem};
use super::layout::Content;

/// The most of a program that is searched for what gives it away.
const MOST: u64 = 512 << 20;

/// What is counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Census {
    /// Regular files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Directories, the root among them.
    pub directories: u64,
    /// Symbolic links.
    pub links: u64,
    /// Files with an execute bit that can be started, the loader not among them.
    pub programs: Vec<String>,
    /// Shells among them.
    pub shells: Vec<String>,
    /// Interpreters among them, shells too.
    pub interpreters: Vec<String>,
    /// Programs that talk to other machines.
    pub network_clients: Vec<String>,
    /// Compilers, assemblers, linkers.
    pub compilers: Vec<String>,
    /// Programs that fetch and install others.
    pub package_managers: Vec<String>,
    /// Shared libraries.
    pub libraries: u64,
    /// Bytes of programs and libraries.
    pub executable_bytes: u64,
}

/// A kind of program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Shell,
    Interpreter,
    Network,
    Compiler,
    Packages,
}

/// File names, without a version or a target in front.
const NAMES: &[(Kind, &[&str])] = &[
    (
        Kind::Shell,
        &[
            "sh", "bash", "rbash", "dash", "ash", "zsh", "ksh", "mksh", "pdksh", "oksh", "loksh", "lksh",
            "csh", "tcsh", "fish", "busybox", "toybox", "nu", "pwsh", "elvish", "xonsh", "yash", "rc", "es",
            "oil", "osh",
        ],
    ),
    (
        Kind::Interpreter,
        &[
            "python",
            "pypy",
            "perl",
            "ruby",
            "jruby",
            "node",
            "nodejs",
            "deno",
            "bun",
            "lua",
            "luajit",
            "php",
            "php-cgi",
            "tclsh",
            "wish",
            "expect",
            "guile",
            "awk",
            "gawk",
            "mawk",
            "nawk",
            "original-awk",
            "java",
            "jshell",
            "erl",
            "escript",
            "elixir",
            "racket",
            "sbcl",
            "clisp",
            "ghci",
            "octave",
            "Rscript",
            "R",
            "julia",
            "gdb",
            "qjs",
            "d8",
            "mono",
            "dotnet",
            "groovy",
            "scala",
            "kotlin",
            "sed",
            "ed",
            "vi",
            "vim",
            "emacs",
            "bc",
            "dc",
            "m4",
            "gnuplot",
        ],
    ),
    (
        Kind::Network,
        &[
            "curl",
            "wget",
            "wget2",
            "nc",
            "ncat",
            "netcat",
            "nc.openbsd",
            "nc.traditional",
            "socat",
            "ssh",
            "scp",
            "sftp",
            "rsync",
            "telnet",
            "ftp",
            "tftp",
            "lftp",
            "dig",
            "host",
            "nslookup",
            "ping",
            "traceroute",
            "nmap",
            "openssl",
            "gnutls-cli",
            "git",
            "svn",
            "hg",
            "aria2c",
            "lynx",
            "w3m",
            "elinks",
            "busybox",
            "toybox",
            "tcpdump",
            "ip",
            "aws",
            "gsutil",
            "kubectl",
            "docker",
        ],
    ),
    (
        Kind::Compiler,
        &[
            "cc", "c++", "gcc", "g++", "cpp", "clang", "clang++", "tcc", "cc1", "cc1plus", "collect2",
            "lto1", "as", "ld", "ld.bfd", "ld.gold", "ld.lld", "lld", "mold", "rustc", "go", "compile",
            "link", "asm", "javac", "ecj", "gfortran", "f951", "gnat", "gccgo", "fpc", "ghc", "ocamlopt",
            "ocamlc", "dmd", "ldc2", "nim", "zig", "swiftc", "kotlinc", "scalac", "tsc", "nasm", "yasm",
            "make", "cmake", "ninja",
        ],
    ),
    (
        Kind::Packages,
        &[
            "apt",
            "apt-get",
            "aptitude",
            "dpkg",
            "dpkg-deb",
            "rpm",
            "yum",
            "dnf",
            "microdnf",
            "zypper",
            "apk",
            "pacman",
            "emerge",
            "xbps-install",
            "opkg",
            "nix",
            "nix-env",
            "guix",
            "snap",
            "flatpak",
            "brew",
            "pip",
            "pipx",
            "uv",
            "poetry",
            "conda",
            "mamba",
            "npm",
            "npx",
            "yarn",
            "pnpm",
            "corepack",
            "gem",
            "bundle",
            "bundler",
            "cargo",
            "rustup",
            "cpan",
            "cpanm",
            "luarocks",
            "composer",
            "cabal",
            "stack",
            "opam",
            "mvn",
            "gradle",
            "easy_install",
        ],
    ),
];

/// Bytes that only such a program has: names of variables that it reads, mostly.
const MARKS: &[(&[u8], &[Kind])] = &[
    // What getopts, which every shell of Bourne's family has, counts with. Their
    // prompts are no mark: node knows them by name, too.
    (b"\0OPTIND\0", &[Kind::Shell, Kind::Interpreter]),
    (b"\0OPTIND=", &[Kind::Shell, Kind::Interpreter]),
    (b"BusyBox v1.", &[Kind::Shell, Kind::Interpreter, Kind::Network]),
    (b"PYTHONHASHSEED", &[Kind::Interpreter]),
    (b"PERL5LIB", &[Kind::Interpreter]),
    (b"RUBYLIB", &[Kind::Interpreter]),
    (b"NODE_EXTRA_CA_CERTS", &[Kind::Interpreter]),
    (b"LUA_INIT", &[Kind::Interpreter]),
    (b"PHP_INI_SCAN_DIR", &[Kind::Interpreter]),
    (b"TCLLIBPATH", &[Kind::Interpreter]),
    (b"AWKPATH", &[Kind::Interpreter]),
    (b"JDK_JAVA_OPTIONS", &[Kind::Interpreter]),
    (b"CURL_CA_BUNDLE", &[Kind::Network]),
    (b"SYSTEM_WGETRC", &[Kind::Network]),
    (b"SSH_ASKPASS_REQUIRE", &[Kind::Network]),
    (b"COLLECT_GCC_OPTIONS", &[Kind::Compiler]),
    (b"DPKG_ADMINDIR", &[Kind::Packages]),
];

/// What a file is, as far as counting goes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
    Program(BTreeSet<Kind>),
    Library,
    Data,
}

/// Counts. `open` gives a file's bytes by digest, mode and size.
pub(crate) fn count<E>(
    draft: &Draft,
    mut open: impl FnMut(&Digest, u16, u64) -> Result<Content, E>,
) -> Result<Census, E>
where
    E: From<io::Error>,
{
    let mut census = Census::default();
    let loaders: Vec<Vec<u8>> =
        elf::Interpreter::ALL.iter().filter_map(|loader| draft.resolve(loader.path().as_bytes())).collect();
    for (_, node) in draft.iter() {
        match node.what {
            super::manifest::What::Dir { .. } => census.directories += 1,
            super::manifest::What::Symlink { .. } => census.links += 1,
            super::manifest::What::File { size, .. } => {
                census.files += 1;
                census.bytes += size;
            }
        }
    }
    for (path, mode, size, digest) in draft.files() {
        // No program is shorter than a `#!` and a name.
        if size < 4 {
            continue;
        }
        let content = open(digest, mode, size)?;
        let found = look(path, mode, &content)?;
        if found != Found::Data {
            census.executable_bytes += size;
        }
        census.libraries += u64::from(found == Found::Library);
        let Found::Program(kinds) = found else { continue };
        if loaders.contains(path) {
            continue;
        }
        let shown = path.escape_ascii().to_string();
        let lists = [
            (Kind::Shell, &mut census.shells),
            (Kind::Interpreter, &mut census.interpreters),
            (Kind::Network, &mut census.network_clients),
            (Kind::Compiler, &mut census.compilers),
            (Kind::Packages, &mut census.package_managers),
        ];
        for (kind, list) in lists {
            if kinds.contains(&kind) {
                list.push(shown.clone());
            }
        }
        census.programs.push(shown);
    }
    Ok(census)
}

fn look(path: &[u8], mode: u16, content: &Content) -> io::Result<Found> {
    let mut head = [0; 4];
    content.read_at_start(&mut head)?;
    let executable = mode & 0o111 != 0;
    if head.starts_with(b"#!") && executable {
        return Ok(Found::Program(by_name(path)));
    }
    if head != *b"\x7fELF" {
        return Ok(Found::Data);
    }
    let Content::Opened(file, size) = content else { return Ok(Found::Library) };
    match elf::inspect(file) {
        // glibc's own library can be started, too, and does no harm.
        Ok(elf) if elf.soname.is_some() => Ok(Found::Library),
        Ok(_) | Err(ElfProblem::UnknownInterpreter(_)) if executable => {
            let mut kinds = by_name(path);
            if *size <= MOST {
                kinds.extend(by_content(content)?);
            }
            Ok(Found::Program(kinds))
        }
        _ => Ok(Found::Library),
    }
}

/// `x86_64-linux-gnu-gcc-12` is gcc, `python3.11` is python.
fn by_name(path: &[u8]) -> BTreeSet<Kind> {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let Some(name) = OsStr::from_bytes(name).to_str() else { return BTreeSet::new() };
    let name = name.strip_prefix("x86_64-linux-gnu-").unwrap_or(name);
    let name = name.strip_prefix("x86_64-linux-musl-").unwrap_or(name);
    let unversioned = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-');
    let fits = |known: &str| known == name || known == unversioned;
    NAMES.iter().filter(|(_, names)| names.iter().any(|known| fits(known))).map(|(kind, _)| *kind).collect()
}

fn by_content(content: &Content) -> io::Result<BTreeSet<Kind>> {
    let longest = MARKS.iter().map(|(mark, _)| mark.len()).max().unwrap_or(0);
    let mut first = [false; 256];
    MARKS.iter().filter_map(|(mark, _)| mark.first()).for_each(|byte| first[usize::from(*byte)] = true);
    let mut kinds = BTreeSet::new();
    // The end of a piece is looked at again with the next one.
    let mut window: Vec<u8> = Vec::new();
    content.copy(|piece| {
        let keep = window.len().min(longest);
        window.drain(..window.len() - keep);
        window.extend_from_slice(piece);
        for (at, byte) in window.iter().enumerate() {
            if first[usize::from(*byte)] {
                let rest = &window[at..];
                let hits = MARKS.iter().filter(|(mark, _)| rest.starts_with(mark));
                hits.for_each(|(_, found)| kinds.extend(*found));
            }
        }
        Ok(())
    })?;
    Ok(kinds)
}

/// A count and its noun: `1 shell`, `2 shells`.
fn counted(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// Bytes for people: `12.1 MB`, with decimal units.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
pub fn megabytes(bytes: u64) -> String {
    match bytes {
        0..1000 => format!("{bytes} B"),
        1000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}

impl Census {
    /// `81 files · 12.1 MB · 1 program · 0 shells · 0 setuid · 9 packages`.
    /// No image can hold a set-id bit.
    #[must_use]
    pub fn headline(&self, packages: u64) -> String {
        [
            counted(self.files, "file"),
            megabytes(self.bytes),
            counted(self.programs.len() as u64, "program"),
            counted(self.shells.len() as u64, "shell"),
            "0 setuid".to_owned(),
            counted(packages, "package"),
        ]
        .join(" · ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(name: &str) -> Vec<Kind> {
        by_name(name.as_bytes()).into_iter().collect()
    }

    #[test]
    fn program_name_tells_its_kind_whatever_version_it_is() {
        assert_eq!(kinds("/bin/bash"), [Kind::Shell]);
        assert_eq!(kinds("/usr/bin/python3.11"), [Kind::Interpreter]);
        assert_eq!(kinds("/usr/bin/x86_64-linux-gnu-g++-12"), [Kind::Compiler]);
        assert_eq!(kinds("/usr/bin/busybox"), [Kind::Shell, Kind::Network]);
        assert_eq!(kinds("/usr/bin/sort"), []);
        assert_eq!(kinds("/usr/bin/basher"), []);
    }

    #[test]
    fn program_content_tells_its_kind_whatever_its_name_is() {
        let mut bytes = vec![7; 300_000];
        let at = (128 << 10) - 2;
        bytes[at..at + 8].copy_from_slice(b"\0OPTIND=");
        let found = by_content(&Content::Bytes(bytes.clone())).unwrap();
        assert_eq!(found, [Kind::Shell, Kind::Interpreter].into());
        bytes[at] = b'_';
        assert_eq!(by_content(&Content::Bytes(bytes)).unwrap(), BTreeSet::new());
    }

    #[test]
    fn headline_counts_in_words() {
        let census =
            Census { files: 81, bytes: 12_100_000, programs: vec!["/p".into()], ..Census::default() };
        let line = "81 files · 12.1 MB · 1 program · 0 shells · 0 setuid · 9 packages";
        assert_eq!(census.headline(9), line);
        assert_eq!(megabytes(999), "999 B");
        assert_eq!(megabytes(1_500), "1.5 kB");
    }
}
