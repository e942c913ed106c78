//! Archives that `docker save` makes: a list of images, and parts by name.

use serde::Deserialize;

use super::bundle::Bundle;
use super::layer::Refused;
use super::oci::{self, Parts};
use crate::image::digest::Digest;

/// Real documents have a hundredth of it.
const MAX_DOCUMENT: u64 = 4 << 20;

/// The list of images.
pub(super) const LIST: &str = "manifest.json";

#[derive(Debug, Deserialize)]
struct Image {
    #[serde(rename = "Config")]
    config: String,
    #[serde(rename = "RepoTags", default)]
    tags: Option<Vec<String>>,
    #[serde(rename = "Layers")]
    layers: Vec<String>,
}

/// Whether this is such a list, and not a file that is called like one.
pub(super) fn is_list(bundle: &Bundle) -> bool {
    let bytes = bundle.document(LIST, MAX_DOCUMENT).unwrap_or_default();
    bytes.trim_ascii_start().starts_with(b"[")
}

/// The image that a tag means, or the only one.
pub(super) fn read(bundle: &Bundle, tag: Option<&str>) -> Result<Parts, Refused> {
    let bad = |name: &str, what: String| Err(Refused::Entry(name.to_owned(), what));
    let images: Vec<Image> = oci::document(LIST, &bundle.document(LIST, MAX_DOCUMENT)?)?;
    let has = |image: &Image, tag: &str| {
        let tags = image.tags.iter().flatten();
        tags.into_iter().chain([&image.config]).any(|known| oci::is_called(known, tag))
    };
    let fitting: Vec<&Image> = images.iter().filter(|image| tag.is_none_or(|tag| has(image, tag))).collect();
    let image = match (&fitting[..], tag) {
        ([one], _) => *one,
        ([], None) => return bad(LIST, "there is no image in it".into()),
        ([], Some(tag)) => return bad(LIST, format!("there is no image '{}' in it", tag.escape_default())),
        _ => {
            let tags: Vec<String> = fitting
                .iter()
                .flat_map(|image| match image.tags.as_deref() {
                    None | Some([]) => std::slice::from_ref(&image.config),
                    Some(tags) => tags,
                })
                .map(|tag| tag.escape_default().to_string())
                .collect();
            return bad(
                LIST,
                format!("there are several images in it ({}): say which, as SOURCE:NAME", tags.join(", ")),
            );
        }
    };
    let bytes = bundle.document(&image.config, MAX_DOCUMENT)?;
    // Its name is its digest, where it looks like one.
    let name = image.config.strip_suffix(".json").unwrap_or(&image.config);
    let name = name.rsplit('/').next().unwrap_or_default();
    if let Ok(said) = name.parse::<Digest>() {
        let found = Digest::of(&bytes);
        if found != said {
            return bad(&image.config, format!("its bytes have the digest {}", found.id()));
        }
    }
    let configuration = oci::configuration(&image.config, &bytes, image.layers.len())?;
    Ok(Parts { configuration, layers: image.layers.clone() })
}
