//! Makes a payload's bytes harmless before they reach a terminal.
//!
//! Escape sequences can set titles, fill the clipboard, move the cursor over
//! earlier lines and, on some terminals, type. Only printable characters, line
//! feeds, tabs and a carriage return right before a line feed pass; anything else is shown in
//! caret or hexadecimal notation. Files and pipes get the bytes as they are.

/// The state between two chunks.
#[derive(Debug, Default)]
pub struct Neutral {
    /// Bytes of a character, or a carriage return, whose continuation is still to come.
    pending: Vec<u8>,
}

impl Neutral {
    /// What may be written in place of `bytes`.
    pub fn pass(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut input = std::mem::take(&mut self.pending);
        input.extend_from_slice(bytes);
        let mut out = Vec::with_capacity(input.len() + 16);
        let mut rest = input.as_slice();
        while !rest.is_empty() {
            match std::str::from_utf8(rest) {
                Ok(text) => {
                    rest = self.text(text, &mut out);
                    break;
                }
                Err(e) => {
                    let (good, bad) = rest.split_at(e.valid_up_to());
                    // It is valid up to here.
                    let text = std::str::from_utf8(good).unwrap_or_default();
                    let left = self.text(text, &mut out);
                    if !left.is_empty() {
                        // A carriage return right before an invalid byte.
                        show(u32::from(b'\r'), &mut out);
                    }
                    match e.error_len() {
                        Some(n) => {
                            bad[..n].iter().for_each(|b| hex(*b, &mut out));
                            rest = &bad[n..];
                        }
                        None => {
                            rest = bad;
                            break;
                        }
                    }
                }
            }
        }
        self.pending = rest.to_vec();
        out
    }

    /// What may be written for what is still pending, once no more will come.
    pub fn finish(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        for byte in std::mem::take(&mut self.pending) {
            if byte == b'\r' { show(u32::from(byte), &mut out) } else { hex(byte, &mut out) }
        }
        out
    }

    /// Answers what must wait for the next chunk: nothing, or one carriage return.
    fn text<'a>(&self, text: &'a str, out: &mut Vec<u8>) -> &'a [u8] {
        let mut chars = text.char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            match c {
                '\n' | '\t' => out.push(c as u8),
                '\r' => match chars.peek() {
                    Some((_, '\n')) => out.push(b'\r'),
                    Some(_) => show(u32::from(c), out),
                    None => return &text.as_bytes()[at..],
                },
                c if harmful(c) => show(u32::from(c), out),
                c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        &[]
    }
}

/// Control characters of both sets, and those that turn the direction of text around.
fn harmful(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Caret notation for the first set, `<U+hex>` for the rest.
fn show(code: u32, out: &mut Vec<u8>) {
    match u8::try_from(code) {
        Ok(byte @ 0..=0x1f) => out.extend_from_slice(&[b'^', byte + b'@']),
        Ok(0x7f) => out.extend_from_slice(b"^?"),
        _ => out.extend_from_slice(format!("<U+{code:04X}>").as_bytes()),
    }
}

fn hex(byte: u8, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("<{byte:02X}>").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(chunks: &[&[u8]]) -> String {
        let mut neutral = Neutral::default();
        let mut out: Vec<u8> = chunks.iter().flat_map(|c| neutral.pass(c)).collect();
        out.extend(neutral.finish());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn plain_text_passes_unchanged() {
        let text = "héllo\twörld\r\nπ≈3 日本\n";
        assert_eq!(all(&[text.as_bytes()]), text);
        // Cut in the middle of every character.
        for at in 0..text.len() {
            let (a, b) = text.as_bytes().split_at(at);
            assert_eq!(all(&[a, b]), text, "cut at {at}");
        }
    }

    #[test]
    fn escape_codes_are_shown_not_obeyed() {
        assert_eq!(all(&[b"\x1b]52;c;cm0=\x07"]), "^[]52;c;cm0=^G");
        assert_eq!(all(&[b"wrong\rPASS\n"]), "wrong^MPASS\n");
        assert_eq!(all(&[b"wrong\r", b"PASS\n"]), "wrong^MPASS\n");
        assert_eq!(all(&[b"dos\r", b"\n"]), "dos\r\n");
        assert_eq!(all(&["\u{9b}31m".as_bytes()]), "<U+009B>31m");
        assert_eq!(all(&["a\u{202e}b".as_bytes()]), "a<U+202E>b");
        assert_eq!(all(&[b"\x7f\x00"]), "^?^@");
    }

    #[test]
    fn bytes_that_are_no_text_are_shown_in_hex() {
        assert_eq!(all(&[b"a\xffb\x9bc"]), "a<FF>b<9B>c");
        assert_eq!(all(&[b"\r\xff"]), "^M<FF>");
        assert_eq!(all(&[b"\xe6\x97", b"\xe6"]), "<E6><97><E6>");
        assert_eq!(all(&[b"end\r"]), "end^M");
    }
}
