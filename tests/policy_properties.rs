//! What holds for every policy: it reads back as printed, and no text makes
//! the reader panic.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod policy_support;

use policy_support::{collect, policy};
use proptest::prelude::*;
use proptest::sample::select;
use stockade::policy;

/// The texts that are mutated.
fn valid_text() -> impl Strategy<Value = String> {
    let shipped: Vec<String> =
        policy::builtin_names().filter_map(policy::builtin_text).map(str::to_owned).collect();
    prop_oneof![select(shipped), policy().prop_map(|p| p.to_json())]
}

/// Reads a text; whatever comes out must be consistent.
fn read(text: &[u8]) {
    match policy::parse("p.json", text) {
        Ok(policy) => {
            let again = policy::parse("p.json", policy.to_json().as_bytes());
            assert_eq!(again.as_ref(), Ok(&policy));
        }
        Err(findings) => {
            assert!(findings.count() > 0);
            for finding in findings.iter() {
                let message = finding.message();
                assert!(!message.is_empty() && !message.ends_with('.'), "{message}");
                assert!(!message.starts_with(char::is_uppercase), "{message}");
            }
            let shown = findings.to_string();
            assert!(!shown.contains(|c: char| c.is_control() && c != '\n'), "{shown:?}");
            assert!(shown.lines().all(|l| l.trim_end() == l), "{shown:?}");
        }
    }
}

proptest! {
    #[test]
    fn policy_that_is_printed_reads_back_as_itself(policy in policy()) {
        let text = policy.to_json();
        match policy::parse("p.json", text.as_bytes()) {
            Ok(read) => {
                prop_assert_eq!(&read.to_json(), &text);
                prop_assert_eq!(read, policy);
            }
            Err(findings) => prop_assert!(false, "{}", findings),
        }
        // Any other tool that reads JSON reads the same bytes into the same
        // order.
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(value.to_string(), text);
    }

    #[test]
    fn policies_that_differ_have_different_digests(a in policy(), b in policy()) {
        prop_assert_eq!(a.digest == b.digest, a == b);
    }

    #[test]
    fn random_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        read(&bytes);
    }

    #[test]
    fn random_text_is_read_without_a_panic(text in any::<String>()) {
        read(text.as_bytes());
        read(format!("{{{text}}}").as_bytes());
    }

    #[test]
    fn policy_with_bytes_changed_is_read_without_a_panic(
        text in valid_text(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = text.into_bytes();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        read(&bytes);
    }

    #[test]
    fn policy_with_a_piece_cut_or_doubled_is_read_without_a_panic(
        text in valid_text(), a in any::<prop::sample::Index>(), b in any::<prop::sample::Index>(), double: bool,
    ) {
        let bytes = text.as_bytes();
        let (a, b) = (a.index(bytes.len()), b.index(bytes.len()));
        let (a, b) = (a.min(b), a.max(b));
        let tail = if double { &bytes[a..] } else { &bytes[b..] };
        read(&[&bytes[..if double { b } else { a }], tail].concat());
    }

    #[test]
    fn policy_with_a_value_replaced_is_read_without_a_panic(
        text in valid_text(), at in any::<prop::sample::Index>(),
        with in select(vec![
            "null", "true", "0", "-1", "1.5", "1e9", "18446744073709551616", "\"\"", "\"x\"", "\"0\"", "\"/\"", "\"/box\"",
            "\"read\"", "\"64MiB\"", "\"{payload}\"", "[]", "[[]]", "[\"\"]", "{}", "[{}]", "{\"a\":1}", "\"\\u0000\"",
        ]),
    ) {
        let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let mut pointers = Vec::new();
        collect(&value, String::new(), &mut pointers);
        let pointer = at.get(&pointers);
        *value.pointer_mut(pointer).unwrap() = serde_json::from_str(with).unwrap();
        read(value.to_string().as_bytes());
        read(serde_json::to_string_pretty(&value).unwrap().as_bytes());
    }
}
