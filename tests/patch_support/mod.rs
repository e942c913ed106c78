//! RFC 6902, as far as explanations use it.
#![allow(clippy::unwrap_used, clippy::panic)]

use serde_json::Value;

/// Does what a JSON Patch says.
pub fn patch(document: &mut Value, operations: &[Value]) {
    for operation in operations {
        let (path, op) = (operation["path"].as_str().unwrap(), operation["op"].as_str().unwrap());
        let (parent, last) = path.rsplit_once('/').unwrap();
        let place = document.pointer_mut(parent).unwrap_or_else(|| panic!("{path}"));
        let value = operation.get("value").cloned();
        match (place, op) {
            (Value::Array(list), "add") if last == "-" => list.push(value.unwrap()),
            (Value::Array(list), "remove") => drop(list.remove(last.parse().unwrap())),
            (Value::Array(list), "replace") => list[last.parse::<usize>().unwrap()] = value.unwrap(),
            (Value::Object(map), "replace") => *map.get_mut(last).unwrap() = value.unwrap(),
            (place, op) => panic!("{op} {path} in {place}"),
        }
    }
}
