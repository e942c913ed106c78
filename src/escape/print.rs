//! The result for people, for programs and for CI.

use std::time::Duration;

use serde_json::{Value, json};

use super::check::Summary;
use super::judge::Judged;
use super::outcome::Outcome;
use super::table::{Attack, SECTIONS, all};

/// `{"attacks": […], "summary": {…}}`
#[must_use]
pub fn json(summary: &Summary) -> Value {
    let host = crate::sandbox::host::Host::get();
    let not_applicable: Vec<Value> =
        summary.not_applicable.iter().map(|(id, why)| json!({"id": id, "why": why})).collect();
    json!({
        "attacks": summary.attacks,
        "summary": {
            "held": summary.counts.held,
            "leaked": summary.counts.leaked,
            "inconclusive": summary.counts.inconclusive,
            "not_applicable": summary.counts.not_applicable,
            "elapsed_ms": u64::try_from(summary.elapsed.as_millis()).unwrap_or(u64::MAX),
            "policy": summary.policy,
            "warm": summary.warm,
            "stockade": env!("CARGO_PKG_VERSION"),
            "kernel": host.kernel,
            "landlock_abi": host.landlock_abi,
            "uid": host.uid,
        },
        "not_applicable": not_applicable,
    })
}

/// Text between the tags of XML.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// JUnit's XML: leaks are failures, inconclusive ones are skipped.
#[must_use]
pub fn junit(summary: &Summary) -> String {
    let counts = summary.counts;
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    out.push_str(&format!(
        "<testsuite name=\"stockade escape-check\" tests=\"{}\" failures=\"{}\" errors=\"0\" skipped=\"{}\" time=\"{:.3}\">\n",
        summary.attacks.len(),
        counts.leaked,
        counts.inconclusive,
        summary.elapsed.as_secs_f64(),
    ));
    for one in &summary.attacks {
        let vector = all().iter().find(|a| a.id == one.id).map_or("", |a| a.vector);
        let section = one.id.split('-').next().unwrap_or_default();
        out.push_str(&format!(
            "  <testcase classname=\"escape.{section}\" name=\"{}: {}\" time=\"{:.3}\"",
            one.id,
            escaped(vector),
            Duration::from_millis(one.elapsed_ms).as_secs_f64()
        ));
        let saw = escaped(&one.saw);
        match one.outcome {
            Outcome::Held => out.push_str(&format!("><system-out>{saw}</system-out></testcase>\n")),
            Outcome::Leaked => out.push_str(&format!("><failure message=\"{saw}\"/></testcase>\n")),
            Outcome::Inconclusive => {
                let why = escaped(&why(one));
                out.push_str(&format!("><skipped message=\"inconclusive: {why}\"/></testcase>\n"));
            }
        }
    }
    out.push_str("</testsuite>\n");
    out
}

/// Why nothing is known.
fn why(one: &Judged) -> String {
    if one.control.worked { one.saw.clone() } else { format!("{}; control: {}", one.saw, one.control.saw) }
}

/// The longest text of one line.
const WIDTH: usize = 160;

fn short(text: &str) -> String {
    let one_line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if one_line.chars().count() <= WIDTH {
        return one_line;
    }
    let cut: String = one_line.chars().take(WIDTH - 1).collect();
    format!("{cut}…")
}

/// One line for each attack, by section, and the counts.
#[must_use]
pub fn table(summary: &Summary) -> String {
    let mut out = String::new();
    for (section, title) in SECTIONS {
        let prefix = format!("{section}-");
        let mut of_section = summary.attacks.iter().filter(|a| a.id.starts_with(&prefix)).peekable();
        if of_section.peek().is_none() {
            continue;
        }
        out.push_str(&format!("{section}  {title}\n"));
        for one in of_section {
            let text = if one.outcome == Outcome::Inconclusive { why(one) } else { one.saw.clone() };
            out.push_str(&format!("  {:<6} {:<13} {}\n", one.id, one.outcome.name(), short(&text)));
        }
    }
    out.push_str(&line(summary));
    out.push('\n');
    out
}

/// The counts in one line.
#[must_use]
pub fn line(summary: &Summary) -> String {
    let c = summary.counts;
    let seconds = summary.elapsed.as_secs_f64();
    let mut text = format!("{} held, {} leaked, {} inconclusive", c.held, c.leaked, c.inconclusive);
    if c.not_applicable > 0 {
        text.push_str(&format!(", {} not applicable", c.not_applicable));
    }
    let warm = if summary.warm { ", boxes made ahead" } else { "" };
    format!("{text} in {seconds:.1} s (policy {}{warm})", summary.policy)
}

/// The same for programs, for `--list --format json`.
#[must_use]
pub fn list_json(attacks: &[&Attack]) -> Value {
    let one = |a: &&Attack| {
        json!({
            "id": a.id, "most_important": a.star, "vector": a.vector, "reference": a.reference,
            "layers": a.holders(), "not_applicable": a.not_applicable(),
            "control": a.not_applicable().is_none().then(|| a.control.text()),
        })
    };
    json!({ "attacks": attacks.iter().map(one).collect::<Vec<_>>() })
}

/// The table of attacks, for `--list`.
#[must_use]
pub fn list(attacks: &[&Attack]) -> String {
    let mut out = String::new();
    for attack in attacks {
        let star = if attack.star { '*' } else { ' ' };
        let by = match attack.not_applicable() {
            Some(why) => format!("not applicable: {why}"),
            None => attack.holders().join(" "),
        };
        out.push_str(&format!(
            "{:<6}{star} {}\n        {} [{by}]\n",
            attack.id, attack.vector, attack.reference
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::escape::check::Counts;
    use crate::escape::judge::Controlled;

    fn summary() -> Summary {
        let one = |id: &str, outcome, saw: &str| Judged {
            id: id.to_owned(),
            outcome,
            saw: saw.to_owned(),
            layers: vec!["seccomp".to_owned()],
            control: Controlled {
                worked: outcome != Outcome::Inconclusive,
                saw: "no <such> thing".to_owned(),
            },
            elapsed_ms: 0,
        };
        Summary {
            attacks: vec![
                one("FS-01", Outcome::Held, "EROFS"),
                one("NS-01", Outcome::Leaked, "\"a\" & b\x1b[0m"),
                one("KY-01", Outcome::Inconclusive, "ENOSYS"),
            ],
            not_applicable: vec![("OU-03", "a host's")],
            policy: "native".to_owned(),
            warm: false,
            counts: Counts { held: 1, leaked: 1, inconclusive: 1, not_applicable: 0 },
            elapsed: std::time::Duration::from_millis(1500),
        }
    }

    #[test]
    fn json_has_the_fields_of_the_contract() {
        let value = json(&summary());
        let first = &value["attacks"][0];
        assert_eq!(
            (&first["id"], &first["outcome"], &first["saw"]),
            (&"FS-01".into(), &"held".into(), &"EROFS".into())
        );
        assert_eq!(first["layers"], json!(["seccomp"]));
        assert_eq!(value["attacks"][1]["outcome"], "leaked");
        assert_eq!(value["attacks"][2]["outcome"], "inconclusive");
        assert_eq!(value["summary"]["held"], 1);
        assert_eq!(value["summary"]["leaked"], 1);
    }

    #[test]
    fn junit_has_a_failure_for_a_leak_and_a_skip_for_what_is_not_known() {
        let xml = junit(&summary());
        assert!(xml.contains("tests=\"3\" failures=\"1\" errors=\"0\" skipped=\"1\""));
        assert!(xml.contains("<failure message=\"&quot;a&quot; &amp; b [0m\"/>"), "{xml}");
        assert!(xml.contains("inconclusive: ENOSYS; control: no &lt;such&gt; thing"), "{xml}");
    }

    #[test]
    fn table_shows_no_control_character_and_ends_with_the_counts() {
        let text = table(&summary());
        assert!(!text.contains('\x1b'));
        assert!(text.ends_with("1 held, 1 leaked, 1 inconclusive in 1.5 s (policy native)\n"), "{text}");
    }
}
