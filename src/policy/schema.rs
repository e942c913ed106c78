//! The JSON Schema of policies and ceilings, from the tables that the reader
//! itself uses.
//!
//! Guarantees: the schema refuses nothing that the reader takes, and refuses
//! whatever is wrong in shape: an unknown, missing or repeated field, a wrong
//! type, a word or a call that is not known, a path or a unit that is not
//! written as it must be (tested over one corpus). What fields say about each
//! other, and what a name means, it cannot say: `docs/policy.md` lists it.

use serde_json::{Map, Value, json};

use super::bounds::{self, Bound, Unit};
use super::read::{ABI_MOST, DEVICES, Free, RawSource, VERSION};
use super::{builtin_names, names};
use crate::Layer;
use crate::image::recipe;

/// Control characters, as a character class of a pattern has them.
const CONTROL: &str = "\u{0}-\u{1f}\u{7f}-\u{9f}";

/// The schema as it ships.
#[must_use]
pub fn text() -> String {
    format!("{:#}\n", schema())
}

/// The schema.
#[must_use]
pub fn schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": format!("urn:stockade:policy:{VERSION}"),
        "title": "stockade policy",
        "description": "What a payload may see, call and use; with `ceiling`, what a job may ask for at most.",
        "type": "object",
        "properties": properties(),
        "required": ["version", "name", "comment"],
        "additionalProperties": false,
        "if": { "required": ["extends"] },
        "then": {
            "properties": {
                "paths": false,
                "syscalls": { "properties": { "allow": false, "violations": false } },
            },
        },
        "else": {
            "required": [
                "user", "hostname", "cwd", "paths", "network", "landlock", "exec", "wx", "syscalls", "limits",
            ],
            "properties": {
                "paths+": false,
                "syscalls+": false,
                "user": { "required": ["uid", "gid"] },
                "syscalls": { "required": ["on_violation", "max_violations", "allow"] },
                "limits": { "required": limit_names() },
            },
            "dependentRequired": {
                "image": ["payload", "command"],
                "payload": ["image", "command"],
                "command": ["image", "payload"],
            },
        },
        "$defs": definitions(),
    })
}

fn described(mut schema: Value, description: &str) -> Value {
    if let Value::Object(map) = &mut schema {
        map.insert("description".to_owned(), Value::from(description));
    }
    schema
}

fn reference(name: &str, description: &str) -> Value {
    described(json!({ "$ref": format!("#/$defs/{name}") }), description)
}

fn object(properties: Value, required: &[&str]) -> Value {
    let mut map = match properties {
        Value::Object(map) => map,
        _ => Map::new(),
    };
    let comment = described(json!({ "$ref": "#/$defs/comment" }), "Why, in a few words.");
    map.entry("comment").or_insert(comment);
    json!({ "type": "object", "properties": map, "required": required, "additionalProperties": false })
}

fn choice(words: &[&str]) -> Value {
    json!({ "enum": words })
}

/// One shape for each place that an image can come from.
fn images() -> Value {
    let id = described(
        json!({ "type": "string", "pattern": "^sha256:[0-9a-f]{64}$" }),
        "The image, or what the name or recipe must come to.",
    );
    let name = described(
        json!({
            "type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$", "not": { "pattern": "^sha256:" }
        }),
        "An image of the store.",
    );
    let verify = described(
        choice(&["stamp", "stat", "full"]),
        "How closely it is looked at before each run: one stamp, every file's attributes, every byte.",
    );
    let program = reference("path", "The host program that the recipe is for.");
    let payload = described(choice(&["payload"]), "What the payload is linked with, and nothing else.");
    let closure = json!({ "closure": payload, "verify": verify });
    let named = json!({ "name": name, "id": id, "verify": verify });
    let by_id = json!({ "id": id, "verify": verify });
    let maker = described(choice(recipe::NAMES), "What is known of the files that such a program needs.");
    let recipe = json!({ "recipe": maker, "program": program, "id": id, "verify": verify });
    json!({ "type": "object", "oneOf": [
        object(closure, &["closure"]),
        object(named, &["name"]),
        object(by_id, &["id"]),
        object(recipe, &["recipe", "program"]),
    ] })
}

fn properties() -> Value {
    let extends: Vec<&str> = builtin_names().collect();
    let layers: Vec<&str> = Layer::ALL.iter().map(|l| l.name()).collect();
    json!({
        "version": described(json!({ "const": VERSION }), "The version of this shape."),
        "name": described(
            json!({ "type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", "not": { "pattern": "[.]json$" } }),
            "What reports call it.",
        ),
        "comment": reference("comment", "What it is for."),
        "extends": described(choice(&extends), "The policy that ships which this one adds to."),
        "image": described(
            images(),
            "Where the root file system comes from (`closure`: what the payload is linked with, and nothing else; an image by `name` or `id`; or what a `recipe` makes of a `program`), and how closely it is looked at.",
        ),
        "payload": described(
            object(json!({ "as": { "$ref": "#/$defs/path" }, "executable": { "type": "boolean" } }), &["as"]),
            "Where the payload appears, directly in the path from `payload`; a program unless `executable` is false.",
        ),
        "command": described(
            json!({ "type": "array", "minItems": 1, "items": { "$ref": "#/$defs/word" } }),
            "What is executed: literal words, `{payload}` once, `{args}` at most once.",
        ),
        "argv0": reference("word", "What the program sees as its own name: a literal, `{payload}` or `{given}`."),
        "user": described(
            object(json!({ "uid": { "$ref": "#/$defs/id" }, "gid": { "$ref": "#/$defs/id" } }), &[]),
            "The ids seen inside, neither of them 0.",
        ),
        "hostname": described(
            json!({ "type": "string", "pattern": "^[A-Za-z0-9]([A-Za-z0-9.-]{0,62}[A-Za-z0-9])?$" }),
            "The host name seen inside.",
        ),
        "cwd": reference("path", "The working directory when the program starts."),
        "env": described(
            json!({
                "type": "object",
                "propertyNames": { "pattern": "^[^=\u{0}]+$" },
                "additionalProperties": { "type": "string", "pattern": "^[^\u{0}]*$" },
            }),
            "The whole environment; with `extends`, in addition to the extended policy's.",
        ),
        "paths": reference("paths", "Everything that can be seen."),
        "paths+": reference("paths", "With `extends`: more to be seen."),
        "network": described(
            object(json!({ "mode": choice(&["none", "loopback"]) }), &["mode"]),
            "The network inside: nothing that is up, or a loopback device of its own.",
        ),
        "landlock": described(
            object(json!({ "min_abi": { "type": "integer", "minimum": 1, "maximum": ABI_MOST } }), &["min_abi"]),
            "The least Landlock ABI that will do; every right that the kernel knows is handled, but for TCP on a loopback.",
        ),
        "exec": described(
            choice(&["launch-only", "image"]),
            "Which programs run: the payload alone, or every program of the image and of a work tree with `execute` (`execve` must be allowed, too).",
        ),
        "wx": described(
            choice(&["deny", "allow"]),
            "Whether memory may be writable and executable at once, as just-in-time compilers need it.",
        ),
        "syscalls": described(
            object(
                json!({
                    "on_violation": described(
                        choice(&["refuse", "kill"]),
                        "What a violation does: EPERM and a line in the report, or the end of the box.",
                    ),
                    "max_violations": described(count(&bounds::MAX_VIOLATIONS), "After so many the box ends."),
                    "allow": { "$ref": "#/$defs/allow" },
                    "violations": { "$ref": "#/$defs/violations" },
                }),
                &[],
            ),
            "The system calls. What no rule names answers ENOSYS.",
        ),
        "syscalls+": described(
            json!({
                "type": "object",
                "properties": { "allow": { "$ref": "#/$defs/allow" }, "violations": { "$ref": "#/$defs/violations" } },
                "additionalProperties": false,
                "minProperties": 1,
            }),
            "With `extends`: more rules. A call that has a rule already cannot have another.",
        ),
        "limits": described(object(limits(), &[]), "Limits of the whole box. Zero means zero; nothing is unlimited."),
        "degrade": described(
            json!({ "type": "array", "items": choice(&layers), "uniqueItems": true }),
            "Layers that this policy runs without where the host cannot give them.",
        ),
        "ceiling": described(ceiling(), "Makes the file a ceiling: what a job may ask for besides this policy."),
    })
}

fn ceiling() -> Value {
    let free: Vec<&str> = Free::ALL.iter().map(|f| f.0).collect();
    let paths = json!({ "type": "array", "items": { "$ref": "#/$defs/path" }, "uniqueItems": true });
    object(
        json!({
            "ro": described(paths.clone(), "Host paths: `--ro` may name them and what is below."),
            "rw": described(paths, "Host paths: `--rw` and `--ro` may name them and what is below."),
            "env": described(
                json!({
                    "type": "array",
                    "items": { "type": "string", "pattern": "^[^=*\u{0}]+[*]?$|^[*]$" },
                    "uniqueItems": true,
                }),
                "Variables that may have any value; `CI_*` is all that begin so.",
            ),
            "free": described(
                json!({ "type": "array", "items": choice(&free), "uniqueItems": true }),
                "What is not compared: `user`, the ids inside; `violations`, which refused calls are reported.",
            ),
        }),
        &[],
    )
}

/// The limits of a policy, each with its bounds.
const LIMITS: &[(&Bound, &str)] = &[
    (&bounds::CPU_TIME, "CPU time of all processes together."),
    (&bounds::WALL_TIME, "Time from start to end."),
    (&bounds::MEMORY, "Memory of the whole box, files in memory included; no swap."),
    (&bounds::PROCESSES, "Processes and threads at one time."),
    (&bounds::OPEN_FILES, "Open descriptors of one process."),
    (&bounds::FILE_SIZE, "Bytes of one file."),
    (&bounds::OUTPUT, "Bytes of each output stream."),
];

fn limit_names() -> Vec<&'static str> {
    LIMITS.iter().map(|l| l.0.name).chain(["on_output", "stack"]).collect()
}

fn limits() -> Value {
    let mut map = Map::new();
    for (bound, description) in LIMITS {
        map.insert(bound.name.to_owned(), described(bounded(bound), description));
    }
    let on_output = described(choice(&["kill", "cut"]), "What happens at the `output` limit.");
    map.insert("on_output".to_owned(), on_output);
    let stack = json!({ "anyOf": [{ "const": "memory" }, { "$ref": "#/$defs/size" }] });
    let stack = described(stack, "Stack of the main thread; `memory` is as large as the memory limit.");
    map.insert("stack".to_owned(), stack);
    Value::Object(map)
}

fn bounded(bound: &Bound) -> Value {
    match bound.unit {
        Unit::Time => json!({ "$ref": "#/$defs/duration" }),
        Unit::Size => json!({ "$ref": "#/$defs/size" }),
        Unit::Count => count(bound),
    }
}

fn count(bound: &Bound) -> Value {
    json!({ "type": "integer", "minimum": bound.least, "maximum": bound.most })
}

fn definitions() -> Value {
    let calls: Vec<&str> = names::all().map(|c| c.0).collect();
    let number = "-?(0[xX][0-9a-fA-F]+|0o?[0-7]+|0|[1-9][0-9]*)|[A-Z_][A-Z0-9_]*";
    let part = format!("[^/{CONTROL}]");
    let first = format!("[^/.{CONTROL}]");
    json!({
        "comment": { "type": "string", "pattern": "\\S" },
        "path": {
            "type": "string",
            // A component is neither `.` nor `..`.
            "pattern": format!("^/$|^(/({first}{part}*|[.]{first}{part}*|[.][.]{part}+))+$"),
            "maxLength": 1023,
        },
        "word": { "type": "string", "pattern": "^[^\u{0}]*$" },
        "id": { "type": "integer", "minimum": 1, "maximum": u32::MAX - 1 },
        "duration": { "type": "string", "pattern": "^(0|[1-9][0-9]*)([.][0-9]+)?(ns|us|ms|s|m|h)$" },
        "size": { "type": "string", "pattern": "^(0|[1-9][0-9]*)([.][0-9]+)?(B|KiB|MiB|GiB|TiB)$" },
        "paths": { "type": "array", "minItems": 1, "items": { "$ref": "#/$defs/path_entry" } },
        "path_entry": path_entry(),
        "calls": { "type": "array", "minItems": 1, "uniqueItems": true, "items": { "enum": calls } },
        "allow": { "type": "array", "minItems": 1, "items": { "$ref": "#/$defs/allow_rule" } },
        "violations": { "type": "array", "minItems": 1, "items": { "$ref": "#/$defs/violation_rule" } },
        "allow_rule": allow_rule(),
        "violation_rule": object(
            json!({ "calls": { "$ref": "#/$defs/calls" }, "if": { "$ref": "#/$defs/conditions" } }),
            &["calls", "comment"],
        ),
        "conditions": { "type": "array", "minItems": 1, "items": { "$ref": "#/$defs/condition" } },
        "condition": condition(),
        "value": {
            "anyOf": [
                { "type": "integer" },
                { "type": "string", "pattern": format!("^\\s*({number})\\s*([|]\\s*({number})\\s*)*$") },
            ],
        },
    })
}

fn allow_rule() -> Value {
    let mut rule = object(
        json!({
            "calls": { "$ref": "#/$defs/calls" },
            "if": reference("conditions", "Allowed when all of these hold."),
            "unless": reference("conditions", "Allowed when none of these holds."),
            "otherwise": described(
                choice(&["ENOSYS", "EPERM", "violation"]),
                "What the call answers when it is not allowed; ENOSYS where nothing is said.",
            ),
        }),
        &["calls", "comment"],
    );
    rule["not"] = json!({ "required": ["if", "unless"] });
    rule["dependentSchemas"] =
        json!({ "otherwise": { "anyOf": [{ "required": ["if"] }, { "required": ["unless"] }] } });
    rule
}

fn condition() -> Value {
    let tests = ["eq", "in", "any_bit"];
    let one: Vec<Value> = tests.iter().map(|t| json!({ "required": [t] })).collect();
    json!({
        "type": "object",
        "properties": {
            "arg": described(json!({ "enum": names::all_arguments() }), "The argument, as its manual page calls it."),
            "eq": reference("value", "It is this value."),
            "in": described(
                json!({ "type": "array", "minItems": 1, "maxItems": 1000, "items": { "$ref": "#/$defs/value" } }),
                "It is one of these values.",
            ),
            "masked": reference("value", "With `eq` or `in`: only these bits of it are looked at."),
            "any_bit": reference("value", "At least one of these bits is set."),
        },
        "required": ["arg"],
        "additionalProperties": false,
        "oneOf": one,
        "dependentSchemas": { "masked": { "not": { "required": ["any_bit"] } } },
    })
}

fn path_entry() -> Value {
    let sources: Vec<&str> = RawSource::ALL.iter().map(|s| s.0).collect();
    let access = json!({
        "type": "array",
        "uniqueItems": true,
        "items": choice(&["read", "write", "create", "execute"]),
        "contains": { "const": "read" },
        // Creating is writing.
        "if": { "contains": { "const": "create" } },
        "then": { "contains": { "const": "write" } },
    });
    let mut entry = object(
        json!({
            "at": reference("path", "Where it is seen."),
            "from": described(choice(&sources), "What stands behind it."),
            "access": described(access, "What may be done with it: mount flags and Landlock rights both follow."),
            "optional": described(json!({ "type": "boolean" }), "From `proc`: whether a host that cannot give it may leave it out."),
            "devices": described(
                json!({ "type": "array", "minItems": 1, "uniqueItems": true, "items": choice(DEVICES) }),
                "From `devices`: which. Links to `/proc/self/fd` (`fd`, `stdin`, `stdout`, `stderr`) are beside them where the programs of an image run.",
            ),
            "size": reference("size", "From `tmpfs`, `out` or `work`: its bytes, a whole number of pages of 4KiB."),
            "inodes": described(count(&bounds::TMPFS_INODES), "From `tmpfs`, `out` or `work`: its files and directories."),
        }),
        &["at", "from", "access", "comment"],
    );
    entry["allOf"] = RawSource::ALL.iter().map(|(name, source)| one_source(name, *source)).collect();
    entry
}

/// What an entry has to look like, by what stands behind it.
fn one_source(name: &str, source: RawSource) -> Value {
    let owned: &[&str] = match source {
        RawSource::Devices => &["devices"],
        RawSource::Tmpfs | RawSource::Out | RawSource::Work => &["size", "inodes"],
        RawSource::Image | RawSource::Payload | RawSource::Proc => &[],
    };
    let mut properties = Map::new();
    for field in ["devices", "size", "inodes"] {
        if !owned.contains(&field) {
            properties.insert(field.to_owned(), Value::Bool(false));
        }
    }
    let at = match source.place() {
        Some((place, _)) => json!({ "const": place }),
        None => json!({ "not": { "const": "/" } }),
    };
    properties.insert("at".to_owned(), at);
    properties.insert("access".to_owned(), json!({ "items": choice(source.possible().0) }));
    if source != RawSource::Proc {
        properties.insert("optional".to_owned(), json!({ "const": false }));
    }
    json!({
        "if": { "properties": { "from": { "const": name } }, "required": ["from"] },
        "then": { "properties": properties, "required": owned },
    })
}
