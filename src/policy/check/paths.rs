//! What `paths` say about each other.

use super::super::findings::{Collector, Finding};
use super::super::model::PathEntry;
use super::super::read::{Document, RawPath, RawSource};
use super::super::source::Spanned;

/// The paths, parents before children. `None` if one of them is not good.
pub(super) fn check(document: &Document, collector: &mut Collector) -> Option<Vec<PathEntry>> {
    let raw = document.paths.spanned()?;
    let before = collector.count();
    let mut sorted: Vec<&RawPath> = raw.value.iter().collect();
    // A parent is a prefix of its child, so that it sorts before it; the
    // order of the text decides between two at the same place.
    sorted.sort_by_key(|p| p.at.as_ref().map(|a| a.value.as_str()));
    collisions(&sorted, collector);
    nesting(&sorted, collector);
    counts(document, &raw.value, collector);
    if collector.count() > before {
        return None;
    }
    sorted.into_iter().map(entry).collect()
}

fn entry(raw: &RawPath) -> Option<PathEntry> {
    Some(PathEntry {
        at: raw.at.as_ref()?.value.clone(),
        from: raw.source.clone()?,
        access: raw.access?,
        optional: raw.optional,
        comment: raw.comment.clone()?,
    })
}

/// Two entries at one place.
fn collisions(sorted: &[&RawPath], collector: &mut Collector) {
    for pair in sorted.windows(2) {
        let [Some(first), Some(second)] = [&pair[0].at, &pair[1].at] else { continue };
        if first.value != second.value {
            continue;
        }
        let message = format!("path `{}` is given twice", second.value);
        let finding = Finding::at(second.span, message).note(first.span, "first given here");
        collector.say(match first.span.source {
            s if s == second.span.source => finding,
            s => {
                let parent = collector.source_name(s).to_owned();
                finding.help(format!("`extends` adds, and this is already in {parent}: leave it out"))
            }
        });
    }
}

/// Entries below others that cannot hold them.
fn nesting(sorted: &[&RawPath], collector: &mut Collector) {
    for (i, child) in sorted.iter().enumerate() {
        let Some(at) = &child.at else { continue };
        // The nearest entry above: the longest prefix among those before.
        let above = sorted[..i].iter().rev().find_map(|p| {
            let (parent, from) = (p.at.as_ref()?, p.from.as_ref()?);
            (parent.value != "/" && below(&at.value, &parent.value)).then_some((parent, from))
        });
        let Some((parent, from)) = above else { continue };
        let shared_memory = from.value == RawSource::Devices
            && at.value == "/dev/shm"
            && child.from.as_ref().is_none_or(|f| f.value == RawSource::Tmpfs);
        if shared_memory {
            continue;
        }
        let message =
            format!("`{}` is below `{}`, which is from `{}`", at.value, parent.value, from.value.name());
        let help = "only the image can hold other paths, and `/dev` a tmpfs at `/dev/shm`";
        collector.say(Finding::at(at.span, message).note(parent.span, "given here").help(help));
    }
}

/// Whether `path` is strictly below `parent`.
pub(super) fn below(path: &str, parent: &str) -> bool {
    if parent == "/" {
        return path != "/";
    }
    path.strip_prefix(parent).is_some_and(|rest| rest.starts_with('/'))
}

/// How many there may be of each kind.
fn counts(document: &Document, raw: &[RawPath], collector: &mut Collector) {
    // One entry whose `from` is unreadable might be the one that is missed.
    let complete = raw.iter().all(|p| p.from.is_some());
    for (kind, needed) in [
        (RawSource::Image, true),
        (RawSource::Payload, document.payload.spanned().is_some()),
        (RawSource::Proc, false),
        (RawSource::Devices, false),
        (RawSource::Work, false),
    ] {
        let mut of_kind = raw.iter().filter_map(|p| p.from.as_ref()).filter(|f| f.value == kind);
        let first: Option<&Spanned<RawSource>> = of_kind.next();
        for second in of_kind {
            let Some(first) = first else { continue };
            let finding = Finding::at(second.span, format!("two paths are from `{}`", kind.name()));
            collector.say(finding.note(first.span, "the other is here").help("there can be one"));
        }
        if first.is_none() && needed && complete {
            let place = document.paths.spanned().map_or(document.open, |p| p.span);
            let (what, help) = match kind {
                RawSource::Image => ("no path is from `image`", "the root needs one, at `/`"),
                _ => ("no path is from `payload`", "the directory of `payload.as` needs one"),
            };
            collector.say(Finding::at(place, what).help(help));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::below;

    #[test]
    fn below_is_strict_and_by_component() {
        assert!(below("/a/b", "/a"));
        assert!(below("/a", "/"));
        assert!(!below("/a", "/a"));
        assert!(!below("/ab", "/a"));
        assert!(!below("/", "/"));
    }
}
