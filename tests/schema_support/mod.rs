//! A checker for the part of JSON Schema 2020-12 that the project's schemas use.
//! A keyword that it does not know is a panic: nothing passes unlooked at.
#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use regex_lite::Regex;
use serde_json::{Map, Value};

/// What is wrong, each with the JSON pointer of its place; empty: nothing.
pub fn problems(schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    Checker { root: schema }.check(schema, value, "", &mut found);
    found
}

struct Checker<'a> {
    root: &'a Value,
}

impl Checker<'_> {
    fn good(&self, schema: &Value, value: &Value) -> bool {
        let mut found = Vec::new();
        self.check(schema, value, "", &mut found);
        found.is_empty()
    }

    fn check(&self, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
        let map = match schema {
            Value::Bool(true) => return,
            Value::Bool(false) => return found.push(format!("{at}: nothing may be here")),
            Value::Object(map) => map,
            other => panic!("{other} is no schema"),
        };
        for (keyword, rule) in map {
            if !self.keyword(map, keyword, rule, value, at, found) {
                found.push(format!("{at}: {keyword} {rule:.200}"));
            }
        }
    }

    /// Whether the value keeps one rule; what is wrong below it is told by itself.
    fn keyword(
        &self,
        all: &Map<String, Value>,
        keyword: &str,
        rule: &Value,
        value: &Value,
        at: &str,
        found: &mut Vec<String>,
    ) -> bool {
        match keyword {
            "$schema" | "$id" | "title" | "description" | "$defs" | "then" | "else" => {}
            "$ref" => {
                let pointer = rule.as_str().unwrap().strip_prefix('#').unwrap();
                self.check(self.root.pointer(pointer).unwrap(), value, at, found);
            }
            "type" => return is_type(rule.as_str().unwrap(), value),
            "const" => return equal(rule, value),
            "enum" => return rule.as_array().unwrap().iter().any(|rule| equal(rule, value)),
            "not" => return !self.good(rule, value),
            "anyOf" => return rule.as_array().unwrap().iter().any(|s| self.good(s, value)),
            "oneOf" => return rule.as_array().unwrap().iter().filter(|s| self.good(s, value)).count() == 1,
            "allOf" => rule.as_array().unwrap().iter().for_each(|s| self.check(s, value, at, found)),
            "if" => {
                let branch = if self.good(rule, value) { "then" } else { "else" };
                if let Some(branch) = all.get(branch) {
                    self.check(branch, value, at, found);
                }
            }
            _ => return self.typed(all, keyword, rule, value, at, found),
        }
        true
    }

    /// Rules about values of one type only.
    fn typed(
        &self,
        all: &Map<String, Value>,
        keyword: &str,
        rule: &Value,
        value: &Value,
        at: &str,
        found: &mut Vec<String>,
    ) -> bool {
        let number = || usize::try_from(rule.as_u64().unwrap()).unwrap();
        match (keyword, value) {
            ("pattern", Value::String(text)) => Regex::new(rule.as_str().unwrap()).unwrap().is_match(text),
            ("maxLength", Value::String(text)) => text.chars().count() <= number(),
            ("minimum", Value::Number(n)) => n.as_f64().unwrap() >= rule.as_f64().unwrap(),
            ("maximum", Value::Number(n)) => n.as_f64().unwrap() <= rule.as_f64().unwrap(),
            ("minItems", Value::Array(list)) => list.len() >= number(),
            ("maxItems", Value::Array(list)) => list.len() <= number(),
            ("uniqueItems", Value::Array(list)) => {
                list.iter().enumerate().all(|(i, v)| !list[..i].contains(v))
            }
            ("contains", Value::Array(list)) => list.iter().any(|v| self.good(rule, v)),
            ("items", Value::Array(list)) => {
                list.iter().enumerate().for_each(|(i, v)| self.check(rule, v, &format!("{at}/{i}"), found));
                true
            }
            ("required", Value::Object(map)) => {
                rule.as_array().unwrap().iter().all(|name| map.contains_key(name.as_str().unwrap()))
            }
            ("minProperties", Value::Object(map)) => map.len() >= number(),
            ("properties", Value::Object(map)) => {
                for (name, schema) in rule.as_object().unwrap() {
                    if let Some(value) = map.get(name) {
                        self.check(schema, value, &format!("{at}/{name}"), found);
                    }
                }
                true
            }
            ("additionalProperties", Value::Object(map)) => {
                let known = all.get("properties").and_then(Value::as_object);
                for (name, value) in map.iter().filter(|m| known.is_none_or(|k| !k.contains_key(m.0))) {
                    self.check(rule, value, &format!("{at}/{name}"), found);
                }
                true
            }
            ("propertyNames", Value::Object(map)) => {
                map.keys().all(|name| self.good(rule, &Value::from(name.as_str())))
            }
            ("dependentRequired", Value::Object(map)) => {
                rule.as_object().unwrap().iter().filter(|(name, _)| map.contains_key(*name)).all(
                    |(_, others)| {
                        others.as_array().unwrap().iter().all(|o| map.contains_key(o.as_str().unwrap()))
                    },
                )
            }
            ("dependentSchemas", Value::Object(map)) => {
                for (name, schema) in rule.as_object().unwrap() {
                    if map.contains_key(name) {
                        self.check(schema, value, at, found);
                    }
                }
                true
            }
            (
                "pattern"
                | "maxLength"
                | "minimum"
                | "maximum"
                | "minItems"
                | "maxItems"
                | "uniqueItems"
                | "contains"
                | "items"
                | "required"
                | "minProperties"
                | "properties"
                | "additionalProperties"
                | "propertyNames"
                | "dependentRequired"
                | "dependentSchemas",
                _,
            ) => true,
            (unknown, _) => panic!("the checker does not know `{unknown}`"),
        }
    }
}

/// To JSON Schema `1` and `1.0` are one number.
fn equal(a: &Value, b: &Value) -> bool {
    a == b || (a.is_number() && b.is_number() && a.as_f64() == b.as_f64())
}

fn is_type(name: &str, value: &Value) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64() || value.as_f64().is_some_and(|f| f.fract() == 0.0),
        "number" => value.is_number(),
        "null" => value.is_null(),
        other => panic!("the checker does not know the type {other}"),
    }
}
