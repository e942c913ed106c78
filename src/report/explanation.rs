//! What `--explain` adds to a report.

use serde::Serialize;
use serde_json::Value;

/// One thing that the policy stood in the way of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// `call`, `path` or `limit`.
    pub kind: &'static str,
    /// What happened, in words.
    pub what: String,
    /// The call.
    pub syscall: Option<String>,
    /// Its number.
    pub number: Option<u32>,
    /// Its arguments, in hexadecimal.
    pub args: Option<[String; 6]>,
    /// What it was answered, where the policy itself did: the name of an errno.
    pub answer: Option<String>,
    /// The path that it named, from the root of the box.
    pub path: Option<String>,
    /// The limit that was reached.
    pub limit: Option<&'static str>,
    /// How often.
    pub count: u64,
    /// Why programs go on without it, where they do.
    pub expected: Option<String>,
    /// What would allow it.
    pub allow: Option<Allow>,
    /// Why nothing can allow it.
    pub never: Option<String>,
}

/// What would allow it: options of the request, or a change of the policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Allow {
    /// In words.
    pub words: String,
    /// Options of `stockade run`.
    pub options: Vec<String>,
    /// Operations on the resolved policy: a JSON Patch (RFC 6902).
    pub patch: Vec<Value>,
    /// The same as fields of a policy that extends it, where they can say it.
    pub extends: Option<Value>,
}

impl Explanation {
    /// In one line.
    #[must_use]
    pub fn line(&self) -> String {
        let times = if self.count > 1 { format!(" ({} times)", self.count) } else { String::new() };
        let then = match (&self.allow, &self.never) {
            (Some(allow), _) => allow.words.clone(),
            (None, Some(never)) => format!("nothing can allow it: {never}"),
            (None, None) => match &self.expected {
                Some(why) => why.clone(),
                None => "nothing is known that would allow it".to_owned(),
            },
        };
        format!("{}{times}; {then}", self.what)
    }
}
