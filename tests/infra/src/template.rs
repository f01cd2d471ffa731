//! A template of `CloudFormation` as JSON: YAML's short forms of functions, as in `!Sub`, become their long ones.

use saphyr::{LoadableYamlNode, Scalar, Tag, Yaml};
use serde_json::{Map, Value, json};

use crate::{Failure, text};

/// The template of this name in `infra/`.
pub fn load(name: &str) -> Result<Value, Failure> {
    let text = text(&format!("infra/{name}"))?;
    let documents = Yaml::load_from_str(&text).map_err(|error| format!("{name}: {error}"))?;
    let document = documents.first().ok_or_else(|| format!("{name} is empty"))?;
    json(document).map_err(|problem| format!("{name}: {problem}").into())
}

/// The properties of all resources of a type, by their logical names.
pub fn resources<'a>(
    template: &'a Value,
    kind: &'a str,
) -> impl Iterator<Item = (&'a str, &'a Value)> {
    let resources = template.get("Resources").and_then(Value::as_object);
    resources
        .into_iter()
        .flatten()
        .filter(move |(_, resource)| resource.get("Type").and_then(Value::as_str) == Some(kind))
        .map(|(name, resource)| (name.as_str(), resource.get("Properties").unwrap_or(&Value::Null)))
}

fn json(node: &Yaml<'_>) -> Result<Value, String> {
    Ok(match node {
        Yaml::Value(scalar) => match scalar {
            Scalar::Null => Value::Null,
            Scalar::Boolean(value) => json!(value),
            Scalar::Integer(value) => json!(value),
            Scalar::FloatingPoint(value) => json!(value.into_inner()),
            Scalar::String(value) => json!(value),
        },
        Yaml::Sequence(items) => Value::Array(items.iter().map(json).collect::<Result<_, _>>()?),
        Yaml::Mapping(entries) => {
            let mut object = Map::new();
            for (key, value) in entries {
                let key = key.as_str().ok_or_else(|| format!("{key:?} is no name"))?;
                object.insert(key.to_owned(), json(value)?);
            }
            Value::Object(object)
        }
        Yaml::Tagged(tag, inner) => function(tag, &json(inner)?),
        Yaml::Representation(..) | Yaml::Alias(_) | Yaml::BadValue => {
            return Err(format!("{node:?} is nothing that CloudFormation takes"));
        }
    })
}

/// A function in its long form. `!GetAtt a.b` takes a list there.
fn function(tag: &Tag, argument: &Value) -> Value {
    let name = match tag.suffix.as_str() {
        name @ ("Ref" | "Condition") => name.to_owned(),
        name => format!("Fn::{name}"),
    };
    match (name.as_str(), argument.as_str().and_then(|text| text.split_once('.'))) {
        ("Fn::GetAtt", Some((resource, attribute))) => json!({ name: [resource, attribute] }),
        _ => json!({ name: argument }),
    }
}
