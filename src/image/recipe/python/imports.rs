//! What a Python source imports while it is being loaded: statements outside of
//! functions, whatever condition they stand under. Nothing is executed, and a
//! text that is no Python has no imports, or too many.

/// One `import`, or one name of a `from … import …`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Import {
    /// How many dots stand in front of the module.
    pub(super) level: usize,
    /// The module, dots and all.
    pub(super) module: String,
    /// What is taken from it: a module or something that it defines.
    pub(super) name: Option<String>,
}

/// Words that start a statement with others behind its colon.
const HEADS: &[&str] =
    &["if", "elif", "else", "try", "except", "finally", "with", "for", "while", "class", "async", "match"];

pub(super) fn of(source: &str) -> Vec<Import> {
    let mut found = Vec::new();
    let mut function: Option<usize> = None;
    for Line { indent, text } in lines(source) {
        if function.is_some_and(|at| indent > at) {
            continue;
        }
        function = is_function(&text).then_some(indent);
        if function.is_none() {
            text.split(';').for_each(|statement| statement_of(statement, &mut found));
        }
    }
    found
}

fn is_function(text: &str) -> bool {
    let rest = text.strip_prefix("async").map_or(text, str::trim_start);
    rest.strip_prefix("def").is_some_and(|rest| rest.starts_with([' ', '\t']))
}

fn statement_of(statement: &str, found: &mut Vec<Import>) {
    let mut statement = statement.trim();
    let head = statement.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
    if HEADS.contains(&head)
        && let Some((_, rest)) = statement.rsplit_once(':')
    {
        statement = rest.trim();
    }
    if let Some(rest) = word(statement, "import") {
        for module in rest.split(',').map(plain).filter(|module| !module.is_empty()) {
            found.push(Import { level: 0, module, name: None });
        }
    } else if let Some(rest) = word(statement, "from")
        && let Some((module, names)) = rest.split_once("import")
    {
        let module = module.trim();
        let level = module.bytes().take_while(|byte| *byte == b'.').count();
        let module = plain(&module[level..]);
        for name in names.split([',', '(', ')']).map(plain).filter(|name| !name.is_empty()) {
            let name = (name != "*").then_some(name);
            found.push(Import { level, module: module.clone(), name });
        }
    }
}

/// What follows a word.
fn word<'t>(text: &'t str, word: &str) -> Option<&'t str> {
    text.strip_prefix(word).filter(|rest| rest.starts_with([' ', '\t', '.', '(']))
}

/// `a.b` of ` a.b as c `.
fn plain(text: &str) -> String {
    text.split_whitespace().next().unwrap_or_default().to_owned()
}

/// A logical line: brackets closed, strings and comments gone.
struct Line {
    indent: usize,
    text: String,
}

fn lines(source: &str) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut text = String::new();
    let mut depth = 0_usize;
    let mut rest = source;
    while let Some(c) = rest.chars().next() {
        let mut next = &rest[c.len_utf8()..];
        match c {
            '#' => next = &rest[rest.find('\n').unwrap_or(rest.len())..],
            '"' | '\'' => {
                next = after_string(rest);
                text.push('_');
            }
            '\\' if next.starts_with('\n') => {
                next = &next[1..];
                text.push(' ');
            }
            '\n' if depth == 0 => end(&mut lines, &mut text),
            '\n' => text.push(' '),
            other => {
                match other {
                    '(' | '[' | '{' => depth += 1,
                    ')' | ']' | '}' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                text.push(other);
            }
        }
        rest = next;
    }
    end(&mut lines, &mut text);
    lines
}

fn end(lines: &mut Vec<Line>, text: &mut String) {
    let line = std::mem::take(text);
    let bare = line.trim();
    if !bare.is_empty() {
        // A tab counts as much as anything: blocks of one file are of one kind.
        lines.push(Line { indent: line.len() - line.trim_start().len(), text: bare.to_owned() });
    }
}

/// What follows the string that a text starts with.
fn after_string(text: &str) -> &str {
    let quote = &text[..1];
    let triple = quote.repeat(3);
    let (mark, long) = if text.starts_with(&triple) { (triple.as_str(), true) } else { (quote, false) };
    let mut rest = &text[mark.len()..];
    while let Some(c) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix(mark) {
            return after;
        }
        rest = &rest[c.len_utf8()..];
        match c {
            '\\' => rest = rest.chars().next().map_or(rest, |c| &rest[c.len_utf8()..]),
            // A string of one line ends with it, closed or not.
            '\n' if !long => return rest,
            _ => {}
        }
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn imports(source: &str) -> Vec<String> {
        let shown = |Import { level, module, name }: Import| {
            let name = name.map(|name| format!(" {name}")).unwrap_or_default();
            format!("{}{module}{name}", ".".repeat(level))
        };
        of(source).into_iter().map(shown).collect()
    }

    #[test]
    fn imports_are_found_in_every_form_outside_of_functions() {
        let source = "import a, b.c as d  # import no\nfrom e.f import (g,\n  h as i,\n)\nfrom . import j; import k\n\
            from ..l import *\ntry: import m\nexcept ImportError: from n import o\nif x:\n    import p\nelse:\n\
            \tfrom q \\\n  import r\nclass C:\n    import s\n    def f(self,\nx=(1)):\n        import no1\n\n    import t\n\
            async def g(): import no2\nasync  def h():\n  '''\nimport no3\n'''\n  import no4\nimport u\n";
        let expected =
            ["a", "b.c", "e.f g", "e.f h", ". j", "k", "..l", "m", "n o", "p", "q r", "s", "t", "u"];
        assert_eq!(imports(source), expected);
    }

    #[test]
    fn text_within_strings_and_comments_is_no_import() {
        for source in [
            "'''\nimport a\n'''",
            "x = \"\"\"a\\\"\"\"\nimport a\n\"\"\"",
            "# import a",
            "x = 'import a'",
            "x = ('import a' \"\n",
            "importer = from_ = 1\nimported(a)\n",
            "x = {'a':\nimport_a}",
            "import\n",
            "from a\n",
        ] {
            assert_eq!(imports(source), Vec::<String>::new(), "{source}");
        }
    }

    #[test]
    fn any_bytes_are_read_without_a_panic() {
        for source in
            ["'", "\"\"\"", "\\", "'\\", "((((", "))))", "é'é", "from", "from .", "import ,,", ":;:;"]
        {
            assert_eq!(imports(source), Vec::<String>::new(), "{source}");
        }
    }
}
