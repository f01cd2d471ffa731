//! The policy that is wanted: a file, or what the group has with some fields changed. Written as it was given, defaults left
//! out, and read by the functions' own parser before anything is put.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};
use volume_pool::policy::{Mode, Policy};

use super::Arguments;
use crate::failure::Failure;

/// The policy's fields that are often set; a file for all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub(crate) struct Fields {
    /// The whole policy, as JSON.
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["create", "when_empty", "max_slots_per_zone", "wait_seconds", "on_timeout", "leave", "leave_seconds"]
    )]
    pub(crate) policy: Option<PathBuf>,
    /// Create gp3 volumes of this size, encrypted, where the pool has none [default: like the pool's youngest].
    #[arg(long, value_name = "GIB")]
    pub(crate) create: Option<u32>,
    /// What a launch does where no slot is free and none will be.
    #[arg(long, value_name = "WHAT", conflicts_with = "create")]
    pub(crate) when_empty: Option<WhenEmpty>,
    /// How many slots creation may bring a zone to.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) max_slots_per_zone: Option<u32>,
    /// How long a launch waits.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) wait_seconds: Option<u32>,
    /// What a launch does that has waited for so long.
    #[arg(long, value_name = "WHAT")]
    pub(crate) on_timeout: Option<OnTimeout>,
    /// How a terminating instance lets go of its volumes (ssm needs a document: write a policy file).
    #[arg(long, value_name = "MODE")]
    pub(crate) leave: Option<LeaveMode>,
    /// For how long, before the termination is left to free them.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) leave_seconds: Option<u32>,
}

/// As `whenEmpty`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum WhenEmpty {
    /// It creates one
    Create,
    /// It waits
    Wait,
}

/// As `onTimeout`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnTimeout {
    /// It goes on waiting, with an alarm
    Hold,
    /// It is given up
    Abandon,
    /// It gets an empty volume, although data may come back
    Create,
}

/// As `leave.mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LeaveMode {
    /// It is stopped: its operating system unmounts
    Stop,
    /// It drains itself and powers off
    Guest,
    /// They are detached at once
    Detach,
    /// Its termination frees them
    Terminate,
}

/// A policy, as it is written and as it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// For the launch hook's metadata.
    pub(crate) text: String,
    pub(crate) policy: Policy,
    /// What the group has now, where that parses.
    pub(crate) current: Option<Policy>,
}

/// The policy that is wanted for a group whose launch hook says `current`, and whose tag is `tag`.
pub(crate) fn wanted(
    current: Option<&str>,
    tag: Option<&str>,
    arguments: &Arguments,
) -> Result<Wanted, Failure> {
    let known = current.and_then(|text| Policy::parse(Some(text)).ok());
    let mut fields = match &arguments.fields.policy {
        Some(file) => {
            let text = std::fs::read_to_string(file)
                .map_err(|error| Failure::Usage(format!("{}: {error}", file.display())))?;
            // Refused as a whole, with the field, before anything of it is taken over.
            Policy::parse(Some(&text))
                .map_err(|error| Failure::Usage(format!("{}: {error}", file.display())))?;
            object(&text)
        }
        None => current.filter(|_| known.is_some()).map(object).unwrap_or_default(),
    };
    let pool = match (&arguments.pool, fields.get("pool").and_then(Value::as_str), tag) {
        (Some(given), Some(written), _)
            if arguments.fields.policy.is_some() && given.as_str() != written =>
        {
            return Err(Failure::Usage(format!(
                "--pool says {given}, and the policy {written}; give one of them"
            )));
        }
        (Some(given), ..) => given.to_string(),
        (None, Some(written), _) => written.to_owned(),
        (None, None, Some(tag)) => tag.to_owned(),
        (None, None, None) => {
            return Err(Failure::Usage(
                "which pool? give --pool NAME, or --policy FILE".to_owned(),
            ));
        }
    };
    fields.insert("pool".to_owned(), pool.into());
    set(&mut fields, &arguments.fields)?;
    if let Some(mode) = mode(&fields, known.as_ref(), arguments) {
        let mode = if mode == Mode::Observe { "observe" } else { "enforce" };
        fields.insert("mode".to_owned(), mode.into());
    }
    let text = ascii(&Value::Object(fields).to_string());
    let policy = Policy::parse(Some(&text)).map_err(|error| Failure::Usage(error.to_string()))?;
    Ok(Wanted { text, policy, current: known })
}

/// What is to be written as the mode: as told, else as it is, else observe for a group that is new.
fn mode(
    fields: &Map<String, Value>,
    known: Option<&Policy>,
    arguments: &Arguments,
) -> Option<Mode> {
    if arguments.enforce {
        Some(Mode::Enforce)
    } else if arguments.observe {
        Some(Mode::Observe)
    } else if fields.contains_key("mode") {
        None
    } else {
        Some(known.map_or(Mode::Observe, |policy| policy.mode))
    }
}

fn set(policy: &mut Map<String, Value>, fields: &Fields) -> Result<(), Failure> {
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            policy.insert(name.to_owned(), value);
        }
    };
    put("whenEmpty", fields.when_empty.as_ref().map(named));
    put("maxSlotsPerZone", fields.max_slots_per_zone.map(Value::from));
    put("waitSeconds", fields.wait_seconds.map(Value::from));
    put("onTimeout", fields.on_timeout.as_ref().map(named));
    if fields.leave.is_some() || fields.leave_seconds.is_some() {
        let leave = policy.entry("leave").or_insert_with(|| json!({}));
        if let (Some(mode), Value::Object(leave)) = (fields.leave, &mut *leave) {
            leave.insert("mode".to_owned(), named(&mode));
            leave.remove("document");
        }
        if let (Some(seconds), Value::Object(leave)) = (fields.leave_seconds, leave) {
            leave.insert("seconds".to_owned(), seconds.into());
        }
    }
    let Some(size) = fields.create else { return Ok(()) };
    policy.insert("whenEmpty".to_owned(), "create".into());
    let volumes = policy
        .entry("volumes")
        .or_insert_with(|| json!([{ "name": "data", "device": "/dev/sdf" }]));
    match volumes.as_array_mut().map(Vec::as_mut_slice) {
        Some([Value::Object(volume)]) => {
            let template = volume.entry("template").or_insert_with(|| json!({ "encrypted": true }));
            if let Value::Object(template) = template {
                template.insert("sizeGiB".to_owned(), size.into());
            }
            Ok(())
        }
        _ => Err(Failure::Usage(
            "--create is for slots of one volume; write the templates into a policy file"
                .to_owned(),
        )),
    }
}

/// As the policy spells it, which is as it is typed.
fn named(value: &impl ValueEnum) -> Value {
    value.to_possible_value().map(|value| value.get_name().to_owned()).into()
}

fn object(text: &str) -> Map<String, Value> {
    match serde_json::from_str(text) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}

/// `NotificationMetadata` takes printable ASCII only; in JSON every other character has a spelling in it.
fn ascii(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        if character.is_ascii() {
            text.push(character);
        } else {
            let mut units = [0; 2];
            let units = character.encode_utf16(&mut units).iter();
            text.extend(units.map(|unit| format!("\\u{unit:04x}")));
        }
    }
    text
}
