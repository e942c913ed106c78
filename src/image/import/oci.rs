//! The documents of an OCI image: index, manifest, configuration. See the OCI
//! image specification.
//!
//! Guarantees: a part is used only after its size and digest are those of its
//! descriptor; a layer's plain bytes have the digest that the configuration says.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::bundle::{Bundle, Section};
use super::layer::Refused;
use crate::image::digest::Digest;

/// Real documents have a hundredth of it.
const MAX_DOCUMENT: u64 = 4 << 20;

/// Indexes within indexes.
const MAX_INDEXES: usize = 4;

/// The annotation that a layout names its images by.
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";

pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

/// What says where a part is, and what it must be.
#[derive(Debug, Clone, Deserialize)]
struct Descriptor {
    #[serde(rename = "mediaType", default)]
    media_type: String,
    digest: String,
    size: u64,
    #[serde(default)]
    platform: Option<Platform>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Clone, Deserialize)]
struct Platform {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
}

#[derive(Debug, Deserialize)]
struct Index {
    #[serde(rename = "schemaVersion")]
    version: u32,
    manifests: Vec<Descriptor>,
}

#[derive(Debug, Deserialize)]
struct Manifest {
    #[serde(rename = "schemaVersion")]
    version: u32,
    config: Descriptor,
    layers: Vec<Descriptor>,
}

/// The configuration of an image, as far as it matters here.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Configuration {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
    #[serde(default)]
    pub(super) config: Option<Start>,
    pub(super) rootfs: RootFs,
}

/// How it starts.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Start {
    #[serde(rename = "Env", default)]
    pub(super) env: Option<Vec<String>>,
    #[serde(rename = "Entrypoint", default)]
    pub(super) entrypoint: Option<Vec<String>>,
    #[serde(rename = "Cmd", default)]
    pub(super) command: Option<Vec<String>>,
    #[serde(rename = "Labels", default)]
    pub(super) labels: Option<BTreeMap<String, String>>,
}

/// The layers' plain bytes, by digest.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct RootFs {
    pub(super) diff_ids: Vec<String>,
}

/// An image's configuration, and its layers from the lowest.
pub(super) struct Parts {
    pub(super) configuration: Configuration,
    /// Names of parts; each has been compared with its descriptor.
    pub(super) layers: Vec<String>,
}

type Done<T> = Result<T, Refused>;

fn bad<T>(name: &str, what: impl Into<String>) -> Done<T> {
    Err(Refused::Entry(name.to_owned(), what.into()))
}

/// Reads a document.
pub(super) fn document<T: for<'de> Deserialize<'de>>(name: &str, bytes: &[u8]) -> Done<T> {
    serde_json::from_slice(bytes).or_else(|error| bad(name, format!("it is not what it should be: {error}")))
}

/// The image of a layout that a name means, or the only one.
pub(super) fn read(bundle: &Bundle, tag: Option<&str>) -> Done<Parts> {
    let layout: BTreeMap<String, serde_json::Value> =
        document("oci-layout", &bundle.document("oci-layout", MAX_DOCUMENT)?)?;
    let version = layout.get("imageLayoutVersion").and_then(|version| version.as_str()).unwrap_or_default();
    if !version.starts_with("1.") {
        return bad(
            "oci-layout",
            format!("its version is '{}', and 1.0.0 is known", version.escape_default()),
        );
    }
    let index: Index = document("index.json", &bundle.document("index.json", MAX_DOCUMENT)?)?;
    let mut chosen = choose("index.json", &index, tag)?;
    for _ in 0..MAX_INDEXES {
        if chosen.media_type != INDEX && chosen.media_type != DOCKER_INDEX {
            return manifest(bundle, &chosen);
        }
        let name = blob(bundle, &chosen)?;
        let index: Index = document(&name, &bundle.document(&name, MAX_DOCUMENT)?)?;
        chosen = choose(&name, &index, None)?;
    }
    bad("index.json", "more indexes, one in the other, than any real one")
}

/// The one image of an index for this machine.
fn choose(name: &str, index: &Index, tag: Option<&str>) -> Done<Descriptor> {
    if index.version != 2 {
        return bad(name, format!("its version is {}, and 2 is known", index.version));
    }
    let tag_of = |image: &Descriptor| image.annotations.as_ref().and_then(|all| all.get(REF_NAME)).cloned();
    let fits = |image: &&Descriptor| {
        tag.is_none_or(|tag| tag_of(image).as_deref() == Some(tag))
            && image.platform.as_ref().is_none_or(|p| p.os == "linux" && p.architecture == "amd64")
    };
    let mut fitting: Vec<&Descriptor> = index.manifests.iter().filter(fits).collect();
    fitting.dedup_by(|a, b| a.digest == b.digest);
    match fitting[..] {
        [one] => Ok(one.clone()),
        [] if index.manifests.is_empty() => bad(name, "there is no image in it"),
        [] => match tag {
            Some(tag) => {
                bad(name, format!("there is no image '{}' for linux/amd64 in it", tag.escape_default()))
            }
            None => bad(name, "there is no image for linux/amd64 in it"),
        },
        _ => {
            let names: Vec<String> =
                fitting.iter().map(|image| tag_of(image).unwrap_or_else(|| image.digest.clone())).collect();
            let shown =
                names.iter().map(|name| name.escape_default().to_string()).collect::<Vec<_>>().join(", ");
            bad(name, format!("there are several images in it ({shown}): say which, as SOURCE:NAME"))
        }
    }
}

/// The name of a part whose bytes are those of its descriptor.
fn blob(bundle: &Bundle, wanted: &Descriptor) -> Done<String> {
    let Some(digest) = Digest::from_id(&wanted.digest) else {
        let shown = wanted.digest.escape_default();
        return bad(&shown.to_string(), "it is not a SHA-256 digest, and others are not read");
    };
    let name = format!("blobs/sha256/{digest}");
    let part = bundle.need(&name)?;
    if part.left != wanted.size {
        return bad(&name, format!("it has {} bytes, and its descriptor says {}", part.left, wanted.size));
    }
    let found = bundle.digest(&name)?;
    if found != digest {
        return bad(&name, format!("its bytes have the digest {}", found.id()));
    }
    Ok(name)
}

fn manifest(bundle: &Bundle, wanted: &Descriptor) -> Done<Parts> {
    let name = blob(bundle, wanted)?;
    if !["", MANIFEST, DOCKER_MANIFEST].contains(&wanted.media_type.as_str()) {
        return bad(
            &name,
            format!("it is not an image: its type is '{}'", wanted.media_type.escape_default()),
        );
    }
    let manifest: Manifest = document(&name, &bundle.document(&name, MAX_DOCUMENT)?)?;
    if manifest.version != 2 {
        return bad(&name, format!("its version is {}, and 2 is known", manifest.version));
    }
    if ![CONFIG, DOCKER_CONFIG].contains(&manifest.config.media_type.as_str()) {
        let shown = manifest.config.media_type.escape_default().to_string();
        return bad(&name, format!("it is not an image: its configuration is '{shown}'"));
    }
    let config = blob(bundle, &manifest.config)?;
    let configuration =
        configuration(&config, &bundle.document(&config, MAX_DOCUMENT)?, manifest.layers.len())?;
    let mut layers = Vec::new();
    for layer in &manifest.layers {
        let known = ["tar", "tar+gzip", "tar+zstd", "tar.gzip", "tar.zstd"];
        let kind = layer.media_type.rsplit('.').next().unwrap_or_default();
        let dotted = layer.media_type.rsplit_once(".tar.").map_or("", |(_, packing)| packing);
        if !known.contains(&kind) && !["gzip", "zstd"].contains(&dotted) {
            return bad(
                &layer.digest,
                format!("a layer of the type '{}', which is not read", layer.media_type.escape_default()),
            );
        }
        layers.push(blob(bundle, layer)?);
    }
    Ok(Parts { configuration, layers })
}

/// Reads a configuration, and checks that it is for this machine.
pub(super) fn configuration(name: &str, bytes: &[u8], layers: usize) -> Done<Configuration> {
    let configuration: Configuration = document(name, bytes)?;
    let Configuration { architecture, os, rootfs, .. } = &configuration;
    if architecture != "amd64" || os != "linux" {
        let shown = format!("{os}/{architecture}");
        return bad(name, format!("it is for {}, and not for linux/amd64", shown.escape_default()));
    }
    if rootfs.diff_ids.len() != layers {
        return bad(name, format!("it lists {} layers, and the image has {layers}", rootfs.diff_ids.len()));
    }
    Ok(configuration)
}

/// A layer's bytes.
pub(super) fn open(bundle: &Bundle, name: &str) -> Done<Section> {
    bundle.need(name)
}
