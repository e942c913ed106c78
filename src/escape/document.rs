//! The table of attacks as a document.

use super::table::{SECTIONS, all};

/// Text in a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// Every attack, by section, as Markdown.
#[must_use]
pub fn markdown() -> String {
    let mut out = String::new();
    for (section, title) in SECTIONS {
        out.push_str(&format!("\n### {section}: {title}\n\n"));
        out.push_str(
            "| id | attack | known as | held by | how it is known that it could work |\n|--|--|--|--|--|\n",
        );
        for attack in all().into_iter().filter(|a| a.section() == *section) {
            let star = if attack.star { " ★" } else { "" };
            let (by, control) = match attack.not_applicable() {
                Some(why) => ("—".to_owned(), format!("not applicable: {why}")),
                None => (attack.holders().join(", "), attack.control.text().to_owned()),
            };
            out.push_str(&format!(
                "| {}{star} | {} | {} | {} | {} |\n",
                attack.id,
                cell(attack.vector),
                cell(attack.reference),
                by,
                cell(&control)
            ));
        }
    }
    out
}
