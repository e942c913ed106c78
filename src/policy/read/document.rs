//! The top level of a policy.

use std::collections::{BTreeMap, BTreeSet};

use jsonc_parser::ast::Value;

use super::super::findings::Finding;
use super::super::model::{Exec, ImageSource, Network, OnViolation, PayloadPlace, Verify, Word, Wx};
use super::super::source::{Span, Spanned, quote};
use super::{Field, RawAllow, RawCeiling, RawLimits, RawPath, RawViolation, Reader};
use crate::Layer;

/// The version of the shape described here.
pub(in super::super) const VERSION: u64 = 1;

/// The newest Landlock ABI that a policy may ask for. Kernels have reached 8;
/// a number far above is a slip, and no host would ever do.
pub(in super::super) const ABI_MOST: u64 = 99;

const KNOWN: &[&str] = &[
    "version",
    "name",
    "comment",
    "extends",
    "image",
    "payload",
    "command",
    "argv0",
    "user",
    "hostname",
    "cwd",
    "env",
    "paths",
    "paths+",
    "network",
    "landlock",
    "exec",
    "wx",
    "syscalls",
    "syscalls+",
    "limits",
    "degrade",
    "ceiling",
];

/// A policy as written, or as merged with the one it extends.
#[derive(Debug, Clone)]
pub(in super::super) struct Document {
    /// Where it opens: the place of what is not there.
    pub(in super::super) open: Span,
    pub(in super::super) version: Field<u64>,
    pub(in super::super) name: Field<String>,
    pub(in super::super) comment: Field<String>,
    pub(in super::super) extends: Field<String>,
    pub(in super::super) image: Field<ImageSource>,
    pub(in super::super) verify: Field<Verify>,
    pub(in super::super) payload: Field<PayloadPlace>,
    pub(in super::super) command: Field<Vec<Spanned<Word>>>,
    pub(in super::super) argv0: Field<Word>,
    pub(in super::super) uid: Field<u32>,
    pub(in super::super) gid: Field<u32>,
    pub(in super::super) hostname: Field<String>,
    pub(in super::super) cwd: Field<String>,
    pub(in super::super) env: Field<BTreeMap<String, String>>,
    pub(in super::super) paths: Field<Vec<RawPath>>,
    pub(in super::super) more_paths: Field<Vec<RawPath>>,
    pub(in super::super) network: Field<Network>,
    pub(in super::super) min_abi: Field<u32>,
    pub(in super::super) exec: Field<Exec>,
    pub(in super::super) wx: Field<Wx>,
    pub(in super::super) on_violation: Field<OnViolation>,
    pub(in super::super) max_violations: Field<u32>,
    pub(in super::super) allow: Field<Vec<RawAllow>>,
    pub(in super::super) more_allow: Field<Vec<RawAllow>>,
    pub(in super::super) violations: Field<Vec<RawViolation>>,
    pub(in super::super) more_violations: Field<Vec<RawViolation>>,
    pub(in super::super) limits: RawLimits,
    /// Some part of `limits` was unreadable, so that nothing is missing there.
    pub(in super::super) limits_bad: bool,
    pub(in super::super) degrade: Field<BTreeSet<Layer>>,
    pub(in super::super) ceiling: Field<RawCeiling>,
}

/// Reads the top level. `None` if the policy is not an object.
pub(in super::super) fn read(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<Document> {
    let fields = reader.fields(value, "a policy", KNOWN)?;
    let mut document = Document::new(fields.open);
    for (name, key, value) in &fields.entries {
        reader.field(&mut document, name, *key, value);
    }
    Some(document)
}

impl Document {
    fn new(open: Span) -> Self {
        Self {
            open,
            version: Field::Absent,
            name: Field::Absent,
            comment: Field::Absent,
            extends: Field::Absent,
            image: Field::Absent,
            verify: Field::Absent,
            payload: Field::Absent,
            command: Field::Absent,
            argv0: Field::Absent,
            uid: Field::Absent,
            gid: Field::Absent,
            hostname: Field::Absent,
            cwd: Field::Absent,
            env: Field::Absent,
            paths: Field::Absent,
            more_paths: Field::Absent,
            network: Field::Absent,
            min_abi: Field::Absent,
            exec: Field::Absent,
            wx: Field::Absent,
            on_violation: Field::Absent,
            max_violations: Field::Absent,
            allow: Field::Absent,
            more_allow: Field::Absent,
            violations: Field::Absent,
            more_violations: Field::Absent,
            limits: RawLimits::default(),
            limits_bad: false,
            degrade: Field::Absent,
            ceiling: Field::Absent,
        }
    }
}

impl Reader<'_> {
    /// One field of the top level.
    fn field(&mut self, document: &mut Document, name: &str, key: Span, value: &Value<'_>) {
        match name {
            "version" => document.version = self.version(value).into(),
            "name" => document.name = self.policy_name(value).into(),
            "comment" => document.comment = self.top_comment(value).into(),
            "extends" => document.extends = self.extends(value).into(),
            "image" => {
                let (image, verify) = self.image(value);
                document.image = image.into();
                document.verify = verify.map_or(Field::Absent, Field::Good);
            }
            "payload" => document.payload = self.payload(value).into(),
            "command" => document.command = self.command(value).map(|c| Spanned::new(c, key)).into(),
            "argv0" => document.argv0 = self.word(value, "`argv0`").into(),
            "user" => self.user(document, value),
            "hostname" => document.hostname = self.hostname(value).into(),
            "cwd" => document.cwd = self.path(value, "`cwd`").into(),
            "env" => document.env = self.environment(value).map(|e| Spanned::new(e, key)).into(),
            "paths" => document.paths = self.paths(value, "`paths`").map(|p| Spanned::new(p, key)).into(),
            "paths+" => {
                document.more_paths = self.paths(value, "`paths+`").map(|p| Spanned::new(p, key)).into()
            }
            "network" => document.network = self.network(value).into(),
            "landlock" => document.min_abi = self.landlock(value).into(),
            "exec" => {
                let known = [("launch-only", Exec::LaunchOnly), ("image", Exec::Image)];
                document.exec = self.choice(value, "`exec`", &known).into();
            }
            "wx" => {
                document.wx = self.choice(value, "`wx`", &[("deny", Wx::Deny), ("allow", Wx::Allow)]).into()
            }
            "syscalls" => self.syscalls_field(document, value),
            "syscalls+" => {
                let more = self.more_syscalls(value);
                let bad = more.is_none();
                let more = more.unwrap_or_default();
                document.more_allow = if bad { Field::Bad } else { more.allow };
                document.more_violations = if bad { Field::Bad } else { more.violations };
            }
            "limits" => match self.limits(value) {
                Some(limits) => document.limits = limits,
                None => document.limits_bad = true,
            },
            "degrade" => document.degrade = self.degrade(value).into(),
            "ceiling" => document.ceiling = self.ceiling(value).map(|c| Spanned::new(c, key)).into(),
            _ => {}
        }
    }

    fn syscalls_field(&mut self, document: &mut Document, value: &Value<'_>) {
        if let Some(syscalls) = self.syscalls(value) {
            document.on_violation = syscalls.on_violation;
            document.max_violations = syscalls.max_violations;
            document.allow = syscalls.allow;
            document.violations = syscalls.violations;
        } else {
            document.on_violation = Field::Bad;
            document.max_violations = Field::Bad;
            document.allow = Field::Bad;
            document.violations = Field::Bad;
        }
    }

    fn version(&mut self, value: &Value<'_>) -> Option<Spanned<u64>> {
        let version = self.integer(value, "`version`")?;
        if version.value == VERSION {
            return Some(version);
        }
        let message = format!("unknown version {}", version.value);
        self.say(Finding::at(version.span, message).help(format!("this program reads version {VERSION}")));
        None
    }

    fn top_comment(&mut self, value: &Value<'_>) -> Option<Spanned<String>> {
        let text = self.string(value, "`comment`")?;
        if text.value.trim().is_empty() {
            self.say(Finding::at(text.span, "this comment says nothing").help("say what the policy is for"));
            return None;
        }
        Some(Spanned::new(text.value.to_owned(), text.span))
    }

    /// A built-in policy: which one is looked up by the caller.
    fn extends(&mut self, value: &Value<'_>) -> Option<Spanned<String>> {
        let text = self.string(value, "`extends`")?;
        if super::super::is_file_argument(text.value) {
            let finding = Finding::at(text.span, format!("{} is a file", quote(text.value)));
            let help = "a policy extends a built-in one by name, so that it means the same everywhere";
            self.say(finding.help(help));
            return None;
        }
        Some(Spanned::new(text.value.to_owned(), text.span))
    }

    fn payload(&mut self, value: &Value<'_>) -> Option<Spanned<PayloadPlace>> {
        let fields = self.fields(value, "`payload`", &["as", "executable", "comment"])?;
        self.optional_comment(&fields);
        self.require(&fields, "`payload`", &["as"]);
        let executable = fields.get("executable").map(|v| self.boolean(v, "`executable`"));
        let path = fields.get("as").and_then(|v| self.path(v, "`as`"));
        let executable = match executable {
            None => true,
            Some(given) => given?.value,
        };
        let path = path?;
        Some(Spanned::new(PayloadPlace { path: path.value, executable }, path.span))
    }

    fn user(&mut self, document: &mut Document, value: &Value<'_>) {
        let Some(fields) = self.fields(value, "`user`", &["uid", "gid", "comment"]) else {
            document.uid = Field::Bad;
            document.gid = Field::Bad;
            return;
        };
        self.optional_comment(&fields);
        if let Some(value) = fields.get("uid") {
            document.uid = self.id(value, "`uid`").into();
        }
        if let Some(value) = fields.get("gid") {
            document.gid = self.id(value, "`gid`").into();
        }
    }

    fn network(&mut self, value: &Value<'_>) -> Option<Spanned<Network>> {
        let fields = self.fields(value, "`network`", &["mode", "comment"])?;
        self.optional_comment(&fields);
        self.require(&fields, "`network`", &["mode"]);
        let mode = fields.get("mode")?;
        self.choice(mode, "`mode`", &[("none", Network::None), ("loopback", Network::Loopback)])
    }

    fn landlock(&mut self, value: &Value<'_>) -> Option<Spanned<u32>> {
        let fields = self.fields(value, "`landlock`", &["min_abi", "comment"])?;
        self.optional_comment(&fields);
        self.require(&fields, "`landlock`", &["min_abi"]);
        let abi = self.integer(fields.get("min_abi")?, "`min_abi`")?;
        if (1..=ABI_MOST).contains(&abi.value) {
            return Some(Spanned::new(u32::try_from(abi.value).ok()?, abi.span));
        }
        let help = if abi.value == 0 {
            "the first is 1; a policy that can do without names `landlock` in `degrade`"
        } else {
            "that is newer than any kernel"
        };
        self.say(Finding::at(abi.span, format!("there is no Landlock ABI {}", abi.value)).help(help));
        None
    }
}
