//! Decompression: gzip and zstd, known by their first bytes.

use std::cell::Cell;
use std::io::{self, BufReader, Read};
use std::rc::Rc;

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::limits::{Counted, Meter, Watched};

/// How something is compressed, if it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    None,
    Gzip,
    Zstd,
    /// Known, and not read.
    Foreign(&'static str),
}

/// What the first bytes say.
pub(super) fn packing(head: &[u8]) -> Packing {
    match head {
        [0x1f, 0x8b, ..] => Packing::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Packing::Zstd,
        [low, 0x2a, 0x4d, 0x18, ..] if low & 0xf0 == 0x50 => Packing::Zstd,
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Packing::Foreign("xz"),
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => Packing::Foreign("bzip2"),
        [0x04, 0x22, 0x4d, 0x18, ..] => Packing::Foreign("lz4"),
        [b'P', b'K', 3, 4, ..] => Packing::Foreign("zip"),
        _ => Packing::None,
    }
}

/// The plain bytes of something.
pub(super) fn unpack(
    from: impl Read + 'static,
    packing: Packing,
    meter: &Rc<Meter>,
) -> Result<Box<dyn Read>, String> {
    let packed = Rc::new(Cell::new(0));
    let counted = BufReader::with_capacity(128 << 10, Counted { from, passed: Rc::clone(&packed) });
    let from: Box<dyn Read> = match packing {
        Packing::None => Box::new(counted),
        Packing::Gzip => Box::new(MultiGzDecoder::new(counted)),
        Packing::Zstd => Box::new(Zstd::new(counted)),
        Packing::Foreign(what) => return Err(format!("it is compressed with {what}, which is not read")),
    };
    Ok(Box::new(Watched { from, packed, unpacked: 0, meter: Rc::clone(meter) }))
}

/// All frames of a zstd stream, one after the other; those to be skipped are.
struct Zstd<R> {
    from: R,
    decoder: FrameDecoder,
    /// Whether a frame is being read.
    inside: bool,
}

impl<R: io::BufRead> Zstd<R> {
    fn new(from: R) -> Self {
        Self { from, decoder: FrameDecoder::new(), inside: false }
    }

    /// Goes to the next frame that holds something; `false`: there is none.
    fn next_frame(&mut self) -> io::Result<bool> {
        loop {
            let head = self.from.fill_buf()?;
            if head.is_empty() {
                return Ok(false);
            }
            let mut magic = [0; 4];
            // A buffer may end within these four bytes.
            self.from.read_exact(&mut magic)?;
            if magic[0] & 0xf0 == 0x50 && magic[1..] == [0x2a, 0x4d, 0x18] {
                let mut length = [0; 4];
                self.from.read_exact(&mut length)?;
                let length = u64::from(u32::from_le_bytes(length));
                let skipped = io::copy(&mut (&mut self.from).take(length), &mut io::sink())?;
                if skipped < length {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                continue;
            }
            let frame = magic.as_slice().chain(&mut self.from);
            self.decoder.reset(frame).map_err(broken)?;
            self.inside = true;
            return Ok(true);
        }
    }
}

fn broken(error: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("zstd: {error}"))
}

impl<R: io::BufRead> Read for Zstd<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if to.is_empty() {
            return Ok(0);
        }
        loop {
            if !self.inside && !self.next_frame()? {
                return Ok(0);
            }
            if self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                let blocks = BlockDecodingStrategy::UptoBytes(to.len());
                self.decoder.decode_blocks(&mut self.from, blocks).map_err(broken)?;
            }
            let read = self.decoder.read(to)?;
            if read > 0 {
                return Ok(read);
            }
            if self.decoder.is_finished() {
                let said = self.decoder.get_checksum_from_data();
                if said.is_some() && said != self.decoder.get_calculated_checksum() {
                    return Err(broken("the checksum of a frame is wrong"));
                }
                self.inside = false;
            }
        }
    }
}
