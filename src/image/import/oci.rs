//! The documents of an OCI image: index, manifest, configuration. See the OCI
//! image specification.
//!
//! Guarantees: a part is used only after its size and digest are those of its
//! descriptor; a layer's plain bytes have the digest that the configuration says.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::bundle::{Bundle, Section};
use super::layer::Refused;
use crate::image::digest::Digest;

/// Real documents have a hundredth of it.
const MAX_DOCUMENT: u64 = 4 << 20;

/// Indexes within indexes.
const MAX_INDEXES: usize = 4;

/// The annotation by which Docker and containerd give an image its whole name;
/// [`REF_NAME`] is only its tag then.
const WHOLE_NAME: &str = "io.containerd.image.name";

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
    #[serde(rename = "mediaType", default)]
    media_type: Option<String>,
    manifests: Vec<Descriptor>,
    /// What only a manifest has.
    #[serde(default)]
    config: Option<IgnoredAny>,
    #[serde(default)]
    layers: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
struct Manifest {
    #[serde(rename = "schemaVersion")]
    version: u32,
    #[serde(rename = "mediaType", default)]
    media_type: Option<String>,
    config: Descriptor,
    layers: Vec<Descriptor>,
    /// What only an index has.
    #[serde(default)]
    manifests: Option<IgnoredAny>,
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
    one_meaning("index.json", index.media_type.as_deref(), &[INDEX, DOCKER_INDEX])?;
    let mut chosen = choose("index.json", &index, tag)?;
    for _ in 0..MAX_INDEXES {
        if chosen.media_type != INDEX && chosen.media_type != DOCKER_INDEX {
            return manifest(bundle, &chosen);
        }
        let name = blob(bundle, &chosen)?;
        let index: Index = document(&name, &bundle.document(&name, MAX_DOCUMENT)?)?;
        one_meaning(&name, index.media_type.as_deref(), &[&chosen.media_type])?;
        chosen = choose(&name, &index, None)?;
    }
    bad("index.json", "more indexes, one in the other, than any real one")
}

/// A document is what its descriptor says: two readers that go by different
/// fields would see different images (CVE-2021-41190).
fn one_meaning(name: &str, said: Option<&str>, expected: &[&str]) -> Done<()> {
    match said {
        None => Ok(()),
        Some(said) if expected.contains(&said) => Ok(()),
        Some(said) => bad(
            name,
            format!("it says of itself that it is '{}', and not '{}'", said.escape_default(), expected[0]),
        ),
    }
}

/// What an image is called in an index.
fn names_of(image: &Descriptor) -> impl Iterator<Item = &str> {
    let known = image.annotations.as_ref();
    let named = [WHOLE_NAME, REF_NAME].into_iter().filter_map(move |key| known?.get(key));
    named.map(String::as_str).chain([image.digest.as_str()])
}

/// Whether a tag means this name: all of it, or what follows a host or a directory.
pub(super) fn is_called(name: &str, tag: &str) -> bool {
    name == tag || name.strip_suffix(tag).is_some_and(|host| host.ends_with('/'))
}

/// The one image of an index for this machine.
fn choose(name: &str, index: &Index, tag: Option<&str>) -> Done<Descriptor> {
    if index.version != 2 {
        return bad(name, format!("its version is {}, and 2 is known", index.version));
    }
    if index.config.is_some() || index.layers.is_some() {
        return bad(name, "it is an index and the manifest of an image at once");
    }
    let fits = |image: &&Descriptor| {
        tag.is_none_or(|tag| names_of(image).any(|name| is_called(name, tag)))
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
            let first = |image: &Descriptor| names_of(image).next().map(str::to_owned);
            let shown = fitting.iter().map(|image| {
                // A name that several have says nothing.
                let twice = fitting.iter().filter(|other| first(other) == first(image)).count() > 1;
                let name = first(image).filter(|_| !twice);
                name.unwrap_or_else(|| image.digest.clone()).escape_default().to_string()
            });
            let shown = shown.collect::<Vec<_>>().join(", ");
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
    let expected: &[&str] = match wanted.media_type.as_str() {
        "" => &[MANIFEST, DOCKER_MANIFEST],
        said => &[said],
    };
    one_meaning(&name, manifest.media_type.as_deref(), expected)?;
    if manifest.manifests.is_some() {
        return bad(&name, "it is an index and the manifest of an image at once");
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
