//! A resolved policy as canonical JSON, and its digest.
//!
//! Guarantees: equal policies print equal bytes (fields sorted, no spaces,
//! values in one form only), so that the digest names what a policy means and
//! not how it was written; what is printed is itself a policy that extends
//! nothing and resolves to the same.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use super::model::{
    Access, AllowRule, Condition, Exec, ImageSource, Limits, Network, OnOutput, OnViolation, Otherwise,
    PathEntry, PathSource, Policy, Stack, Syscalls, Test, Verify, ViolationRule, When, Word, Wx,
};
use super::names;
use super::units::{format_duration, format_size};

impl Policy {
    /// The policy as canonical JSON: one line, fields sorted, units in their
    /// shortest exact form, calls by name and values in hexadecimal. It is a
    /// policy that extends nothing, and parses to this one.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut out = String::with_capacity(8192);
        let mut o = Object::open(&mut out);
        if let Some(argv0) = &self.argv0 {
            word(o.field("argv0"), argv0);
        }
        list(o.field("command"), &self.command, word);
        text(o.field("comment"), &self.comment);
        text(o.field("cwd"), &self.cwd);
        list(o.field("degrade"), &self.degrade, |out, layer| text(out, layer.name()));
        let mut env = Object::open(o.field("env"));
        for (name, value) in &self.env {
            text(env.field(name), value);
        }
        env.close();
        text(o.field("exec"), exec(self.exec));
        text(o.field("hostname"), &self.hostname);
        image(o.field("image"), &self.image, self.verify);
        let mut landlock = Object::open(o.field("landlock"));
        number(landlock.field("min_abi"), self.landlock_min_abi);
        landlock.close();
        limits(o.field("limits"), &self.limits);
        text(o.field("name"), &self.name);
        let mut net = Object::open(o.field("network"));
        text(net.field("mode"), network(self.network));
        net.close();
        list(o.field("paths"), &self.paths, path);
        let mut payload = Object::open(o.field("payload"));
        text(payload.field("as"), &self.payload.path);
        payload.field("executable").push_str(if self.payload.executable { "true" } else { "false" });
        payload.close();
        syscalls(o.field("syscalls"), &self.syscalls);
        let mut user = Object::open(o.field("user"));
        number(user.field("gid"), self.user.gid);
        number(user.field("uid"), self.user.uid);
        user.close();
        number(o.field("version"), 1_u32);
        text(o.field("wx"), wx(self.wx));
        o.close();
        out
    }
}

/// `sha256:` and the digest of the canonical JSON, in hex.
pub(super) fn digest(policy: &Policy) -> String {
    let mut out = String::from("sha256:");
    for byte in Sha256::digest(policy.to_json().as_bytes()) {
        for nibble in [byte >> 4, byte & 0xf] {
            out.push(char::from_digit(u32::from(nibble), 16).unwrap_or('?'));
        }
    }
    out
}

/// An object that is being written. Its writer gives the fields in order.
struct Object<'o> {
    out: &'o mut String,
    empty: bool,
}

impl<'o> Object<'o> {
    fn open(out: &'o mut String) -> Self {
        out.push('{');
        Self { out, empty: true }
    }

    /// Starts the field; the caller writes its value.
    fn field(&mut self, name: &str) -> &mut String {
        if !self.empty {
            self.out.push(',');
        }
        self.empty = false;
        text(self.out, name);
        self.out.push(':');
        self.out
    }

    fn close(self) {
        self.out.push('}');
    }
}

fn list<T>(out: &mut String, elements: impl IntoIterator<Item = T>, write: impl Fn(&mut String, T)) {
    out.push('[');
    for (i, element) in elements.into_iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        write(out, element);
    }
    out.push(']');
}

/// A JSON string; only what must be escaped is, and the way RFC 8785 (the
/// JSON canonicalization scheme) and serde_json do it.
fn text(out: &mut String, text: &str) {
    out.push('"');
    let mut plain = 0;
    for (i, byte) in text.bytes().enumerate() {
        if byte >= b' ' && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.push_str(text.get(plain..i).unwrap_or_default());
        plain = i + 1;
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            8 => out.push_str("\\b"),
            12 => out.push_str("\\f"),
            control => formatted(out, format_args!("\\u{control:04x}")),
        }
    }
    out.push_str(text.get(plain..).unwrap_or_default());
    out.push('"');
}

fn number(out: &mut String, value: impl std::fmt::Display) {
    formatted(out, format_args!("{value}"));
}

fn hex(out: &mut String, value: u64) {
    formatted(out, format_args!("\"{value:#x}\""));
}

fn formatted(out: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail; if it did, the text would not parse.
    if out.write_fmt(what).is_err() {
        out.push('?');
    }
}

fn image(out: &mut String, image: &ImageSource, verify: Verify) {
    let mut o = Object::open(out);
    if *image == ImageSource::PayloadClosure {
        text(o.field("closure"), "payload");
    }
    let (ImageSource::Named { id, .. } | ImageSource::Recipe { id, .. }) = image else {
        if let ImageSource::Id(id) = image {
            text(o.field("id"), id);
        }
        verified(&mut o, verify);
        return o.close();
    };
    if let Some(id) = id {
        text(o.field("id"), id);
    }
    if let ImageSource::Named { name, .. } = image {
        text(o.field("name"), name);
    }
    if let ImageSource::Recipe { recipe, program, .. } = image {
        text(o.field("program"), program);
        text(o.field("recipe"), recipe);
    }
    verified(&mut o, verify);
    o.close();
}

fn verified(o: &mut Object<'_>, verify: Verify) {
    if verify != Verify::Stamp {
        text(o.field("verify"), verify.name());
    }
}

fn word(out: &mut String, word: &Word) {
    text(
        out,
        match word {
            Word::Literal(text) => text,
            Word::Payload => "{payload}",
            Word::Args => "{args}",
            Word::Given => "{given}",
        },
    );
}

fn path(out: &mut String, entry: &PathEntry) {
    let mut o = Object::open(out);
    access(o.field("access"), entry.access);
    text(o.field("at"), &entry.at);
    text(o.field("comment"), &entry.comment);
    if let PathSource::Devices(names) = &entry.from {
        list(o.field("devices"), names, |out, name| text(out, name));
    }
    text(
        o.field("from"),
        match &entry.from {
            PathSource::Image => "image",
            PathSource::Payload => "payload",
            PathSource::Proc => "proc",
            PathSource::Devices(_) => "devices",
            PathSource::Tmpfs { .. } => "tmpfs",
            PathSource::Out { .. } => "out",
            PathSource::Work { .. } => "work",
        },
    );
    if let Some((_, inodes)) = entry.from.memory() {
        number(o.field("inodes"), inodes);
    }
    if entry.optional {
        o.field("optional").push_str("true");
    }
    if let Some((size, _)) = entry.from.memory() {
        text(o.field("size"), &format_size(size));
    }
    o.close();
}

fn access(out: &mut String, access: Access) {
    let words = [
        ("read", access.read),
        ("write", access.write),
        ("create", access.create),
        ("execute", access.execute),
    ];
    list(out, words.into_iter().filter(|w| w.1), |out, word| text(out, word.0));
}

fn network(network: Network) -> &'static str {
    match network {
        Network::None => "none",
        Network::Loopback => "loopback",
    }
}

fn exec(exec: Exec) -> &'static str {
    match exec {
        Exec::LaunchOnly => "launch-only",
        Exec::Image => "image",
    }
}

fn wx(wx: Wx) -> &'static str {
    match wx {
        Wx::Deny => "deny",
        Wx::Allow => "allow",
    }
}

fn syscalls(out: &mut String, syscalls: &Syscalls) {
    let mut o = Object::open(out);
    list(o.field("allow"), &syscalls.allow, allow_rule);
    number(o.field("max_violations"), syscalls.max_violations);
    text(
        o.field("on_violation"),
        match syscalls.on_violation {
            OnViolation::Refuse => "refuse",
            OnViolation::Kill => "kill",
        },
    );
    if !syscalls.violations.is_empty() {
        list(o.field("violations"), &syscalls.violations, violation_rule);
    }
    o.close();
}

fn calls(out: &mut String, numbers: &[u32]) {
    list(out, numbers, |out, number| match names::name(*number) {
        Some(name) => text(out, name),
        None => text(out, &names::shown(*number)),
    });
}

fn allow_rule(out: &mut String, rule: &AllowRule) {
    let mut o = Object::open(out);
    calls(o.field("calls"), &rule.calls);
    text(o.field("comment"), &rule.comment);
    if let When::All(conditions) = &rule.when {
        list(o.field("if"), conditions, condition);
    }
    if rule.when != When::Always {
        text(
            o.field("otherwise"),
            match rule.otherwise {
                Otherwise::Enosys => "ENOSYS",
                Otherwise::Eperm => "EPERM",
                Otherwise::Violation => "violation",
            },
        );
    }
    if let When::None(conditions) = &rule.when {
        list(o.field("unless"), conditions, condition);
    }
    o.close();
}

fn violation_rule(out: &mut String, rule: &ViolationRule) {
    let mut o = Object::open(out);
    calls(o.field("calls"), &rule.calls);
    text(o.field("comment"), &rule.comment);
    if !rule.when.is_empty() {
        list(o.field("if"), &rule.when, condition);
    }
    o.close();
}

fn condition(out: &mut String, condition: &Condition) {
    let mut o = Object::open(out);
    if let Test::AnyBit(bits) = &condition.test {
        hex(o.field("any_bit"), *bits);
    }
    text(o.field("arg"), &condition.arg);
    if let Test::In(values) | Test::MaskedIn { values, .. } = &condition.test {
        list(o.field("in"), values, |out, value| hex(out, *value));
    }
    if let Test::MaskedIn { mask, .. } = &condition.test {
        hex(o.field("masked"), *mask);
    }
    o.close();
}

fn limits(out: &mut String, limits: &Limits) {
    let mut o = Object::open(out);
    text(o.field("cpu_time"), &format_duration(limits.cpu_ns));
    text(o.field("file_size"), &format_size(limits.file_size));
    text(o.field("memory"), &format_size(limits.memory));
    text(
        o.field("on_output"),
        match limits.on_output {
            OnOutput::Kill => "kill",
            OnOutput::Cut => "cut",
        },
    );
    number(o.field("open_files"), limits.open_files);
    text(o.field("output"), &format_size(limits.output));
    number(o.field("processes"), limits.processes);
    match limits.stack {
        Stack::Memory => text(o.field("stack"), "memory"),
        Stack::Bytes(bytes) => text(o.field("stack"), &format_size(bytes)),
    }
    text(o.field("wall_time"), &format_duration(limits.wall_ns));
    o.close();
}
