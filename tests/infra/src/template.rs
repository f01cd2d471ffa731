//! A template of `CloudFormation` as JSON: YAML's short forms of functions, as in `!Sub`, become their long ones.

use saphyr_parser::{Event, Parser, ScalarStyle, StrInput, Tag};
use serde_json::{Map, Value, json};

use crate::{Failure, text};

/// The template of this name in `infra/`.
pub fn load(name: &str) -> Result<Value, Failure> {
    let text = text(&format!("infra/{name}"))?;
    let mut parser = Parser::new_from_str(&text);
    loop {
        match next(&mut parser)? {
            Event::StreamStart | Event::DocumentStart(_) => {}
            first => {
                return node(first, &mut parser)
                    .map_err(|problem| format!("{name}: {problem}").into());
            }
        }
    }
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

fn next<'a>(parser: &mut Parser<'a, StrInput<'a>>) -> Result<Event<'a>, Failure> {
    let (event, _) = parser.next_event().ok_or("it ends too soon")??;
    Ok(event)
}

/// The node that begins with this event.
fn node<'a>(first: Event<'a>, parser: &mut Parser<'a, StrInput<'a>>) -> Result<Value, Failure> {
    let (value, tag) = match first {
        Event::Scalar(text, style, _, tag) => (scalar(&text, style), tag),
        Event::SequenceStart(_, tag) => {
            let mut items = Vec::new();
            loop {
                match next(parser)? {
                    Event::SequenceEnd => break,
                    first => items.push(node(first, parser)?),
                }
            }
            (Value::Array(items), tag)
        }
        Event::MappingStart(_, tag) => {
            let mut entries = Map::new();
            loop {
                let key = match next(parser)? {
                    Event::MappingEnd => break,
                    Event::Scalar(key, ..) => key.into_owned(),
                    other => return Err(format!("{other:?} is no name").into()),
                };
                let first = next(parser)?;
                entries.insert(key, node(first, parser)?);
            }
            (Value::Object(entries), tag)
        }
        other => return Err(format!("{other:?} is nothing that a template has").into()),
    };
    Ok(tag.map_or(value.clone(), |tag| function(&tag, &value)))
}

/// Plain text may be a number or a switch; what is quoted or written as a block is text.
fn scalar(text: &str, style: ScalarStyle) -> Value {
    let plain = (style == ScalarStyle::Plain).then(|| serde_json::from_str(text).ok()).flatten();
    plain.unwrap_or_else(|| json!(text))
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
