use proptest::prelude::*;
use serde_json::Value as Json;

use super::*;
use crate::fuzzing::as_serde;

/// Both accept and read the same, or both refuse.
fn agree(text: &str) -> Result<(), TestCaseError> {
    let theirs = serde_json::from_str::<Json>(text);
    let ours = parse(text);
    match (&theirs, &ours) {
        (Ok(json), Ok(ast)) => prop_assert_eq!(json, &as_serde(ast), "{:?}", text),
        (Err(_), Err(e)) => {
            prop_assert!(e.range.start <= e.range.end && e.range.end <= text.len(), "{:?} {:?}", text, e);
            prop_assert!(text.is_char_boundary(e.range.start) && text.is_char_boundary(e.range.end));
        }
        _ => prop_assert!(false, "{:?}: serde_json {:?}, we {:?}", text, theirs, ours.is_ok()),
    }
    Ok(())
}

#[test]
fn text_at_the_edges_of_json_is_judged_like_serde_json() {
    let texts = [
        "0",
        "-0",
        "00",
        "01",
        "-",
        "+1",
        "1.",
        ".5",
        "1e5",
        "1e",
        "1e+",
        "1E-2",
        "1e400",
        "-1e400",
        "0x10",
        "1_000",
        "NaN",
        "Infinity",
        "-Infinity",
        "true",
        "TRUE",
        "null",
        "nul",
        "nullx",
        "\"a\"",
        "'a'",
        "\"\\x41\"",
        "\"\\u0041\"",
        "\"\\ud800\"",
        "\"\\udc00\"",
        "\"\\ud83d\\ude00\"",
        "\"\\u12\"",
        "\"a\nb\"",
        "\"a\tb\"",
        "\"\u{7f}\"",
        "\"\\/\"",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[1,2]",
        "[]",
        "{}",
        "{\"a\":1,}",
        "{\"a\" 1}",
        "{a:1}",
        "{\"a\":1 \"b\":2}",
        "{1:2}",
        "// x\n1",
        "/* x */ 1",
        "1 // x",
        "1 2",
        "{} {}",
        "\u{b}1",
        "\u{c}1",
        "\u{a0}1",
        "\u{2028}1",
        "\u{feff}1",
        " \t\r\n1 \t\r\n",
        "\"\\0\"",
        "\"\\v\"",
        "{\"a\":1,\"a\":2}",
        "[[[[]]]]",
        "[",
        "{",
        "\"",
        "\"\\",
        "\"\\u",
        "tru",
        "123456789012345678901234567890",
        "-123456789012345678901234567890",
        "1.0000000000000000000001",
        "\u{1F600}",
        "",
    ];
    for text in texts {
        agree(text).unwrap();
    }
}

#[test]
fn nesting_at_the_limit_is_judged_like_serde_json() {
    for depth in [100, 126, 127, 128, 129, 200] {
        agree(&format!("{}1{}", "[".repeat(depth), "]".repeat(depth))).unwrap();
        agree(&format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth))).unwrap();
    }
    let error = parse(&"[".repeat(200_000)).unwrap_err();
    assert_eq!(error.message, "the nesting is too deep");
    let error = parse(&"{\"a\":".repeat(100_000)).unwrap_err();
    assert_eq!(error.message, "the nesting is too deep");
}

#[test]
fn syntax_error_names_the_character_and_the_remedy() {
    let cases: &[(&str, usize, &str, Option<&str>)] = &[
        ("{\"a\": 1,}", 8, "there is a comma after the last element", Some("leave the comma out")),
        ("{\n  \"a\": 1\n  \"b\": 2\n}", 13, "expected `,` or `}`", None),
        (
            "[1, // x\n2]",
            4,
            "a value is expected here",
            Some("JSON has no comments; rules and paths have a `comment` field for them"),
        ),
        ("{'a': 1}", 1, "a field name is expected here", Some("strings are written in double quotes")),
        ("{a: 1}", 1, "a field name is expected here", Some("put the field name in double quotes")),
        ("{\"a\": 0x1f}", 7, "expected `,` or `}`", Some("write hexadecimal as a string: `\"0xf\"`")),
        (
            "{\"a\": 06000}",
            7,
            "invalid number",
            Some("a number does not start with `0`; write octal as `\"0644\"`"),
        ),
        ("{\"a\": 1e400}", 10, "number out of range", None),
        ("{} x", 3, "there is more after the end of the policy", None),
        ("{\"a\": tru}", 9, "expected ident", None),
        (
            "{\"a\": [1",
            7,
            "the policy ends inside an array",
            Some("close it: count the brackets, braces and quotes"),
        ),
        ("{\"é\": \"x\ny\"}", 9, "a string holds a line break or another control character", None),
    ];
    for (text, at, message, help) in cases {
        let error = parse(text).unwrap_err();
        assert_eq!((error.message.as_str(), error.help.as_deref()), (*message, *help), "{text}");
        assert_eq!(error.range.start, *at, "{text}: {error:?}");
    }
}

#[test]
fn bytes_that_are_no_text_are_refused_at_their_place() {
    assert_eq!(decode(b"{\"a\": \"\xff\"}").unwrap_err().range.start, 7);
    assert_eq!(decode(b"\xef\xbb\xbf{}").unwrap_err().message, "the policy starts with a byte order mark");
    assert_eq!(
        decode(&vec![b' '; MAX_BYTES + 1]).unwrap_err().message,
        "the policy has more than 1048576 bytes"
    );
    assert_eq!(decode(b"{}"), Ok("{}"));
    assert_eq!(parse(" \n\t").unwrap_err().message, "the policy is empty");
}

/// Pieces that make texts near JSON.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => proptest::sample::select(vec![
            "{", "}", "[", "]", ",", ":", "\"", "\\", "\"a\"", "\"b\"", "1", "0", "-", "+", ".", "e", "E", "true", "false",
            "null", " ", "\n", "\t", "\r", "\\u00", "\\ud8", "//", "/*", "*/", "'", "x", "0x1", "é", "\u{0}", "\u{b}", "\u{a0}",
            "\u{2028}", "\u{feff}", "NaN", "Infinity", "1e9", "1e999", "\\n", "\\x41",
        ]).prop_map(str::to_owned),
        1 => ".".prop_map(|c| c),
    ]
}

fn json_value() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool),
        any::<i64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        ".{0,8}".prop_map(Json::String),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Json::Array),
            proptest::collection::btree_map(".{0,4}", inner, 0..5)
                .prop_map(|m| Json::Object(m.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn pieces_of_json_are_judged_like_serde_json(pieces in proptest::collection::vec(piece(), 0..14)) {
        agree(&pieces.concat())?;
    }

    #[test]
    fn any_text_is_judged_like_serde_json(text in any::<String>()) {
        agree(&text)?;
    }

    #[test]
    fn json_with_one_character_changed_is_judged_like_serde_json(
        value in json_value(), at: prop::sample::Index, with in piece(), pretty: bool, cut: bool,
    ) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        agree(&text)?;
        let bounds: Vec<usize> = text.char_indices().map(|(i, _)| i).chain([text.len()]).collect();
        let at = *at.get(&bounds);
        let after = if cut { at } else { text[at..].chars().next().map_or(at, |c| at + c.len_utf8()) };
        agree(&format!("{}{with}{}", &text[..at], &text[after..]))?;
    }
}
