//! In which fields two policies differ.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;
use volume_pool::policy::Policy;

/// One field that is not the same, with what stands there; nothing where it is absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) field: String,
    pub(crate) before: Option<String>,
    pub(crate) after: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
        write!(f, "{}: {} -> {}", self.field, shown(&self.before), shown(&self.after))
    }
}

/// The fields that differ, defaults filled in, by their paths as the policy spells them.
pub(crate) fn differences(before: &Policy, after: &Policy) -> Vec<Difference> {
    let (before, after) = (fields(before), fields(after));
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    names
        .into_iter()
        .filter(|name| before.get(*name) != after.get(*name))
        .map(|name| Difference {
            field: name.clone(),
            before: before.get(name).cloned(),
            after: after.get(name).cloned(),
        })
        .collect()
}

fn fields(policy: &Policy) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    if let Ok(value) = serde_json::to_value(policy) {
        flatten(String::new(), &value, &mut fields);
    }
    fields
}

fn flatten(path: String, value: &Value, into: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let separator = if path.is_empty() { "" } else { "." };
                flatten(format!("{path}{separator}{name}"), member, into);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                flatten(format!("{path}[{index}]"), item, into);
            }
        }
        Value::String(text) => drop(into.insert(path, text.clone())),
        Value::Null | Value::Bool(_) | Value::Number(_) => {
            into.insert(path, value.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(before: &str, after: &str) -> Vec<String> {
        let policy = |text| Policy::parse(Some(text)).unwrap();
        differences(&policy(before), &policy(after)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn only_what_differs_is_named_and_a_default_written_out_is_no_difference() {
        let plain = r#"{"pool":"a"}"#;
        let written = r#"{"pool":"a","mode":"enforce","waitSeconds":3600,"volumes":[{"name":"data","device":"/dev/sdf"}]}"#;
        assert_eq!(shown(plain, written), Vec::<String>::new());
        let other = r#"{"pool":"a","mode":"observe","maxSlotsPerZone":3,"volumes":[{"name":"data","device":"/dev/sdg"}]}"#;
        assert_eq!(
            shown(plain, other),
            [
                "maxSlotsPerZone: none -> 3",
                "mode: enforce -> observe",
                "volumes[0].device: /dev/sdf -> /dev/sdg"
            ]
        );
    }
}
