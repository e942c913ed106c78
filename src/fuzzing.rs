//! Readers of foreign bytes that are nobody's interface, as the fuzz targets and
//! the replay of their seeds reach them. Nothing here is promised to stay.

use std::io::Write as _;
use std::ops::Range;

use jsonc_parser::ast::Value as Ast;
use serde_json::Value;

use crate::policy::json;
use crate::sandbox::frame::Frame;
use crate::sandbox::posture::{self, Status};
use crate::sandbox::streams::terminal::Neutral;
use crate::sandbox::streams::{self, Ends, Output};

/// What the reader of policies makes of a JSON text; else where the text is wrong.
///
/// # Errors
/// The text is not JSON.
pub fn read_json(text: &str) -> Result<Value, Range<usize>> {
    json::parse(text).map(|value| as_serde(&value)).map_err(|error| error.range)
}

/// A value of the reader as serde_json would say it.
pub(crate) fn as_serde(value: &Ast<'_>) -> Value {
    match value {
        Ast::NullKeyword(_) => Value::Null,
        Ast::BooleanLit(b) => Value::Bool(b.value),
        Ast::StringLit(s) => Value::String(s.value.clone().into_owned()),
        // The reader keeps numbers as they are written.
        Ast::NumberLit(n) => serde_json::from_str(n.value).unwrap_or(Value::Null),
        Ast::Array(a) => Value::Array(a.elements.iter().map(as_serde).collect()),
        Ast::Object(o) => Value::Object(
            o.properties.iter().map(|p| (p.name.as_str().to_owned(), as_serde(&p.value))).collect(),
        ),
    }
}

/// What a terminal is shown for these chunks of output.
#[must_use]
pub fn neutralise(chunks: &[&[u8]]) -> Vec<u8> {
    let mut neutral = Neutral::default();
    let mut out: Vec<u8> = chunks.iter().flat_map(|chunk| neutral.pass(chunk)).collect();
    out.extend(neutral.finish());
    out
}

/// What became of an output of a payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pumped {
    /// What arrived.
    pub kept: Vec<u8>,
    /// How many bytes are said to have arrived.
    pub bytes: u64,
    /// Whether there was more than the limit.
    pub truncated: bool,
    /// Whether the pump came to its end.
    pub finished: bool,
}

/// These writes of a payload to its standard output, pumped into memory up to a limit.
///
/// # Errors
/// There are no descriptors left.
pub fn pump(chunks: &[&[u8]], cap: u64, cut: bool) -> std::io::Result<Pumped> {
    let (mut streams, inside) = streams::open(cap, cut)?;
    streams.connect(Ends { stdout: Output::Capture, ..Ends::default() })?;
    let mut payload = std::fs::File::from(inside.stdout);
    for (n, chunk) in chunks.iter().enumerate() {
        payload.write_all(chunk)?;
        // Two of the largest writes have room in the pipe.
        if n % 2 == 1 {
            streams.stdout.ready()?;
        }
    }
    drop(payload);
    for _ in 0..3 {
        streams.stdout.ready()?;
    }
    let out = &streams.stdout;
    Ok(Pumped {
        kept: out.take_captured(),
        bytes: out.bytes(),
        truncated: out.truncated(),
        finished: out.finished(),
    })
}

/// A record of the set-up, decoded and encoded again; `None` when it is refused.
#[must_use]
pub fn frame(bytes: &[u8]) -> Option<Vec<u8>> {
    Frame::decode(bytes).map(|frame| frame.encode().to_vec())
}

/// Place, type and whether it is connected to others, of each mount that a text
/// in the form of mountinfo tells of.
#[must_use]
pub fn mounts(text: &str) -> Vec<(String, String, bool)> {
    posture::parse_mountinfo(text).into_iter().map(|m| (m.at, m.kind, m.propagates)).collect()
}

/// A field of a text in the form of `/proc/<pid>/status`.
#[must_use]
pub fn status_field(text: &str, key: &str) -> String {
    Status::parse(text).get(key).to_owned()
}

/// What became of an archive that was taken.
#[cfg(feature = "images")]
#[derive(Debug)]
pub struct Imported {
    /// Every path of the image.
    pub paths: Vec<Vec<u8>>,
    /// Its id.
    pub id: String,
    /// The id of its export, imported into another store.
    pub again: Result<String, String>,
    /// What appeared beside the stores.
    pub outside: Vec<String>,
}

/// Stores in a directory that goes away with this.
#[cfg(feature = "images")]
struct Workbench(std::path::PathBuf);

#[cfg(feature = "images")]
impl Workbench {
    fn new() -> std::io::Result<Self> {
        static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        // Memory, where there is a file system in it: thousands a second are made.
        let base = [std::path::PathBuf::from("/dev/shm"), std::env::temp_dir()];
        let base = base.into_iter().find(|dir| dir.is_dir()).unwrap_or_default();
        let dir = base.join(format!("stockade-fuzz-{}-{number}", std::process::id()));
        std::fs::create_dir(&dir)?;
        Ok(Self(dir))
    }

    fn import(
        &self,
        store: &str,
        bytes: &[u8],
    ) -> Result<(crate::image::Store, crate::image::build::Built), String> {
        use crate::image::{Store, build::Quiet, import};
        let said = |error: crate::Error| error.message().to_owned();
        let source = self.0.join("source.tar");
        std::fs::write(&source, bytes).map_err(|error| error.to_string())?;
        let store =
            Store::open(&self.0.join(store)).map_err(|problem| problem.to_string())?.with_cap(u64::MAX);
        let limits = import::Limits { bytes: 1 << 20, entries: 1000, ..import::Limits::default() };
        let source = source.to_str().unwrap_or_default();
        let built = import::import(&store, source, limits, &Quiet).map_err(said)?;
        Ok((store, built))
    }
}

#[cfg(feature = "images")]
impl Drop for Workbench {
    fn drop(&mut self) {
        crate::error::no_matter(std::fs::remove_dir_all(&self.0), "it is nobody's");
    }
}

/// Imports an archive, exports what comes of it, and imports that.
///
/// # Errors
/// The words that it is refused with.
#[cfg(feature = "images")]
pub fn import_archive(bytes: &[u8]) -> Result<Imported, String> {
    use crate::image::{build::Quiet, export};
    let bench = Workbench::new().map_err(|error| error.to_string())?;
    let (store, built) = bench.import("one", bytes)?;
    let manifest = store.manifest(&built.image).ok().flatten().ok_or("its manifest is gone")?;
    let out = bench.0.join("out.tar");
    let written = export::export(&store, &built.image, "x", &out, export::Format::Tar, &Quiet);
    let again = written.map_err(|error| error.to_string()).and_then(|()| {
        let bytes = std::fs::read(&out).map_err(|error| error.to_string())?;
        bench.import("two", &bytes).map(|(_, built)| built.image.id())
    });
    let known = ["one", "two", "out.tar", "source.tar"];
    let beside = std::fs::read_dir(&bench.0).into_iter().flatten().flatten();
    let outside = beside.filter_map(|entry| entry.file_name().into_string().ok());
    Ok(Imported {
        paths: manifest.entries().iter().map(|entry| entry.path.clone()).collect(),
        id: built.image.id(),
        again,
        outside: outside.filter(|name| !known.contains(&name.as_str())).collect(),
    })
}

/// Imports a layout of these documents (index, manifest, configuration) and one
/// small layer. The words INDEX, MANIFEST, CONFIG and LAYER stand for digests,
/// and a size of 0 behind one for the part's.
///
/// # Errors
/// The words that it is refused with.
#[cfg(feature = "images")]
pub fn import_documents(documents: [&[u8]; 3]) -> Result<String, String> {
    use crate::image::digest::Digest;
    let mut layer = Vec::new();
    let add = |name: &str, bytes: &[u8], to: &mut Vec<u8>| crate::image::export::plain_file(to, name, bytes);
    add("d/f", b"x", &mut layer);
    layer.extend_from_slice(&[0; 1024]);
    let fill = |text: &[u8], word: &str, part: &[u8]| -> Vec<u8> {
        let text = String::from_utf8_lossy(text).into_owned();
        let id = Digest::of(part).id();
        let text =
            text.replace(&format!("\"{word}\",\"size\":0"), &format!("\"{id}\",\"size\":{}", part.len()));
        text.replace(word, &id).into_bytes()
    };
    let [index, manifest, config] = documents;
    let config = fill(config, "LAYER", &layer);
    let manifest = fill(&fill(manifest, "LAYER", &layer), "CONFIG", &config);
    let inner = fill(index, "MANIFEST", &manifest);
    let index = fill(&inner, "INDEX", &inner);
    let mut archive = Vec::new();
    let mut names = std::collections::BTreeSet::new();
    for part in [layer.as_slice(), &config, &manifest, &inner] {
        let name = format!("blobs/sha256/{}", Digest::of(part));
        if names.insert(name.clone()) {
            add(&name, part, &mut archive);
        }
    }
    add("index.json", &index, &mut archive);
    add("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#, &mut archive);
    archive.extend_from_slice(&[0; 1024]);
    let bench = Workbench::new().map_err(|error| error.to_string())?;
    bench.import("one", &archive).map(|(_, built)| built.image.id())
}
