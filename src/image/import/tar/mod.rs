//! A strict reader of tar archives.
//!
//! Guarantees: what is handed out has one meaning; where two readers could see
//! different entries (lengths, names or ends that contradict each other) the
//! archive is refused. Nothing is written and no name is looked at on the host.

mod header;
mod pax;

use std::collections::BTreeMap;
use std::io::{self, Read};

use header::{BLOCK, Header};
use pax::Records;

pub(crate) use pax::OWN;

/// The most bytes of one extended header, or of one long name.
const MAX_EXTENDED: u64 = 1 << 20;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Dir,
    Symlink,
    Hardlink,
    /// A device, or a pipe: with its article.
    Special(&'static str),
}

/// One entry; its content is what [`Reader`] reads next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// As it is written.
    pub(crate) name: Vec<u8>,
    /// Where it leads, if it is a link.
    pub(crate) link: Vec<u8>,
    pub(crate) kind: Kind,
    pub(crate) mode: u32,
    pub(crate) uid: u64,
    pub(crate) size: u64,
    pub(crate) mtime: i64,
    /// Whether it has extended attributes.
    pub(crate) xattrs: bool,
}

/// Why an archive is refused.
#[derive(Debug)]
pub(crate) struct TarProblem {
    /// The entry, escaped, or where in the archive.
    pub(crate) at: String,
    pub(crate) what: Trouble,
}

/// What is wrong.
#[derive(Debug)]
pub(crate) enum Trouble {
    Says(&'static str),
    Read(io::Error),
}

type Done<T> = Result<T, TarProblem>;

/// Reads entries one after the other; its content is that of the last one.
pub(crate) struct Reader<R> {
    from: R,
    /// Bytes read so far.
    position: u64,
    /// Bytes of content, and of its padding, that are still to come.
    left: u64,
    padding: u64,
    current: String,
    own: BTreeMap<String, String>,
    started: bool,
}

impl<R: Read> Reader<R> {
    pub(crate) fn new(from: R) -> Self {
        let own = BTreeMap::new();
        Self { from, position: 0, left: 0, padding: 0, current: String::new(), own, started: false }
    }

    /// Where the next byte of content lies in the archive.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// What this program itself has written in front of the first entry.
    pub(crate) fn own(&self) -> &BTreeMap<String, String> {
        &self.own
    }

    fn problem<T>(&self, what: &'static str) -> Done<T> {
        Err(self.says(what))
    }

    fn failed(&self, error: io::Error) -> TarProblem {
        let what = match error.kind() {
            io::ErrorKind::UnexpectedEof => Trouble::Says("the archive ends in the middle of it"),
            _ => Trouble::Read(error),
        };
        TarProblem { at: self.current.clone(), what }
    }

    /// The next entry; what was not read of the last one is skipped.
    pub(crate) fn next(&mut self) -> Done<Option<Entry>> {
        self.skip_rest()?;
        let mut records: Option<Records> = None;
        let (mut long_name, mut long_link) = (None, None);
        loop {
            let Some(block) = self.block()? else {
                if records.is_some() || long_name.is_some() || long_link.is_some() {
                    return self.problem("an extended header is followed by no entry");
                }
                return Ok(None);
            };
            self.current = format!("the header at byte {}", self.position - BLOCK as u64);
            let header = header::decode(&block).map_err(|what| self.says(what))?;
            let extended = matches!(header.kind, b'x' | b'g' | b'L' | b'K');
            if !extended {
                self.current = header.name.escape_ascii().to_string();
            }
            match header.kind {
                b'x' if records.is_some() => return self.problem("two PAX headers for one entry"),
                b'x' => records = Some(self.records(&header)?),
                b'g' => self.global(&header)?,
                b'L' if long_name.is_some() => return self.problem("two long names for one entry"),
                b'L' => long_name = Some(self.long_name(&header)?),
                b'K' if long_link.is_some() => return self.problem("two long targets for one entry"),
                b'K' => long_link = Some(self.long_name(&header)?),
                _ => return self.entry(header, records.unwrap_or_default(), long_name, long_link).map(Some),
            }
            self.started = true;
        }
    }

    fn says(&self, what: &'static str) -> TarProblem {
        TarProblem { at: self.current.clone(), what: Trouble::Says(what) }
    }

    fn entry(
        &mut self,
        header: Header,
        records: Records,
        long_name: Option<Vec<u8>>,
        long_link: Option<Vec<u8>>,
    ) -> Done<Entry> {
        self.started = true;
        if (records.path.is_some() && long_name.is_some()) || (records.link.is_some() && long_link.is_some())
        {
            return self.problem("a PAX header and a long name contradict each other");
        }
        let name = records.path.or(long_name).unwrap_or(header.name);
        self.current = name.escape_ascii().to_string();
        let size = match records.size {
            // What does not fit into the header is zero there, or its largest number.
            Some(size) if [0, size, 0o777_7777_7777].contains(&header.size) => size,
            Some(_) => return self.problem("its PAX header and its header give different sizes"),
            None => header.size,
        };
        let ends_as_dir = name.last() == Some(&b'/');
        let kind = match header.kind {
            b'0' | b'7' | 0 if ends_as_dir && size == 0 => Kind::Dir,
            b'0' | b'7' | 0 if ends_as_dir => {
                return self.problem("a directory by its name, and a file by its type");
            }
            b'0' | b'7' | 0 => Kind::File,
            b'1' => Kind::Hardlink,
            b'2' => Kind::Symlink,
            b'3' | b'4' => Kind::Special("a device"),
            b'5' => Kind::Dir,
            b'6' => Kind::Special("a fifo"),
            b'S' => return self.problem("a sparse file"),
            _ => return self.problem("its type is unknown"),
        };
        if kind != Kind::File && size != 0 {
            return self.problem("it has a size, and is no file");
        }
        let link = match kind {
            Kind::Symlink | Kind::Hardlink => records.link.or(long_link).unwrap_or(header.link),
            _ if records.link.is_some() || long_link.is_some() => {
                return self.problem("it has a target, and is no link");
            }
            _ => Vec::new(),
        };
        self.expect(size)?;
        Ok(Entry {
            name,
            link,
            kind,
            mode: header.mode,
            uid: records.uid.unwrap_or(header.uid),
            size,
            mtime: records.mtime.unwrap_or(header.mtime),
            xattrs: records.xattrs,
        })
    }

    /// So many bytes of content follow.
    fn expect(&mut self, size: u64) -> Done<()> {
        let padded =
            size.checked_next_multiple_of(BLOCK as u64).filter(|padded| i64::try_from(*padded).is_ok());
        match padded {
            Some(padded) => {
                self.left = size;
                self.padding = padded - size;
                Ok(())
            }
            None => self.problem("its size is larger than any file"),
        }
    }

    fn records(&mut self, header: &Header) -> Done<Records> {
        let bytes = self.extended(header)?;
        pax::parse(&bytes).map_err(|what| self.says(what))
    }

    /// Readers differ in what a global header does to names: none may be in it.
    fn global(&mut self, header: &Header) -> Done<()> {
        let Records { path, link, size, mtime, uid, xattrs, own } = self.records(header)?;
        if path.is_some() || link.is_some() || size.is_some() || mtime.is_some() || uid.is_some() || xattrs {
            return self.problem("a global PAX header changes every entry");
        }
        if !self.started {
            self.own = own;
        }
        Ok(())
    }

    fn long_name(&mut self, header: &Header) -> Done<Vec<u8>> {
        let mut bytes = self.extended(header)?;
        if bytes.last() == Some(&0) {
            bytes.pop();
        }
        if bytes.is_empty() {
            return self.problem("an empty long name");
        }
        if bytes.contains(&0) {
            return self.problem("a NUL in a long name");
        }
        Ok(bytes)
    }

    fn extended(&mut self, header: &Header) -> Done<Vec<u8>> {
        if header.size > MAX_EXTENDED {
            return self.problem("its extended header has more than 1 MiB");
        }
        self.expect(header.size)?;
        let mut bytes = Vec::new();
        match self.read_to_end(&mut bytes) {
            Ok(_) => {}
            Err(error) => return Err(self.failed(error)),
        }
        self.skip_rest()?;
        Ok(bytes)
    }

    /// Skips what is left of the content, and its padding.
    fn skip_rest(&mut self) -> Done<()> {
        let mut piece = [0; 16 << 10];
        while self.left + self.padding > 0 {
            let most = usize::try_from(self.left + self.padding).unwrap_or(usize::MAX).min(piece.len());
            let read = match self.from.read(&mut piece[..most]) {
                Ok(0) => return Err(self.failed(io::ErrorKind::UnexpectedEof.into())),
                Ok(read) => read as u64,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.failed(error)),
            };
            self.position += read;
            let of_content = read.min(self.left);
            self.left -= of_content;
            self.padding -= read - of_content;
        }
        Ok(())
    }

    /// A header block; `None`: the end mark, and nothing but zeros behind it.
    fn block(&mut self) -> Done<Option<[u8; BLOCK]>> {
        let mut block = [0; BLOCK];
        let read = self.fill(&mut block)?;
        if read == 0 {
            return self.problem(if self.started {
                "the archive ends behind it without an end mark"
            } else {
                "the archive is empty"
            });
        }
        if read < BLOCK {
            return self.problem("the archive ends in the middle of a header");
        }
        if block.iter().any(|byte| *byte != 0) {
            return Ok(Some(block));
        }
        loop {
            let read = self.fill(&mut block)?;
            if block[..read].iter().any(|byte| *byte != 0) {
                return self.problem("there is something behind the archive's end mark");
            }
            if read == 0 {
                return Ok(None);
            }
        }
    }

    fn fill(&mut self, block: &mut [u8]) -> Done<usize> {
        let mut done = 0;
        while done < block.len() {
            match self.from.read(&mut block[done..]) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed(error)),
            }
        }
        self.position += done as u64;
        Ok(done)
    }
}

/// The content of the last entry.
impl<R: Read> Read for Reader<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(to.len());
        if most == 0 {
            return Ok(0);
        }
        let read = self.from.read(&mut to[..most])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.position += read as u64;
        self.left -= read as u64;
        Ok(read)
    }
}
