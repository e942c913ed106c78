//! `extends`: one policy on top of another.
//!
//! Guarantees: nothing of the extended policy is removed or replaced but
//! single values that are written again; lists only grow, and what is in both
//! is found by [`super::check`].

use super::findings::{Collector, Finding};
use super::read::{Document, Field};
use super::source::Spanned;

/// The document on top of the one it extends.
pub(super) fn merge(
    mut child: Document,
    parent: Document,
    name: &str,
    collector: &mut Collector,
) -> Document {
    for (place, field) in [
        (child.paths.spanned().map(|p| p.span), "paths"),
        (child.allow.spanned().map(|a| a.span), "allow"),
        (child.violations.spanned().map(|v| v.span), "violations"),
    ] {
        let Some(place) = place else { continue };
        let plus = if field == "paths" { "`paths+`".to_owned() } else { format!("`{field}` in `syscalls+`") };
        let finding = Finding::at(place, format!("`{field}` of `{name}` cannot be replaced"));
        collector.say(finding.help(format!("{plus} adds to it; nothing can be removed")));
    }
    child.paths = append(parent.paths, std::mem::take(&mut child.more_paths));
    child.allow = append(parent.allow, std::mem::take(&mut child.more_allow));
    child.violations = append(parent.violations, std::mem::take(&mut child.more_violations));
    // How an image is looked at belongs to the image that is written.
    let verify = if child.image.is_absent() { parent.verify } else { std::mem::take(&mut child.verify) };
    Document {
        image: child.image.or(parent.image),
        verify,
        payload: child.payload.or(parent.payload),
        command: child.command.or(parent.command),
        argv0: child.argv0.or(parent.argv0),
        uid: child.uid.or(parent.uid),
        gid: child.gid.or(parent.gid),
        hostname: child.hostname.or(parent.hostname),
        cwd: child.cwd.or(parent.cwd),
        env: add_variables(child.env, parent.env),
        network: child.network.or(parent.network),
        min_abi: child.min_abi.or(parent.min_abi),
        exec: child.exec.or(parent.exec),
        wx: child.wx.or(parent.wx),
        on_violation: child.on_violation.or(parent.on_violation),
        max_violations: child.max_violations.or(parent.max_violations),
        limits: child.limits.or(parent.limits),
        degrade: child.degrade.or(parent.degrade),
        ..child
    }
}

/// A document that extends nothing: `+` has nothing to add to.
pub(super) fn alone(document: Document, collector: &mut Collector) -> Document {
    for (place, field) in [
        (document.more_paths.spanned().map(|p| p.span), "paths"),
        (document.more_allow.spanned().map(|a| a.span), "syscalls"),
        (document.more_violations.spanned().map(|v| v.span), "syscalls"),
    ] {
        let Some(place) = place else { continue };
        let finding = Finding::at(place, format!("`{field}+` has nothing to add to"));
        collector.say(finding.help(format!("name a policy in `extends`, or write `{field}`")));
    }
    document
}

/// The parent's elements and then the child's.
fn append<T>(parent: Field<Vec<T>>, more: Field<Vec<T>>) -> Field<Vec<T>> {
    match (parent, more) {
        (Field::Good(mut list), Field::Good(more)) => {
            list.value.extend(more.value);
            Field::Good(list)
        }
        (Field::Absent, more) => more,
        (list, Field::Absent) => list,
        _ => Field::Bad,
    }
}

/// The parent's variables, those of the child in their place.
fn add_variables<V>(
    child: Field<std::collections::BTreeMap<String, V>>,
    parent: Field<std::collections::BTreeMap<String, V>>,
) -> Field<std::collections::BTreeMap<String, V>> {
    match (child, parent) {
        (Field::Good(child), Field::Good(mut parent)) => {
            parent.value.extend(child.value);
            Field::Good(Spanned::new(parent.value, child.span))
        }
        (child, parent) => child.or(parent),
    }
}
