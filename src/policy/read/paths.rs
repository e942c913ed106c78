//! `paths`: what can be seen inside, and what may be done with it.

use jsonc_parser::ast::Value;

use super::super::bounds;
use super::super::findings::Finding;
use super::super::model::{Access, PathSource};
use super::super::source::{Spanned, quote};
use super::super::suggest;
use super::{Fields, Reader};

/// Devices that hold no state, reach no hardware and no terminal.
pub(in super::super) const DEVICES: &[&str] = &["null", "zero", "full", "random", "urandom"];

/// What stands behind a path, before its own fields are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum RawSource {
    Image,
    Payload,
    Proc,
    Devices,
    Tmpfs,
    Out,
    Work,
}

impl RawSource {
    pub(in super::super) const ALL: &'static [(&'static str, Self)] = &[
        ("image", Self::Image),
        ("payload", Self::Payload),
        ("proc", Self::Proc),
        ("devices", Self::Devices),
        ("tmpfs", Self::Tmpfs),
        ("out", Self::Out),
        ("work", Self::Work),
    ];

    pub(in super::super) fn name(self) -> &'static str {
        Self::ALL.iter().find(|s| s.1 == self).map_or("", |s| s.0)
    }

    /// What can be done with it at all, and why not more.
    pub(in super::super) fn possible(self) -> (&'static [&'static str], &'static str) {
        match self {
            Self::Image => (&["read", "execute"], "the image is immutable"),
            Self::Payload => (&["read", "execute"], "the payload is a read-only copy"),
            Self::Proc => (&["read"], "nothing there is meant to be written or run"),
            Self::Devices => (&["read", "write"], "no device can be made or run"),
            Self::Tmpfs | Self::Out => (&["read", "write", "create"], "what can be written cannot be run"),
            Self::Work => (&["read", "write", "create", "execute"], "a work tree is built and run"),
        }
    }

    /// Where it can be, if that is fixed.
    pub(in super::super) fn place(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Image => Some(("/", "the image is the root")),
            Self::Proc => Some(("/proc", "programs look for it there only")),
            Self::Devices => Some(("/dev", "programs look for them there only")),
            Self::Payload | Self::Tmpfs | Self::Out | Self::Work => None,
        }
    }
}

/// One entry of `paths`; what is bad in it is missing here.
#[derive(Debug, Clone)]
pub(in super::super) struct RawPath {
    pub(in super::super) at: Option<Spanned<String>>,
    pub(in super::super) from: Option<Spanned<RawSource>>,
    pub(in super::super) source: Option<PathSource>,
    pub(in super::super) access: Option<Access>,
    pub(in super::super) optional: bool,
    pub(in super::super) comment: Option<String>,
}

/// `access` as written: what it comes to, and each word for its place.
struct Words {
    access: Access,
    words: Vec<Spanned<&'static str>>,
}

const KNOWN: &[&str] = &["at", "from", "access", "optional", "devices", "size", "inodes", "comment"];

impl Reader<'_> {
    pub(super) fn paths(&mut self, value: &Value<'_>, what: &str) -> Option<Vec<RawPath>> {
        let elements = self.elements(value, what)?;
        Some(elements.iter().filter_map(|e| self.path_entry(e)).collect())
    }

    fn path_entry(&mut self, value: &Value<'_>) -> Option<RawPath> {
        let fields = self.fields(value, "a path", KNOWN)?;
        self.require(&fields, "this path", &["at", "from", "access"]);
        let at = fields.get("at").and_then(|v| self.path(v, "`at`"));
        let from = fields.get("from").and_then(|v| self.choice(v, "`from`", RawSource::ALL));
        let access = fields.get("access").and_then(|v| self.access(v));
        let comment = self.comment(&fields, "this path");
        let optional = fields.get("optional").and_then(|v| self.boolean(v, "`optional`"));
        let mut entry = RawPath {
            at,
            from: from.clone(),
            source: None,
            access: access.as_ref().map(|a| a.access),
            optional: optional.as_ref().is_some_and(|o| o.value),
            comment,
        };
        let Some(from) = from else { return Some(entry) };
        self.place(&entry, from.value);
        if let Some(access) = access {
            self.possible(&access, from.value);
        }
        if let Some(optional) = optional
            && optional.value
            && from.value != RawSource::Proc
        {
            let message = format!("a path from `{}` cannot be optional", from.value.name());
            let finding = Finding::at(optional.span, message);
            self.say(finding.help("only `proc` may be absent, where the host does not let it be mounted"));
        }
        entry.source = self.path_source(&fields, from.value);
        Some(entry)
    }

    /// The fields that belong to what stands behind the path.
    fn path_source(&mut self, fields: &Fields<'_, '_>, from: RawSource) -> Option<PathSource> {
        let belong: &[&str] = match from {
            RawSource::Devices => &["devices"],
            RawSource::Tmpfs | RawSource::Out | RawSource::Work => &["size", "inodes"],
            RawSource::Image | RawSource::Payload | RawSource::Proc => &[],
        };
        for name in ["devices", "size", "inodes"] {
            if let Some(key) = fields.key(name)
                && !belong.contains(&name)
            {
                let owner = if name == "devices" { "`devices`" } else { "`tmpfs`, `out` or `work`" };
                let message = format!("a path from `{}` has no `{name}`", from.name());
                self.say(Finding::at(key, message).help(format!("only a path from {owner} has it")));
            }
        }
        self.require(fields, &format!("a path from `{}`", from.name()), belong);
        match from {
            RawSource::Image => Some(PathSource::Image),
            RawSource::Payload => Some(PathSource::Payload),
            RawSource::Proc => Some(PathSource::Proc),
            RawSource::Devices => {
                fields.get("devices").and_then(|v| self.devices(v)).map(PathSource::Devices)
            }
            RawSource::Tmpfs | RawSource::Out | RawSource::Work => {
                let size = fields.get("size").and_then(|v| self.tmpfs_size(v));
                let inodes = fields.get("inodes").and_then(|v| self.bounded(v, &bounds::TMPFS_INODES));
                let (size, inodes) = (size?, inodes?.value);
                Some(match from {
                    RawSource::Out => PathSource::Out { size, inodes },
                    RawSource::Work => PathSource::Work { size, inodes },
                    _ => PathSource::Tmpfs { size, inodes },
                })
            }
        }
    }

    fn tmpfs_size(&mut self, value: &Value<'_>) -> Option<u64> {
        let size = self.bounded(value, &bounds::TMPFS_SIZE)?;
        if !size.value.is_multiple_of(bounds::PAGE) {
            let up = size.value.next_multiple_of(bounds::PAGE);
            let finding = Finding::at(size.span, "`size` is not a whole number of pages");
            self.say(
                finding.help(format!("a page is 4KiB; the next size is {}", bounds::TMPFS_SIZE.show(up))),
            );
            return None;
        }
        Some(size.value)
    }

    fn devices(&mut self, value: &Value<'_>) -> Option<Vec<String>> {
        let elements = self.elements(value, "`devices`")?;
        let mut devices: Vec<String> = Vec::new();
        let mut good = true;
        for element in elements {
            let Some(name) = self.string(element, "a device") else {
                good = false;
                continue;
            };
            let bare = name.value.strip_prefix("/dev/").unwrap_or(name.value);
            let problem = if name.value != bare && DEVICES.contains(&bare) {
                Some((format!("{} is named with its path", quote(name.value)), format!("write `{bare}`")))
            } else if !DEVICES.contains(&name.value) {
                let message = format!("unknown device {}", quote(name.value));
                Some((message, suggest::help(name.value, DEVICES)))
            } else if devices.iter().any(|d| d == name.value) {
                Some((format!("device `{}` is listed twice", name.value), "leave one out".to_owned()))
            } else {
                devices.push(name.value.to_owned());
                None
            };
            if let Some((message, help)) = problem {
                self.say(Finding::at(name.span, message).help(help));
                good = false;
            }
        }
        good.then_some(devices)
    }

    fn access(&mut self, value: &Value<'_>) -> Option<Words> {
        const KNOWN: &[(&str, &str)] =
            &[("read", "read"), ("write", "write"), ("create", "create"), ("execute", "execute")];
        let elements = self.elements(value, "`access`")?;
        let mut words: Vec<Spanned<&'static str>> = Vec::new();
        let mut good = true;
        for element in elements {
            match self.choice(element, "an `access`", KNOWN) {
                Some(word) if words.iter().any(|w| w.value == word.value) => {
                    self.say(Finding::at(word.span, format!("`{}` is listed twice", word.value)));
                    good = false;
                }
                Some(word) => words.push(word),
                None => good = false,
            }
        }
        if !good {
            return None;
        }
        let has = |name: &str| words.iter().any(|w| w.value == name);
        let access =
            Access { read: has("read"), write: has("write"), create: has("create"), execute: has("execute") };
        let span = self.span_of(value);
        if !access.read {
            let finding = Finding::at(span, "`access` is without `read`");
            self.say(
                finding.help("what cannot be read need not be there: add `read`, or leave the path out"),
            );
        }
        if access.create && !access.write {
            self.say(Finding::at(span, "`create` is without `write`").help("add `write`"));
        }
        Some(Words { access, words })
    }

    /// Whether the access makes sense for what stands behind the path.
    fn possible(&mut self, access: &Words, from: RawSource) {
        let (possible, why) = from.possible();
        for word in &access.words {
            if !possible.contains(&word.value) {
                let message = format!("`{}` is not possible on a path from `{}`", word.value, from.name());
                let help = format!("{why}: {} at most", suggest::list(possible));
                self.say(Finding::at(word.span, message).help(help));
            }
        }
    }

    /// Whether the path is where what stands behind it has to be.
    fn place(&mut self, entry: &RawPath, from: RawSource) {
        let Some(at) = &entry.at else { return };
        let finding = match from.place() {
            Some((place, why)) if at.value != place => {
                let message = format!("a path from `{}` cannot be at {}", from.name(), quote(&at.value));
                Finding::at(at.span, message).help(format!("{why}: write `{place}`"))
            }
            None if at.value == "/" => {
                Finding::at(at.span, format!("a path from `{}` cannot be the root", from.name()))
                    .help("the root is from `image`")
            }
            _ => return,
        };
        self.say(finding);
    }
}
