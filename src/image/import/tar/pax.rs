//! The records of an extended header: `LENGTH KEY=VALUE` lines. See pax(1).

use std::collections::BTreeMap;

/// What was said of the next entry, or of all that follow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Records {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) mtime: Option<i64>,
    pub(super) uid: Option<u64>,
    pub(super) xattrs: bool,
    /// What this program itself has written: the image's header and policy.
    pub(super) own: BTreeMap<String, String>,
}

/// Keys of this program's own begin so.
pub(crate) const OWN: &str = "STOCKADE.";

pub(super) fn parse(mut bytes: &[u8]) -> Result<Records, &'static str> {
    const BROKEN: &str = "a record of its PAX header is broken";
    let mut records = Records::default();
    while !bytes.is_empty() {
        let blank = bytes.iter().position(|byte| *byte == b' ').ok_or(BROKEN)?;
        let digits = bytes.get(..blank).filter(|digits| (1..=10).contains(&digits.len())).ok_or(BROKEN)?;
        let length = usize::try_from(decimal(digits).ok_or(BROKEN)?).map_err(|_| BROKEN)?;
        if length <= blank + 1 || length > bytes.len() {
            return Err("the length of a record of its PAX header is wrong");
        }
        let (record, rest) = bytes.split_at(length);
        let record = record.get(blank + 1..).and_then(|record| record.strip_suffix(b"\n")).ok_or(BROKEN)?;
        let equals = record.iter().position(|byte| *byte == b'=').ok_or(BROKEN)?;
        records.take(&record[..equals], &record[equals + 1..])?;
        bytes = rest;
    }
    Ok(records)
}

impl Records {
    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<(), &'static str> {
        match key {
            b"path" => once(&mut self.path, name(value)?),
            b"linkpath" => once(&mut self.link, name(value)?),
            b"size" => once(&mut self.size, decimal(value).ok_or("the size in its PAX header is no number")?),
            b"uid" => once(&mut self.uid, decimal(value).ok_or("the owner in its PAX header is no number")?),
            b"mtime" => {
                once(&mut self.mtime, seconds(value).ok_or("the time in its PAX header is no number")?)
            }
            _ if key.starts_with(b"GNU.sparse.") || key == b"SCHILY.realsize" => Err("a sparse file"),
            _ if key.starts_with(b"SCHILY.xattr.")
                || key.starts_with(b"LIBARCHIVE.xattr.")
                || key.starts_with(b"SCHILY.acl.")
                || key.starts_with(b"RHT.security.selinux") =>
            {
                self.xattrs = true;
                Ok(())
            }
            _ => {
                if let (Ok(key), Ok(value)) = (std::str::from_utf8(key), std::str::from_utf8(value))
                    && let Some(key) = key.strip_prefix(OWN)
                {
                    self.own.insert(key.to_owned(), value.to_owned());
                }
                Ok(())
            }
        }
    }
}

/// Of two values, some readers take the first and some the last.
fn once<T>(slot: &mut Option<T>, value: T) -> Result<(), &'static str> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err("its PAX header says something twice"),
    }
}

fn name(value: &[u8]) -> Result<Vec<u8>, &'static str> {
    if value.is_empty() {
        return Err("an empty name in its PAX header");
    }
    if value.contains(&0) {
        return Err("a NUL in a name of its PAX header");
    }
    Ok(value.to_vec())
}

/// Digits and nothing else; `None`: they are none, or too many.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Whole seconds, rounded down.
fn seconds(value: &[u8]) -> Option<i64> {
    let (negative, value) = value.strip_prefix(b"-").map_or((false, value), |rest| (true, rest));
    let dot = value.iter().position(|byte| *byte == b'.');
    let (whole, fraction) = dot.map_or((value, b"".as_slice()), |at| (&value[..at], &value[at + 1..]));
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let whole = i64::try_from(decimal(whole)?).ok()?;
    let more = i64::from(fraction.iter().any(|digit| *digit != b'0'));
    if negative { whole.checked_add(more)?.checked_neg() } else { Some(whole) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_by_their_length_alone() {
        assert_eq!(parse(b"99 path=a\n"), Err("the length of a record of its PAX header is wrong"));
        assert_eq!(parse(b"8 path=a\n"), Err("a record of its PAX header is broken"));
        let records = parse(b"17 path=a\n9 b=c=\n23 mtime=1700000000.99\n").unwrap();
        assert_eq!(records.path, Some(b"a\n9 b=c=".to_vec()));
        assert_eq!(records.mtime, Some(1_700_000_000));
    }

    #[test]
    fn seconds_are_rounded_down_on_both_sides_of_zero() {
        assert_eq!(seconds(b"1.999"), Some(1));
        assert_eq!(seconds(b"-1.000"), Some(-1));
        assert_eq!(seconds(b"-1.5"), Some(-2));
        assert_eq!(seconds(b"1e5"), None);
        assert_eq!(seconds(b""), None);
        assert_eq!(seconds(b"."), None);
    }
}
