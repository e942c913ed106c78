//! The lines of `stockade batch`: a job each, as a JSON object.
//!
//! Read strictly: a field that is not known, one that is there twice and a value
//! without a unit are errors that name the line and the column.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::path::PathBuf;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde::{Serialize, Serializer};

use crate::Layer;
use crate::error::{Error, Kind, Result};
use crate::policy::model::{OnOutput, Stack};
use crate::policy::{Overrides, units};

/// Longest line: a job is a few hundred bytes.
pub const MOST_BYTES: usize = 1 << 20;

/// What a job is called by whoever sends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Id {
    /// A string.
    Text(String),
    /// A whole number.
    Number(i128),
}

/// One job.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a job: an object with a program or an image")]
pub struct Job {
    /// Comes back with the report.
    pub id: Option<Id>,
    /// The program, a file of the host.
    pub program: Option<PathBuf>,
    /// Its arguments.
    pub args: Vec<String>,
    /// File that is its standard input; empty where there is none.
    pub stdin: Option<PathBuf>,
    /// File for its standard output, truncated; nowhere where there is none.
    pub stdout: Option<PathBuf>,
    /// File for its standard error, likewise.
    pub stderr: Option<PathBuf>,
    /// Added to the policy's environment.
    pub env: Variables,
    /// A built-in policy, or a file.
    pub policy: Option<String>,
    /// An image of the store.
    pub image: Option<String>,
    /// Limits in place of the policy's.
    #[serde(deserialize_with = "object")]
    pub limits: Limits,
    /// Layers that may be missing.
    pub degrade: Vec<LayerName>,
    /// `HOST[:BOX]`, to be read.
    pub ro: Vec<String>,
    /// `HOST[:BOX]`, to be written.
    pub rw: Vec<String>,
}

/// Names and values, each name once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Variables(pub BTreeMap<String, String>);

/// A layer by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerName(pub Layer);

/// Limits, named as in a policy; every number but a count has a unit.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "an object of limits")]
pub struct Limits {
    cpu_time: Option<Duration>,
    wall_time: Option<Duration>,
    memory: Option<Size>,
    processes: Option<u32>,
    open_files: Option<u32>,
    file_size: Option<Size>,
    output: Option<Size>,
    on_output: Option<AtOutput>,
    stack: Option<StackSize>,
    tmp: Option<Size>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Duration(u64);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Size(u64);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct AtOutput(OnOutput);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct StackSize(Stack);

/// An object and nothing else: a derived reader takes a list of the fields' values as well.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Only<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Only<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> std::result::Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }
        deserializer.deserialize_map(Only(PhantomData))
    }
}

fn object<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<T, D::Error> {
    Object::deserialize(deserializer).map(|Object(value)| value)
}

impl Job {
    /// Reads one line, without its end. `number` is the line's, counted from one.
    ///
    /// # Errors
    /// [`Kind::Usage`]: it is not a job.
    pub fn parse(line: &[u8], number: u64) -> Result<Self> {
        let wrong = |message: String| Error::new(Kind::Usage, message).help(HELP);
        if line.len() > MOST_BYTES {
            let length = line.len();
            return Err(wrong(format!("line {number}: {length} bytes are too many, {MOST_BYTES} the most")));
        }
        let Object(job): Object<Self> = serde_json::from_slice(line).map_err(|e| {
            let full = e.to_string();
            let words = full.rsplit_once(" at line ").map_or(full.as_str(), |(words, _)| words);
            wrong(format!("line {number}, column {}: {words}", e.column()))
        })?;
        if job.program.is_none() && job.image.is_none() {
            return Err(wrong(format!("line {number}: neither a program nor an image is named")));
        }
        Ok(job)
    }

    /// The id alone, of a line that may be no job.
    #[must_use]
    pub fn id_of(line: &[u8]) -> Option<Id> {
        let value: serde_json::Value = serde_json::from_slice(line).ok()?;
        serde_json::from_value(value.get("id")?.clone()).ok()
    }
}

/// Where all the fields are.
const HELP: &str =
    "one JSON object a line, for example {\"id\": 1, \"program\": \"./a.out\"}; see stockade-batch(1)";

impl Limits {
    /// As changes of a policy.
    #[must_use]
    pub fn overrides(&self) -> Overrides {
        Overrides {
            cpu_ns: self.cpu_time.map(|d| d.0),
            wall_ns: self.wall_time.map(|d| d.0),
            memory: self.memory.map(|s| s.0),
            processes: self.processes,
            open_files: self.open_files,
            file_size: self.file_size.map(|s| s.0),
            output: self.output.map(|s| s.0),
            on_output: self.on_output.map(|o| o.0),
            stack: self.stack.map(|s| s.0),
            tmp: self.tmp.map(|s| s.0),
            ..Overrides::default()
        }
    }
}

/// A string, read by `parse`.
fn word<'de, D: Deserializer<'de>, T, E: fmt::Display>(
    deserializer: D,
    parse: impl FnOnce(&str) -> std::result::Result<T, E>,
) -> std::result::Result<T, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text).map_err(de::Error::custom)
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        word(deserializer, units::parse_duration).map(Self)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        word(deserializer, units::parse_size).map(Self)
    }
}

impl<'de> Deserialize<'de> for AtOutput {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        word(deserializer, |text| match text {
            "kill" => Ok(Self(OnOutput::Kill)),
            "cut" => Ok(Self(OnOutput::Cut)),
            other => Err(format!("'{other}' is neither kill nor cut")),
        })
    }
}

impl<'de> Deserialize<'de> for StackSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        word(deserializer, |text| match text {
            "memory" => Ok(Self(Stack::Memory)),
            size => units::parse_size(size).map(|bytes| Self(Stack::Bytes(bytes))),
        })
    }
}

impl<'de> Deserialize<'de> for LayerName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        word(deserializer, |text| text.parse().map(Self).map_err(|e: crate::layer::UnknownLayer| e))
    }
}

impl<'de> Deserialize<'de> for Variables {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Once;
        impl<'de> Visitor<'de> for Once {
            type Value = Variables;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of strings")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Variables, A::Error> {
                let mut all = BTreeMap::new();
                while let Some((name, value)) = map.next_entry::<String, String>()? {
                    if all.contains_key(&name) {
                        return Err(de::Error::custom(format!("duplicate field `{name}`")));
                    }
                    all.insert(name, value);
                }
                Ok(Variables(all))
            }
        }
        deserializer.deserialize_map(Once)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = Id;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a whole number")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> std::result::Result<Id, E> {
                Ok(Id::Text(text.to_owned()))
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> std::result::Result<Id, E> {
                Ok(Id::Number(number.into()))
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> std::result::Result<Id, E> {
                Ok(Id::Number(number.into()))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            Id::Text(text) => serializer.serialize_str(text),
            Id::Number(number) => match u64::try_from(*number) {
                Ok(number) => serializer.serialize_u64(number),
                Err(_) => serializer.serialize_i64(i64::try_from(*number).unwrap_or(i64::MIN)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Job {
        Job::parse(line.as_bytes(), 1).unwrap()
    }

    fn refused(line: &str) -> String {
        Job::parse(line.as_bytes(), 7).unwrap_err().message().to_owned()
    }

    #[test]
    fn job_with_every_field_is_read() {
        let job = read(concat!(
            r#"{"id": "a", "program": "./p", "args": ["x", ""], "stdin": "i", "stdout": "o", "stderr": "e", "#,
            r#""env": {"A": "1"}, "policy": "native", "image": "img", "degrade": ["cgroup"], "#,
            r#""ro": ["/usr"], "rw": ["/tmp/x:/x"], "limits": {"cpu_time": "250ms", "wall_time": "2s", "#,
            r#""memory": "64MiB", "processes": 3, "open_files": 9, "file_size": "1KiB", "output": "2KiB", "#,
            r#""on_output": "cut", "stack": "memory", "tmp": "8MiB"}}"#,
        ));
        assert_eq!(job.id, Some(Id::Text("a".to_owned())));
        assert_eq!((job.program, job.args.len()), (Some(PathBuf::from("./p")), 2));
        assert_eq!(job.env.0.get("A").map(String::as_str), Some("1"));
        assert_eq!(job.degrade, [LayerName(Layer::Cgroup)]);
        let overrides = job.limits.overrides();
        assert_eq!((overrides.cpu_ns, overrides.wall_ns), (Some(250_000_000), Some(2_000_000_000)));
        assert_eq!((overrides.memory, overrides.processes), (Some(64 << 20), Some(3)));
        assert_eq!((overrides.on_output, overrides.stack), (Some(OnOutput::Cut), Some(Stack::Memory)));
        assert_eq!((overrides.file_size, overrides.output), (Some(1 << 10), Some(2 << 10)));
        assert_eq!((overrides.open_files, overrides.tmp), (Some(9), Some(8 << 20)));
        assert_eq!(read(r#"{"program": "p"}"#).limits.overrides(), Overrides::default());
    }

    #[test]
    fn job_that_is_not_strict_is_refused_with_its_place() {
        for (line, words) in [
            ("", "line 7, column 0: EOF while parsing a value"),
            ("[]", "line 7, column 0: invalid type: sequence"),
            ("{}", "line 7: neither a program nor an image is named"),
            (r#"{"program": "p", "limits": []}"#, "invalid type: sequence"),
            (r#"{"program": "p"} x"#, "line 7, column 18: trailing characters"),
            (r#"{"programm": "p"}"#, "line 7, column 11: unknown field `programm`"),
            (r#"{"program": "p", "program": "q"}"#, "column 26: duplicate field `program`"),
            (r#"{"program": "p", "env": {"A": "1", "A": "2"}}"#, "duplicate field `A`"),
            (r#"{"program": "p", "limits": {"memory": 5}}"#, "invalid type: integer `5`"),
            (r#"{"program": "p", "limits": {"cpu_time": "5"}}"#, "line 7, column 44: "),
            (r#"{"program": "p", "limits": {"cpu": "5s"}}"#, "unknown field `cpu`"),
            (r#"{"program": "p", "degrade": ["cgruop"]}"#, "cgruop"),
            (r#"{"program": "p", "id": [1]}"#, "expected a string or a whole number"),
            (r#"{"program": "p", "id": 1.5}"#, "expected a string or a whole number"),
        ] {
            let said = refused(line);
            assert!(said.contains(words), "{line}: {said}");
        }
        let long = format!("{{\"program\": \"{}\"}}", "x".repeat(MOST_BYTES));
        assert!(refused(&long).contains("bytes are too many"));
    }

    #[test]
    fn job_id_comes_back_as_it_was() {
        for id in ["\"a\\\"b\"", "0", "18446744073709551615", "-9223372036854775808"] {
            let line = format!("{{\"id\": {id}, \"nonsense\": 1}}");
            let found = Job::id_of(line.as_bytes()).unwrap();
            assert_eq!(serde_json::to_string(&found).unwrap(), id);
        }
        assert_eq!(Job::id_of(b"{\"program\": 1}"), None);
        assert_eq!(Job::id_of(b"{"), None);
    }
}
