//! The list of packages in the two forms that scanners read.
//!
//! Deterministic: the same image gives the same bytes. The time is that of the
//! newest file, because a list says what is there and not when it was printed.

use serde_json::{Value, json};

use crate::image::digest::Digest;
use crate::image::store::{About, Package};

/// The note on an image whose packages are kept in rpm's database.
pub(super) const RPM_UNREAD: &str =
    "there is a database of rpm packages, which is not read: none of them is listed";

/// SPDX 2.3, as JSON. See <https://spdx.github.io/spdx-spec/v2.3/>.
#[must_use]
pub fn spdx(image: &Digest, about: &About, newest: i64) -> Value {
    let packages: Vec<Value> = about
        .packages
        .iter()
        .enumerate()
        .map(|(at, package)| {
            json!({
                "SPDXID": format!("SPDXRef-Package-{at}"),
                "name": package.name,
                "versionInfo": package.version,
                "downloadLocation": "NOASSERTION",
                "filesAnalyzed": false,
                "licenseConcluded": "NOASSERTION",
                "licenseDeclared": "NOASSERTION",
                "copyrightText": "NOASSERTION",
                "comment": kept(package),
                "externalRefs": [{
                    "referenceCategory": "PACKAGE-MANAGER",
                    "referenceType": "purl",
                    "referenceLocator": purl(package),
                }],
            })
        })
        .collect();
    let describes: Vec<Value> = (0..about.packages.len())
        .map(|at| {
            json!({
                "spdxElementId": "SPDXRef-DOCUMENT",
                "relationshipType": "DESCRIBES",
                "relatedSpdxElement": format!("SPDXRef-Package-{at}"),
            })
        })
        .collect();
    let mut document = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": image.id(),
        "documentNamespace": format!("https://stockade.invalid/spdx/{image}"),
        "creationInfo": {
            "created": timestamp(newest),
            "creators": [format!("Tool: stockade-{}", env!("CARGO_PKG_VERSION"))],
        },
        "packages": packages,
        "relationships": describes,
    });
    if let Some(gap) = gap(about) {
        document["comment"] = gap.into();
    }
    document
}

/// CycloneDX 1.5, as JSON. See <https://cyclonedx.org/docs/1.5/json/>.
#[must_use]
pub fn cyclonedx(image: &Digest, about: &About, newest: i64) -> Value {
    let components: Vec<Value> = about
        .packages
        .iter()
        .map(|package| {
            json!({
                "type": "library",
                "bom-ref": purl(package),
                "name": package.name,
                "version": package.version,
                "purl": purl(package),
                "properties": [
                    {"name": "stockade:files-kept", "value": package.kept.to_string()},
                    {"name": "stockade:files", "value": package.files.to_string()},
                ],
            })
        })
        .collect();
    let mut document = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "serialNumber": format!("urn:uuid:{}", uuid(image)),
        "metadata": {
            "timestamp": timestamp(newest),
            "tools": {"components": [
                {"type": "application", "name": "stockade", "version": env!("CARGO_PKG_VERSION")},
            ]},
            "component": {"type": "container", "name": image.id(), "bom-ref": image.id()},
        },
        "components": components,
    });
    if let Some(gap) = gap(about) {
        document["metadata"]["properties"] = json!([{"name": "stockade:incomplete", "value": gap}]);
        document["compositions"] = json!([{"aggregate": "incomplete", "assemblies": [image.id()]}]);
    }
    document
}

/// What is known to be missing from the list: a scanner that finds nothing may
/// not take that for good news.
#[must_use]
pub fn gap(about: &About) -> Option<String> {
    let known = about.notes.iter().any(|note| note == RPM_UNREAD);
    known.then(|| format!("this list is incomplete: {RPM_UNREAD}"))
}

/// `3 of 7 files are in the image`.
fn kept(package: &Package) -> String {
    format!("{} of {} files are in the image", package.kept, package.files)
}

/// A package's universal name. See <https://github.com/package-url/purl-spec>.
#[must_use]
pub fn purl(package: &Package) -> String {
    let encoded = |text: &str| {
        let mut out = String::new();
        for byte in text.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' => {
                    out.push(char::from(byte))
                }
                other => out.push_str(&format!("%{other:02X}")),
            }
        }
        out
    };
    let (name, version) = (encoded(&package.name), encoded(&package.version));
    let space = if package.distribution.is_empty() {
        String::new()
    } else {
        format!("{}/", encoded(&package.distribution))
    };
    // PyPI's names are the same in either case and with either mark.
    let name = if package.kind == "pypi" { name.to_lowercase().replace('_', "-") } else { name };
    let arch =
        if package.arch.is_empty() { String::new() } else { format!("?arch={}", encoded(&package.arch)) };
    format!("pkg:{}/{space}{name}@{version}{arch}", package.kind)
}

/// A version 8 UUID (RFC 9562): the image's own digest, so that it is the same
/// whenever it is asked for.
fn uuid(image: &Digest) -> String {
    let hex = image.to_string();
    let part = |range: std::ops::Range<usize>| hex.get(range).unwrap_or_default();
    format!("{}-{}-8{}-a{}-{}", part(0..8), part(8..12), part(13..16), part(17..20), part(20..32))
}

/// Seconds since 1970 in the form that both want.
#[must_use]
pub fn timestamp(seconds: i64) -> String {
    // Days to a date: Howard Hinnant's civil_from_days.
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_a_date_of_the_calendar() {
        assert_eq!(timestamp(0), "1970-01-01T00:00:00Z");
        assert_eq!(timestamp(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(timestamp(1_735_689_599), "2024-12-31T23:59:59Z");
        assert_eq!(timestamp(-1), "1969-12-31T23:59:59Z");
    }

    #[test]
    fn purl_encodes_what_would_mean_something_else() {
        let package = Package {
            kind: "deb".into(),
            name: "libstdc++6".into(),
            version: "1:2~3+b1".into(),
            arch: "amd64".into(),
            distribution: "debian".into(),
            kept: 1,
            files: 2,
        };
        assert_eq!(purl(&package), "pkg:deb/debian/libstdc%2B%2B6@1%3A2~3%2Bb1?arch=amd64");
        let python = Package {
            kind: "pypi".into(),
            name: "Foo_Bar".into(),
            distribution: String::new(),
            arch: String::new(),
            ..package
        };
        assert_eq!(purl(&python), "pkg:pypi/foo-bar@1%3A2~3%2Bb1");
    }
}
