//! One header block of a tar archive.
//!
//! Strict where readers are known to differ: a field means one thing to
//! everybody, or it is refused. See pax(1), tar(5) of libarchive, and GNU tar's
//! "Basic Tar Format".

/// Everything in an archive is a multiple of this.
pub(crate) const BLOCK: usize = 512;

/// The fields that matter here, as the block has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) name: Vec<u8>,
    pub(super) link: Vec<u8>,
    pub(super) mode: u32,
    pub(super) uid: u64,
    pub(super) size: u64,
    pub(super) mtime: i64,
    pub(super) kind: u8,
}

/// Which dialect wrote the block: what lies behind the magic differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Posix,
    Gnu,
    V7,
}

pub(super) fn decode(block: &[u8; BLOCK]) -> Result<Header, &'static str> {
    check_sum(block)?;
    let form = match &block[257..265] {
        b"ustar\x0000" => Form::Posix,
        b"ustar  \0" => Form::Gnu,
        [0, 0, 0, 0, 0, ..] => Form::V7,
        _ => return Err("its header is of no form that is known"),
    };
    let mut name = text(&block[0..100])?;
    if form == Form::Posix {
        let prefix = text(&block[345..500])?;
        if !prefix.is_empty() {
            name = [prefix.as_slice(), b"/", &name].concat();
        }
    }
    let mode = number(&block[100..108]).ok_or("its mode is no number")?;
    let uid = number(&block[108..116]).ok_or("its owner is no number")?;
    let size = number(&block[124..136]).ok_or("its size is no number")?;
    let mtime = number(&block[136..148]).ok_or("its time is no number")?;
    Ok(Header {
        name,
        link: text(&block[157..257])?,
        mode: u32::try_from(mode & 0o7777).map_err(|_| "its mode is no number")?,
        uid: u64::try_from(uid).unwrap_or(u64::MAX),
        size: u64::try_from(size).map_err(|_| "its size is negative")?,
        mtime,
        kind: block[156],
    })
}

/// The sum of all bytes, its own field taken as blanks. Old archives have the
/// sum of signed bytes.
fn check_sum(block: &[u8; BLOCK]) -> Result<(), &'static str> {
    let said = number(&block[148..156]).ok_or("its header has no checksum")?;
    let bytes =
        || block.iter().enumerate().map(|(at, byte)| if (148..156).contains(&at) { b' ' } else { *byte });
    let unsigned: i64 = bytes().map(i64::from).sum();
    let signed: i64 = bytes().map(|byte| i64::from(byte.cast_signed())).sum();
    if said == unsigned || said == signed { Ok(()) } else { Err("the checksum of its header is wrong") }
}

/// Text up to the first NUL; what lies behind it is NULs, so that everybody
/// reads the same.
fn text(field: &[u8]) -> Result<Vec<u8>, &'static str> {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    if field[end..].iter().any(|byte| *byte != 0) {
        return Err("there is something behind the NUL of a name in its header");
    }
    Ok(field[..end].to_vec())
}

/// Octal digits between blanks and NULs, or GNU's big-endian bytes.
fn number(field: &[u8]) -> Option<i64> {
    let (first, rest) = field.split_first()?;
    if first & 0x80 != 0 {
        // 0x80 and a positive number, or 0xff and a negative one.
        let negative = *first == 0xff;
        if !negative && *first != 0x80 {
            return None;
        }
        let (filler, low) = rest.split_at(rest.len().saturating_sub(8));
        let fill = if negative { 0xff } else { 0 };
        let low = low.iter().fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte)).cast_signed();
        let low = if rest.len() < 8 && negative { low - (1 << (8 * rest.len())) } else { low };
        return (filler.iter().all(|byte| *byte == fill) && (low < 0) == negative).then_some(low);
    }
    let blank = |byte: &u8| matches!(byte, b' ' | 0);
    let start = field.iter().position(|byte| !blank(byte)).unwrap_or(field.len());
    let end = field.iter().rposition(|byte| !blank(byte)).map_or(start, |at| at + 1);
    field[start..end].iter().try_fold(0_i64, |sum, byte| match byte {
        b'0'..=b'7' => sum.checked_mul(8)?.checked_add(i64::from(byte - b'0')),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_is_octal_or_bytes_and_nothing_else() {
        assert_eq!(number(b"0000644\0"), Some(0o644));
        assert_eq!(number(b"   644 \0"), Some(0o644));
        assert_eq!(number(b"77777777777\0"), Some(0o777_7777_7777));
        assert_eq!(number(b"\0\0\0\0\0\0\0\0"), Some(0));
        assert_eq!(number(b"\x80\0\0\0\0\0\0\0\0\0\x01\0"), Some(256));
        assert_eq!(number(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe"), Some(-2));
        assert_eq!(number(b"\xff\xff\xff\xff\xff\xff\xff\xfe"), Some(-2));
        for bad in [
            b"0000648\0".as_slice(),
            b"-000644\0",
            b"06 44\0\0\0",
            b"0x1ff\0\0\0",
            b"\x81\0\0\0\0\0\0\0\0\0\0\0",
            b"\x80\0\0\x01\0\0\0\0\0\0\0\0",
            b"\x80\0\0\0\xff\0\0\0\0\0\0\0",
        ] {
            assert_eq!(number(bad), None, "{bad:?}");
        }
    }
}
