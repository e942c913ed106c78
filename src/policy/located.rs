//! A policy with the text it was written in, so that what is said about it later
//! can name the place.

use super::findings::{Collector, Finding, Findings};
use super::model::{ImageSource, PathSource, PayloadPlace, Policy, Word};
use super::read::{Document, Field};
use super::source::{Source, Span, Spanned};
use super::{Checked, builtin_text, check_document, shipped};

/// A policy that can be run, and its text.
#[derive(Debug, Clone)]
pub struct Located {
    pub(super) policy: Policy,
    pub(super) document: Document,
    pub(super) sources: Vec<Source>,
}

/// A part of a policy that can differ from another's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A field of the top level, or of a small object (`user.uid`).
    Field(&'static str),
    /// A path.
    Path(String),
    /// A system call.
    Call(u32),
    /// A limit, by its name in `limits`.
    Limit(&'static str),
    /// A variable of the environment.
    Variable(String),
    /// A layer of `degrade`.
    Degrade(crate::Layer),
}

impl Located {
    /// The policy in a text.
    ///
    /// # Errors
    /// As [`super::parse`].
    pub fn parse(display_name: &str, text: &[u8]) -> Result<Self, Findings> {
        let (mut collector, document) = super::resolve(display_name, text);
        let Some(document) = document else { return Err(super::refused(collector)) };
        if let Some(ceiling) = document.ceiling.spanned() {
            let finding = Finding::at(ceiling.span, "this is a ceiling, not a policy that is run");
            collector.say(finding.help("give the file to --ceiling, or leave `ceiling` out"));
        }
        match check_document(&document, &mut collector) {
            Some(Checked::Runnable(policy)) if collector.count() == 0 => {
                return Ok(Self { policy: *policy, document, sources: collector.into_sources() });
            }
            Some(Checked::Partial) => collector.say(not_runnable(document.open)),
            _ => {}
        }
        Err(super::refused(collector))
    }

    /// A policy that is only looked at: one that is there to be extended is made
    /// one that runs its payload.
    pub(super) fn to_be_linted(display_name: &str, text: &[u8]) -> Result<Self, Findings> {
        let (mut collector, document) = super::resolve(display_name, text);
        let Some(mut document) = document else { return Err(super::refused(collector)) };
        if document.image.is_absent() && document.payload.is_absent() && document.command.is_absent() {
            document.run_its_payload();
        }
        match check_document(&document, &mut collector) {
            Some(Checked::Runnable(policy)) if collector.count() == 0 => {
                Ok(Self { policy: *policy, document, sources: collector.into_sources() })
            }
            _ => Err(super::refused(collector)),
        }
    }

    /// A policy that ships.
    ///
    /// # Errors
    /// As [`super::load_builtin`].
    pub fn builtin(name: &str) -> Result<Self, Findings> {
        match builtin_text(name) {
            Some(text) => Self::parse(&shipped(name), text.as_bytes()),
            None => Err(super::unknown_builtin(name)),
        }
    }

    /// The policy.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The policy alone.
    #[must_use]
    pub fn into_policy(self) -> Policy {
        self.policy
    }

    /// A collector whose findings are about this text.
    pub(super) fn collector(&self) -> Collector {
        Collector::of_sources(self.sources.clone())
    }

    /// Where the policy says it.
    pub(super) fn place(&self, subject: &Subject) -> Option<Span> {
        self.document.place(subject)
    }
}

/// What is said of a policy that is only there to be extended.
pub(super) fn not_runnable(open: Span) -> Finding {
    Finding::at(open, "this policy cannot be run: it has no `image`, `payload` and `command`")
        .help("name it in `extends` of one that has them, or run one that ships")
}

fn at<T>(field: &Field<T>) -> Option<Span> {
    field.spanned().map(|s| s.span)
}

impl Document {
    /// The command that `native` has, for a policy without one.
    fn run_its_payload(&mut self) {
        let good = |value| Spanned::new(value, self.open);
        let entries = self.paths.good().into_iter().flatten();
        let holder = entries.filter(|p| p.source == Some(PathSource::Payload)).find_map(|p| p.at.clone());
        let path = format!("{}/program", holder.map_or_else(String::new, |at| at.value));
        let payload = good(PayloadPlace { path, executable: true });
        let command = Spanned::new(vec![Spanned::new(Word::Payload, self.open)], self.open);
        self.image = Field::Good(Spanned::new(ImageSource::PayloadClosure, self.open));
        self.payload = Field::Good(payload);
        self.command = Field::Good(command);
    }

    /// Where the text says it; nothing for what nobody wrote.
    pub(super) fn place(&self, subject: &Subject) -> Option<Span> {
        match subject {
            Subject::Field(name) => self.field_place(name),
            Subject::Path(path) => {
                let entries = self.paths.good().into_iter().flatten();
                entries.filter_map(|p| p.at.as_ref()).find(|a| a.value == *path).map(|a| a.span)
            }
            Subject::Call(call) => {
                let allow = self.allow.good().into_iter().flatten().map(|r| &r.calls);
                let violations = self.violations.good().into_iter().flatten().map(|r| &r.calls);
                allow.chain(violations).flatten().find(|c| c.value == *call).map(|c| c.span)
            }
            Subject::Limit(name) => self.limit_place(name),
            Subject::Variable(_) => at(&self.env),
            Subject::Degrade(_) => at(&self.degrade),
        }
    }

    fn field_place(&self, name: &str) -> Option<Span> {
        match name {
            "image" => at(&self.image),
            "payload" => at(&self.payload),
            "command" => at(&self.command),
            "argv0" => at(&self.argv0),
            "user.uid" => at(&self.uid),
            "user.gid" => at(&self.gid),
            "hostname" => at(&self.hostname),
            "cwd" => at(&self.cwd),
            "network" => at(&self.network),
            "landlock" => at(&self.min_abi),
            "exec" => at(&self.exec),
            "wx" => at(&self.wx),
            "on_violation" => at(&self.on_violation),
            "max_violations" => at(&self.max_violations),
            _ => None,
        }
    }

    fn limit_place(&self, name: &str) -> Option<Span> {
        let l = &self.limits;
        match name {
            "cpu_time" => at(&l.cpu_time),
            "wall_time" => at(&l.wall_time),
            "memory" => at(&l.memory),
            "processes" => at(&l.processes),
            "open_files" => at(&l.open_files),
            "file_size" => at(&l.file_size),
            "output" => at(&l.output),
            "on_output" => at(&l.on_output),
            "stack" => at(&l.stack),
            _ => None,
        }
    }
}
