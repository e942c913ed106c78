//! The least change of a policy that allows what it refuses.
//!
//! Guarantees: what is proposed was read as a policy and means what is promised; where nothing can be
//! proposed, the reason is the reader's own. A change is told as a JSON Patch (RFC 6902) of the resolved
//! policy and, where it only adds or replaces single values, as fields of a policy that extends it.

use serde_json::{Map, Value, json};

use super::demands::{Demand, demands};
use super::model::{AllowRule, Condition, Exec, Otherwise, PathSource, Policy, Test, When, Wx};
use super::names::{self, describe, describe_bits};
use super::units::format_size;
use crate::sandbox::seccomp::{self, ARCH_X86_64, Answer, Call, Rules, decide};

const EXECVE: u32 = 59;
/// `mmap`, `mprotect`, `pkey_mprotect`: what `wx` is about.
const SETS_PROTECTION: [u32; 3] = [9, 10, 329];
const WRITE_EXEC: u64 = 6;

/// Size and files of a scratch directory that is proposed.
const SCRATCH_BYTES: u64 = 16 << 20;
const SCRATCH_INODES: u64 = 1024;

/// A change of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Amendment {
    /// Operations on the resolved policy.
    pub patch: Vec<Value>,
    /// The same as fields of a policy that extends it, if they can say it.
    pub adds: Option<Value>,
}

/// A policy's document while it is being changed.
struct Draft {
    document: Value,
    patch: Vec<Value>,
    adds: Option<Map<String, Value>>,
}

impl Draft {
    fn of(policy: &Policy) -> Self {
        let document = serde_json::from_str(&policy.to_json()).unwrap_or_default();
        Self { document, patch: Vec::new(), adds: Some(Map::new()) }
    }

    /// Replaces a single value, which a policy that extends this one may do as well.
    fn set(&mut self, field: &str, value: Value) {
        if let Some(place) = self.document.get_mut(field) {
            *place = value.clone();
        }
        if let Some(adds) = &mut self.adds {
            adds.insert(field.to_owned(), value.clone());
        }
        self.patch.push(json!({ "op": "replace", "path": format!("/{field}"), "value": value }));
    }

    /// Appends to a list.
    fn append(&mut self, list: &str, value: Value) {
        if let Some(Value::Array(elements)) = self.document.pointer_mut(list) {
            elements.push(value.clone());
        }
        if let Some(adds) = &mut self.adds {
            match list {
                "/paths" => adds.insert("paths+".to_owned(), json!([value.clone()])),
                _ => adds.insert("syscalls+".to_owned(), json!({ "allow": [value.clone()] })),
            };
        }
        self.patch.push(json!({ "op": "add", "path": format!("{list}/-"), "value": value }));
    }

    /// Replaces what is already there: only a policy of its own can.
    fn replace(&mut self, place: &str, value: Value) {
        if let Some(old) = self.document.pointer_mut(place) {
            *old = value.clone();
        }
        self.adds = None;
        self.patch.push(json!({ "op": "replace", "path": place, "value": value }));
    }

    /// Removes an element of a list: only a policy of its own can.
    fn remove(&mut self, list: &str, index: usize) {
        if let Some(Value::Array(elements)) = self.document.pointer_mut(list)
            && index < elements.len()
        {
            elements.remove(index);
        }
        self.adds = None;
        self.patch.push(json!({ "op": "remove", "path": format!("{list}/{index}") }));
    }

    /// Reads it as a policy.
    fn read(&self) -> Result<Policy, String> {
        super::parse("the amended policy", self.document.to_string().as_bytes()).map_err(|findings| {
            let first = findings.iter().next();
            let message = first.map_or_else(|| "it is no policy then".to_owned(), |f| f.message().to_owned());
            match first.and_then(|f| f.help_text()) {
                // What to write is the author's concern; it was tried.
                Some(help) => format!("{message}: {}", help.split("; write ").next().unwrap_or(help)),
                None => message,
            }
        })
    }

    fn finish(self) -> Amendment {
        Amendment { patch: self.patch, adds: self.adds.map(Value::Object) }
    }
}

/// The change that allows a call with these arguments.
///
/// # Errors
/// Why no policy may allow it.
pub fn allow_call(policy: &Policy, nr: u32, args: &[u64; 6]) -> Result<Amendment, String> {
    allow(policy, nr, args, policy.wx).or_else(|why| match policy.wx {
        // Some calls are only a way around it.
        Wx::Deny => allow(policy, nr, args, Wx::Allow).map_err(|_| why),
        Wx::Allow => Err(why),
    })
}

fn allow(policy: &Policy, nr: u32, args: &[u64; 6], mut wx: Wx) -> Result<Amendment, String> {
    let Some(name) = names::name(nr) else {
        return Err(format!("no call of the number {nr} is known, so that no policy can name it"));
    };
    let mut draft = Draft::of(policy);
    take_from_violations(policy, nr, args, &mut draft);
    let mut exec = policy.exec;
    if nr == EXECVE && exec == Exec::LaunchOnly {
        exec = Exec::Image;
        draft.set("exec", json!("image"));
    }
    if SETS_PROTECTION.contains(&nr) && args[2] & WRITE_EXEC == WRITE_EXEC {
        wx = Wx::Allow;
    }
    if wx != policy.wx {
        draft.set("wx", json!("allow"));
    }
    let comment = format!("{name}: the program asks for it");
    match policy.syscalls.allow.iter().enumerate().find(|(_, rule)| rule.calls.contains(&nr)) {
        None => {
            let when = demanded(nr, args, exec, wx);
            let otherwise = if when == When::Always { Otherwise::Enosys } else { Otherwise::Eperm };
            let rule = AllowRule { calls: vec![nr], when, otherwise, comment };
            draft.append("/syscalls/allow", rule_json(policy, &rule));
        }
        Some((_, rule)) if fits(nr, args, &rule.when) => {}
        Some((at, rule)) => {
            let when = relaxed(nr, args, &rule.when);
            let rest = rule.calls.len() > 1;
            let comment = if rest { comment } else { rule.comment.clone() };
            let alone = AllowRule { calls: vec![nr], when, otherwise: rule.otherwise, comment };
            let value = rule_json(policy, &alone);
            if rest {
                let place = rule.calls.iter().position(|c| *c == nr).unwrap_or_default();
                draft.remove(&format!("/syscalls/allow/{at}/calls"), place);
                draft.append("/syscalls/allow", value);
            } else {
                draft.replace(&format!("/syscalls/allow/{at}"), value);
            }
        }
    }
    let amended = draft.read()?;
    let rules = Rules::of(&amended, &seccomp::table);
    let call = Call { arch: ARCH_X86_64, nr, args: *args };
    match decide(&rules, [0; seccomp::NONCE_WORDS], &call) {
        Answer::Allow => Ok(draft.finish()),
        _ => Err(format!("`{name}` with these arguments is refused by every policy")),
    }
}

/// A violation wins over a rule that allows.
fn take_from_violations(policy: &Policy, nr: u32, args: &[u64; 6], draft: &mut Draft) {
    for (at, rule) in policy.syscalls.violations.iter().enumerate().rev() {
        let Some(place) = rule.calls.iter().position(|c| *c == nr) else { continue };
        if !rule.when.iter().all(|c| holds(nr, args, c)) {
            continue;
        }
        if rule.calls.len() == 1 {
            draft.remove("/syscalls/violations", at);
        } else {
            draft.remove(&format!("/syscalls/violations/{at}/calls"), place);
        }
    }
}

/// The change that gives a directory for scratch files.
///
/// # Errors
/// Why there can be none.
pub fn add_scratch(policy: &Policy, at: &str) -> Result<Amendment, String> {
    let mut draft = Draft::of(policy);
    draft.append(
        "/paths",
        json!({
            "at": at, "from": "tmpfs", "size": format_size(SCRATCH_BYTES), "inodes": SCRATCH_INODES,
            "access": ["read", "write", "create"], "comment": "the program writes there"
        }),
    );
    draft.read()?;
    Ok(draft.finish())
}

/// The change that starts the program in a directory that it can write.
///
/// # Errors
/// There is none.
pub fn writable_cwd(policy: &Policy) -> Result<(Amendment, String), String> {
    let scratch =
        |p: &&super::model::PathEntry| p.from.memory().is_some() && p.access.create && p.access.write;
    let Some(entry) = policy.paths.iter().find(scratch) else {
        return Err("this policy has no directory that can be written".to_owned());
    };
    let mut draft = Draft::of(policy);
    draft.set("cwd", json!(entry.at));
    draft.read()?;
    Ok((draft.finish(), entry.at.clone()))
}

/// The change that gives the box a network of its own.
///
/// # Errors
/// Why it cannot be given.
pub fn add_network(policy: &Policy) -> Result<Amendment, String> {
    let mut draft = Draft::of(policy);
    draft.set("network", json!({ "mode": "loopback", "comment": "the program talks to itself" }));
    draft.read()?;
    Ok(draft.finish())
}

/// What of scratch directories has run out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scratch {
    /// Bytes.
    Bytes,
    /// Files and directories.
    Inodes,
}

/// The change that gives the scratch directories twice as much.
///
/// # Errors
/// No more is possible.
pub fn more_scratch(policy: &Policy, what: Scratch) -> Result<Amendment, String> {
    let mut draft = Draft::of(policy);
    for (at, entry) in policy.paths.iter().enumerate() {
        let Some((size, inodes)) = entry.from.memory() else { continue };
        match what {
            Scratch::Bytes => {
                draft.replace(&format!("/paths/{at}/size"), json!(format_size(size.saturating_mul(2))));
            }
            Scratch::Inodes => {
                draft.replace(&format!("/paths/{at}/inodes"), json!(inodes.saturating_mul(2)));
            }
        }
    }
    draft.read()?;
    Ok(draft.finish())
}

/// The change that shows one more device.
///
/// # Errors
/// It is not among those that a policy may show.
pub fn add_device(policy: &Policy, name: &str) -> Result<Amendment, String> {
    let mut draft = Draft::of(policy);
    for (at, entry) in policy.paths.iter().enumerate() {
        if let PathSource::Devices(names) = &entry.from {
            let names: Vec<&str> = names.iter().map(String::as_str).chain([name]).collect();
            draft.replace(&format!("/paths/{at}/devices"), json!(names));
        }
    }
    if draft.patch.is_empty() {
        return Err("this policy shows no devices".to_owned());
    }
    draft.read()?;
    Ok(draft.finish())
}

/// When a call that no rule names may be allowed: always, or under the conditions that are demanded.
fn demanded(nr: u32, args: &[u64; 6], exec: Exec, wx: Wx) -> When {
    let mut all = Vec::new();
    let mut none = Vec::new();
    for reason in demands(nr, exec, wx) {
        let condition = |arg: &str, test| Condition { arg: arg.to_owned(), test };
        match reason.demand {
            Demand::Never => {}
            Demand::Clear { arg, bits, .. } => none.push(condition(arg, Test::AnyBit(bits))),
            Demand::OneOf { arg, mask, .. } => {
                let Some(value) = value_of(nr, args, arg) else { continue };
                all.push(condition(
                    arg,
                    if mask == u64::MAX {
                        Test::In(vec![value])
                    } else {
                        Test::MaskedIn { mask, values: vec![value & mask] }
                    },
                ));
            }
            Demand::NotOneOf { arg, .. } => {
                let Some(value) = value_of(nr, args, arg) else { continue };
                all.push(condition(arg, Test::In(vec![value])));
            }
        }
    }
    match (all.is_empty(), none.is_empty()) {
        (false, _) => When::All(all),
        (true, false) => When::None(none),
        (true, true) => When::Always,
    }
}

/// The conditions, so that they hold for these arguments as well.
fn relaxed(nr: u32, args: &[u64; 6], when: &When) -> When {
    let (conditions, wanted) = match when {
        When::Always => return When::Always,
        When::All(conditions) => (conditions, true),
        When::None(conditions) => (conditions, false),
    };
    let changed: Vec<Condition> = conditions
        .iter()
        .filter_map(|condition| {
            if holds(nr, args, condition) == wanted {
                return Some(condition.clone());
            }
            let value = value_of(nr, args, &condition.arg)?;
            let test =
                if wanted { including(&condition.test, value) } else { excluding(&condition.test, value) };
            test.map(|test| Condition { arg: condition.arg.clone(), test })
        })
        .collect();
    match (changed.is_empty(), wanted) {
        (true, _) => When::Always,
        (false, true) => When::All(changed),
        (false, false) => When::None(changed),
    }
}

/// The test, so that it holds for the value; `None`: no test is left.
fn including(test: &Test, value: u64) -> Option<Test> {
    Some(match test {
        Test::In(values) => Test::In(values.iter().copied().chain([value]).collect()),
        Test::MaskedIn { mask, values } => {
            Test::MaskedIn { mask: *mask, values: values.iter().copied().chain([value & mask]).collect() }
        }
        Test::AnyBit(_) => return None,
    })
}

/// The test, so that it does not hold for the value; `None`: no test is left.
fn excluding(test: &Test, value: u64) -> Option<Test> {
    let without = |values: &[u64], value: u64| -> Option<Vec<u64>> {
        let left: Vec<u64> = values.iter().copied().filter(|v| *v != value).collect();
        (!left.is_empty()).then_some(left)
    };
    Some(match test {
        Test::In(values) => Test::In(without(values, value)?),
        Test::MaskedIn { mask, values } => {
            Test::MaskedIn { mask: *mask, values: without(values, value & mask)? }
        }
        Test::AnyBit(bits) => match bits & !value {
            0 => return None,
            left => Test::AnyBit(left),
        },
    })
}

fn fits(nr: u32, args: &[u64; 6], when: &When) -> bool {
    match when {
        When::Always => true,
        When::All(conditions) => conditions.iter().all(|c| holds(nr, args, c)),
        When::None(conditions) => !conditions.iter().any(|c| holds(nr, args, c)),
    }
}

fn holds(nr: u32, args: &[u64; 6], condition: &Condition) -> bool {
    let Some(value) = value_of(nr, args, &condition.arg) else { return false };
    let wide = mask_of(nr, &condition.arg);
    match &condition.test {
        Test::In(values) => values.iter().any(|v| v & wide == value),
        Test::MaskedIn { mask, values } => values.iter().any(|v| v & wide == value & mask),
        Test::AnyBit(bits) => value & bits != 0,
    }
}

fn mask_of(nr: u32, arg: &str) -> u64 {
    match seccomp::table(nr, arg) {
        Some((_, width)) => width.mask(),
        None => u64::MAX,
    }
}

/// The argument's value, as wide as the kernel looks at it.
fn value_of(nr: u32, args: &[u64; 6], arg: &str) -> Option<u64> {
    let (index, width) = seccomp::table(nr, arg)?;
    args.get(usize::from(index)).map(|value| value & width.mask())
}

/// A rule as it stands in a policy, values by their names where they have some.
fn rule_json(policy: &Policy, rule: &AllowRule) -> Value {
    let mut alone = policy.clone();
    alone.syscalls.allow = vec![rule.clone()];
    let mut document: Value = serde_json::from_str(&alone.to_json()).unwrap_or_default();
    let mut value = document.pointer_mut("/syscalls/allow/0").map(Value::take).unwrap_or_default();
    if let Some(nr) = rule.calls.first() {
        for list in ["if", "unless"] {
            for condition in value.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
                by_name(*nr, condition);
            }
        }
    }
    value
}

fn by_name(nr: u32, condition: &mut Value) {
    let Some(arg) = condition["arg"].as_str().map(str::to_owned) else { return };
    let number = |text: &Value| u64::from_str_radix(text.as_str()?.strip_prefix("0x")?, 16).ok();
    let masked = condition.get("masked").is_some();
    if let Some(bits) = condition.get("any_bit").and_then(number) {
        condition["any_bit"] = json!(describe_bits(nr, &arg, bits));
    }
    for value in condition.get_mut("in").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(known) = number(value).filter(|_| !masked || arg == "type") {
            let said = describe(nr, &arg, known);
            if !said.starts_with('-') {
                *value = json!(said);
            }
        }
    }
}
