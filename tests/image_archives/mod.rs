//! Archives, honest and not, block by block.
#![allow(dead_code, clippy::unwrap_used)]

use sha2::{Digest as _, Sha256};

/// A header, before its checksum.
#[derive(Debug, Clone)]
pub struct Block(pub [u8; 512]);

impl Block {
    /// A header of a file of root's that everybody may read.
    pub fn new(name: impl AsRef<[u8]>, kind: u8) -> Self {
        let mut block = Self([0; 512]);
        block.put(0, name.as_ref());
        block.put(100, b"0000644\0").put(108, b"0000000\0").put(116, b"0000000\0");
        block.put(124, b"00000000000\0").put(136, b"14600000000\0");
        block.put(156, &[kind]).put(257, b"ustar\x0000");
        block
    }

    pub fn put(&mut self, at: usize, bytes: &[u8]) -> &mut Self {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    pub fn with(mut self, at: usize, bytes: &[u8]) -> Self {
        self.put(at, bytes);
        self
    }

    pub fn size(self, size: u64) -> Self {
        self.with(124, format!("{size:011o}\0").as_bytes())
    }

    pub fn mode(self, mode: u32) -> Self {
        self.with(100, format!("{mode:07o}\0").as_bytes())
    }

    pub fn owner(self, uid: u32) -> Self {
        self.with(108, format!("{uid:07o}\0").as_bytes())
    }

    pub fn link(self, to: impl AsRef<[u8]>) -> Self {
        self.with(157, to.as_ref())
    }

    /// The bytes, with their checksum.
    pub fn sealed(mut self) -> Vec<u8> {
        self.put(148, b"        ");
        let sum: u32 = self.0.iter().map(|byte| u32::from(*byte)).sum();
        self.put(148, format!("{sum:06o}\0 ").as_bytes());
        self.0.to_vec()
    }

    /// The bytes with content behind them, whose size the header says.
    pub fn holding(self, content: &[u8]) -> Vec<u8> {
        let size = content.len() as u64;
        self.size(size).before(content)
    }

    /// The bytes with content behind them, whatever the header says.
    pub fn before(self, content: &[u8]) -> Vec<u8> {
        let mut bytes = self.sealed();
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    }
}

pub fn file(name: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> Vec<u8> {
    Block::new(name, b'0').holding(content.as_ref())
}

pub fn program(name: &str, content: &[u8]) -> Vec<u8> {
    Block::new(name, b'0').mode(0o755).holding(content)
}

pub fn dir(name: &str) -> Vec<u8> {
    Block::new(name, b'5').mode(0o755).sealed()
}

pub fn symlink(name: impl AsRef<[u8]>, to: impl AsRef<[u8]>) -> Vec<u8> {
    Block::new(name, b'2').link(to).sealed()
}

pub fn hardlink(name: &str, to: &str) -> Vec<u8> {
    Block::new(name, b'1').link(to).sealed()
}

/// Records of an extended header.
pub fn records(all: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (key, value) in all {
        let rest = key.len() + value.len() + 3;
        let mut length = rest;
        while length != rest + length.to_string().len() {
            length = rest + length.to_string().len();
        }
        bytes.extend_from_slice(format!("{length} {key}=").as_bytes());
        bytes.extend_from_slice(value);
        bytes.push(b'\n');
    }
    bytes
}

pub fn pax(all: &[(&str, &[u8])]) -> Vec<u8> {
    Block::new("PaxHeaders/x", b'x').holding(&records(all))
}

pub fn pax_raw(bytes: &[u8]) -> Vec<u8> {
    Block::new("PaxHeaders/x", b'x').holding(bytes)
}

pub fn global(all: &[(&str, &[u8])]) -> Vec<u8> {
    Block::new("pax_global_header", b'g').holding(&records(all))
}

pub fn gnu_long(kind: u8, name: &[u8]) -> Vec<u8> {
    Block::new("././@LongLink", kind).with(257, b"ustar  \0").holding(name)
}

/// An archive of these pieces, ended.
pub fn tar(pieces: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = pieces.concat();
    bytes.extend_from_slice(&[0; 1024]);
    bytes
}

pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Compressed by the program of that name.
pub fn packed(by: &str, bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    use std::process::{Command, Stdio};
    let mut child = Command::new(by).arg("-c").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let copy = bytes.to_vec();
    let feeder = std::thread::spawn(move || stdin.write_all(&copy).unwrap());
    let out = child.wait_with_output().unwrap();
    feeder.join().unwrap();
    assert!(out.status.success());
    out.stdout
}

/// An OCI layout as the parts of an archive, to be spoiled.
#[derive(Debug, Clone)]
pub struct Layout {
    pub layers: Vec<Vec<u8>>,
    pub config: serde_json::Value,
    pub manifest: Option<serde_json::Value>,
    pub index: Option<serde_json::Value>,
    pub version: String,
}

impl Layout {
    pub fn of(layers: &[Vec<u8>]) -> Self {
        let ids: Vec<String> = layers.iter().map(|layer| format!("sha256:{}", sha256(layer))).collect();
        Self {
            layers: layers.to_vec(),
            config: serde_json::json!({
                "architecture": "amd64", "os": "linux", "config": {},
                "rootfs": {"type": "layers", "diff_ids": ids},
            }),
            manifest: None,
            index: None,
            version: r#"{"imageLayoutVersion":"1.0.0"}"#.to_owned(),
        }
    }

    fn config_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(&self.config).unwrap()
    }

    pub fn manifest(&self) -> serde_json::Value {
        self.manifest.clone().unwrap_or_else(|| {
            let config = self.config_bytes();
            let layers: Vec<_> = self
                .layers
                .iter()
                .map(|layer| {
                    serde_json::json!({"mediaType": "application/vnd.oci.image.layer.v1.tar",
                        "digest": format!("sha256:{}", sha256(layer)), "size": layer.len()})
                })
                .collect();
            serde_json::json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": {"mediaType": "application/vnd.oci.image.config.v1+json",
                    "digest": format!("sha256:{}", sha256(&config)), "size": config.len()},
                "layers": layers})
        })
    }

    pub fn index(&self) -> serde_json::Value {
        self.index.clone().unwrap_or_else(|| {
            let manifest = serde_json::to_vec(&self.manifest()).unwrap();
            serde_json::json!({"schemaVersion": 2, "manifests": [
                {"mediaType": "application/vnd.oci.image.manifest.v1+json",
                 "digest": format!("sha256:{}", sha256(&manifest)), "size": manifest.len()}]})
        })
    }

    /// Its archive.
    pub fn archive(&self) -> Vec<u8> {
        let blob = |bytes: &[u8]| file(format!("blobs/sha256/{}", sha256(bytes)), bytes);
        let mut pieces: Vec<Vec<u8>> = Vec::new();
        for bytes in &self.layers {
            let piece = blob(bytes);
            if !pieces.contains(&piece) {
                pieces.push(piece);
            }
        }
        pieces.push(blob(&self.config_bytes()));
        pieces.push(blob(&serde_json::to_vec(&self.manifest()).unwrap()));
        pieces.push(file("index.json", serde_json::to_vec(&self.index()).unwrap()));
        pieces.push(file("oci-layout", &self.version));
        tar(&pieces)
    }
}
