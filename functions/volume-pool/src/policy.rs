//! The policy: what a group's owner wants, as JSON in the launch hook's `NotificationMetadata`.
//!
//! It must never be half understood: an unknown field or a value out of range refuses the whole policy, because a
//! typo in a limit that passes unnoticed costs data or money. On record it was understood by whoever wrote it: there, fields
//! that a later version has added are passed over, because a claim that can't be read can't be answered either.

mod template;

pub use template::Template;

use std::collections::BTreeSet;
use std::fmt::Display;

use serde::{Deserialize, Serialize};
use serde_ignored::Path;

use crate::ids::{DeviceName, DocumentName, PoolName, VolumeName};

/// `PutLifecycleHook` takes at most this many characters of `NotificationMetadata`.
const LONGEST_METADATA: usize = 4000;
/// An action lives at most 48 hours, however often it is heartbeated (`PutLifecycleHook`).
const LONGEST_WAIT_SECONDS: u32 = 48 * 3600;
/// The longest heartbeat timeout of a hook; leaving in order must fit in it (`PutLifecycleHook`).
const LONGEST_LEAVE_SECONDS: u32 = 7200;

/// What the owner of a group wants done with its instances' volumes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// The version of this format; 1.
    #[serde(default = "current_version")]
    pub version: u32,
    /// The pool that the group's instances take their slots from.
    pub pool: PoolName,
    /// Whether to act or only to say what would be done.
    #[serde(default)]
    pub mode: Mode,
    /// How many slots creation may bring a zone to; the group's `MaxSize` where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_slots_per_zone: Option<u32>,
    /// What to do when no slot is free and none will be.
    #[serde(default)]
    pub when_empty: WhenEmpty,
    /// How long a launch waits before `on_timeout` applies, in seconds.
    #[serde(default = "default_wait_seconds")]
    pub wait_seconds: u32,
    /// What happens to a launch that has waited for `wait_seconds`.
    #[serde(default)]
    pub on_timeout: OnTimeout,
    /// A slot idle for longer than this many hours is left to a person to decide on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_after_hours: Option<u32>,
    /// How a terminating instance lets go of its volumes.
    #[serde(default)]
    pub leave: Leave,
    /// The volumes of a slot; one named `data` at `/dev/sdf` where it is absent.
    #[serde(default = "default_volumes")]
    pub volumes: Vec<VolumeSpec>,
}

/// Whether the policy acts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Mode {
    /// Decide and act.
    #[default]
    Enforce,
    /// Decide and log, answer CONTINUE, change nothing else.
    Observe,
}

/// What to do for a launch when no slot is free and none will be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum WhenEmpty {
    /// Create a slot, up to the zone's maximum.
    #[default]
    Create,
    /// Wait for one.
    Wait,
}

/// What happens to a launch that has waited for too long.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OnTimeout {
    /// Keep the action alive and raise an alarm; a slot that comes free still serves it.
    #[default]
    Hold,
    /// Give the instance up.
    Abandon,
    /// Create an empty slot although data may come back.
    Create,
}

/// How a terminating instance lets go of its volumes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Leave {
    /// What is done before the volumes are detached.
    #[serde(default)]
    pub mode: LeaveMode,
    /// For how long, in seconds, before the termination itself is left to free the volumes.
    #[serde(default = "default_leave_seconds")]
    pub seconds: u32,
    /// The SSM document of mode `ssm`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<DocumentName>,
}

impl Default for Leave {
    fn default() -> Self {
        Self { mode: LeaveMode::default(), seconds: default_leave_seconds(), document: None }
    }
}

/// What is done to a terminating instance before its volumes are detached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LeaveMode {
    /// `StopInstances`: the operating system stops its services and unmounts.
    #[default]
    Stop,
    /// Wait for the instance to drain itself and power off.
    Guest,
    /// Run an SSM document.
    Ssm,
    /// Nothing: nobody has the filesystem mounted.
    Detach,
    /// Nothing: the termination frees the volumes.
    Terminate,
}

/// One volume of a slot.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeSpec {
    /// Its name within the slot, the value of the volume's tag `stateful-asg:volume`.
    pub name: VolumeName,
    /// The device name to attach it at; another one is taken when that is in use.
    pub device: DeviceName,
    /// What to create it from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<Template>,
}

/// Why a text is no policy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum PolicyError {
    /// The hook carries no metadata.
    #[error(
        "the launch hook has no NotificationMetadata; put the policy there, at least {{\"pool\":\"NAME\"}}"
    )]
    Missing,
    /// The text is not JSON of the right form.
    #[error("{field}: {problem}")]
    Malformed {
        /// The path of the field, or `.` for the whole text.
        field: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A value lies outside its range.
    #[error("{field}: {seen} is not allowed; {allowed}")]
    OutOfRange {
        /// The path of the field.
        field: String,
        /// The value seen.
        seen: String,
        /// What is allowed there.
        allowed: String,
    },
}

impl Policy {
    /// Reads the policy from a launch hook's metadata.
    pub fn parse(metadata: Option<&str>) -> Result<Self, PolicyError> {
        let text =
            metadata.map(str::trim).filter(|text| !text.is_empty()).ok_or(PolicyError::Missing)?;
        if text.len() > LONGEST_METADATA {
            return Err(out_of_range(
                ".",
                format!("{} characters", text.len()),
                "at most 4000 characters",
            ));
        }
        let mut json = serde_json::Deserializer::from_str(text);
        let mut track = serde_path_to_error::Track::new();
        let mut unknown = None;
        let tracked = serde_path_to_error::Deserializer::new(&mut json, &mut track);
        let parsed: Result<Self, _> =
            serde_ignored::deserialize(tracked, |path| _ = unknown.get_or_insert(named(&path)));
        let policy = parsed.map_err(|error| PolicyError::Malformed {
            field: track.path().to_string(),
            problem: error.to_string(),
        })?;
        if let Some((field, name)) = unknown {
            let problem = format!("unknown field `{name}`");
            return Err(PolicyError::Malformed { field, problem });
        }
        json.end().map_err(|error| PolicyError::Malformed {
            field: ".".into(),
            problem: error.to_string(),
        })?;
        policy.check()?;
        Ok(policy)
    }

    /// The policy with nothing but its pool given.
    pub fn for_pool(pool: PoolName) -> Self {
        Self {
            version: current_version(),
            pool,
            mode: Mode::default(),
            max_slots_per_zone: None,
            when_empty: WhenEmpty::default(),
            wait_seconds: default_wait_seconds(),
            on_timeout: OnTimeout::default(),
            stale_after_hours: None,
            leave: Leave::default(),
            volumes: default_volumes(),
        }
    }

    fn check(&self) -> Result<(), PolicyError> {
        within("version", self.version, 1, 1)?;
        if let Some(most) = self.max_slots_per_zone {
            within("maxSlotsPerZone", most, 1, 10_000)?;
        }
        within("waitSeconds", self.wait_seconds, 0, LONGEST_WAIT_SECONDS)?;
        if let Some(hours) = self.stale_after_hours {
            within("staleAfterHours", hours, 1, 24 * 365 * 10)?;
        }
        within("leave.seconds", self.leave.seconds, 0, LONGEST_LEAVE_SECONDS)?;
        match (self.leave.mode, &self.leave.document) {
            (LeaveMode::Ssm, None) => {
                return Err(out_of_range(
                    "leave.document",
                    "none",
                    "leave.mode ssm needs the name of a document to run",
                ));
            }
            (
                LeaveMode::Stop | LeaveMode::Guest | LeaveMode::Detach | LeaveMode::Terminate,
                Some(document),
            ) => {
                return Err(out_of_range(
                    "leave.document",
                    document,
                    "it belongs to leave.mode ssm only",
                ));
            }
            (_, Some(_) | None) => {}
        }
        within("volumes", u32::try_from(self.volumes.len()).unwrap_or(u32::MAX), 1, 8)?;
        let mut names = BTreeSet::new();
        let mut points = BTreeSet::new();
        for (index, volume) in self.volumes.iter().enumerate() {
            if !names.insert(&volume.name) {
                return Err(out_of_range(
                    format!("volumes[{index}].name"),
                    &volume.name,
                    "each volume needs a name of its own",
                ));
            }
            if !points.insert(volume.device.attachment_point()) {
                return Err(out_of_range(
                    format!("volumes[{index}].device"),
                    &volume.device,
                    "each volume needs a device of its own (sdX and xvdX are one)",
                ));
            }
            if let Some(template) = &volume.template {
                template.check(&format!("volumes[{index}].template"))?;
            }
        }
        Ok(())
    }
}

/// Where a field is, as in `volumes[0].device`, and its name.
fn named(path: &Path<'_>) -> (String, String) {
    let (parent, name) = match path {
        Path::Root => return (String::new(), String::new()),
        Path::Map { parent, key } => (parent, key.clone()),
        Path::Seq { parent, index } => {
            let item = format!("[{index}]");
            return (named(parent).0 + &item, item);
        }
        Path::Some { parent }
        | Path::NewtypeStruct { parent }
        | Path::NewtypeVariant { parent } => return named(parent),
    };
    match named(parent).0 {
        above if above.is_empty() => (name.clone(), name),
        above => (format!("{above}.{name}"), name),
    }
}

fn within(field: &str, seen: u32, least: u32, most: u32) -> Result<(), PolicyError> {
    if (least..=most).contains(&seen) {
        Ok(())
    } else {
        Err(out_of_range(field, seen, format!("{least} to {most}")))
    }
}

fn out_of_range(
    field: impl Into<String>,
    seen: impl Display,
    allowed: impl Into<String>,
) -> PolicyError {
    PolicyError::OutOfRange { field: field.into(), seen: seen.to_string(), allowed: allowed.into() }
}

const fn current_version() -> u32 {
    1
}

const fn default_wait_seconds() -> u32 {
    3600
}

const fn default_leave_seconds() -> u32 {
    300
}

fn default_volumes() -> Vec<VolumeSpec> {
    vec![VolumeSpec { name: VolumeName::default(), device: DeviceName::default(), template: None }]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refusal(text: &str) -> String {
        Policy::parse(Some(text)).unwrap_err().to_string()
    }

    #[test]
    fn a_pool_is_all_that_a_policy_needs() {
        let policy = Policy::parse(Some(r#"{"pool":"cassandra"}"#)).unwrap();
        assert_eq!(policy, Policy::for_pool("cassandra".parse().unwrap()));
        assert_eq!(policy.leave.mode, LeaveMode::Stop);
        assert_eq!(policy.wait_seconds, 3600);
        assert_eq!(policy.volumes[0].name.as_str(), "data");
        assert_eq!(policy.volumes[0].device.as_str(), "/dev/sdf");
    }

    #[test]
    fn every_documented_field_is_understood() {
        let text = r#"{"version":1,"pool":"kafka","mode":"observe","maxSlotsPerZone":3,"whenEmpty":"wait",
            "waitSeconds":60,"onTimeout":"abandon","staleAfterHours":240,"leave":{"mode":"detach","seconds":30},
            "volumes":[{"name":"log","device":"/dev/sdg","template":{"type":"gp3","sizeGiB":100,"iops":3000,
            "throughput":125,"encrypted":true,"kmsKeyId":"alias/db","tags":{"team":"data"}}}]}"#;
        let policy = Policy::parse(Some(text)).unwrap();
        assert_eq!(policy.mode, Mode::Observe);
        assert_eq!(policy.leave, Leave { mode: LeaveMode::Detach, seconds: 30, document: None });
        let again = Policy::parse(Some(&serde_json::to_string(&policy).unwrap())).unwrap();
        assert_eq!(again, policy);
        let text = r#"{"pool":"kafka","leave":{"mode":"ssm","document":"drain-kafka"}}"#;
        let leave = Policy::parse(Some(text)).unwrap().leave;
        assert_eq!(leave.mode, LeaveMode::Ssm);
        assert_eq!(leave.document.unwrap().as_str(), "drain-kafka");
    }

    #[test]
    fn a_refusal_names_the_field_what_was_seen_and_what_is_allowed() {
        assert!(refusal("").contains("NotificationMetadata"));
        assert!(refusal("pool=cassandra").starts_with(".: "));
        assert!(
            refusal(r#"{"pool":"a","maxSlotPerZone":3}"#)
                .contains("unknown field `maxSlotPerZone`")
        );
        assert!(
            refusal(r#"{"pool":"a","leave":{"secs":3}}"#).starts_with("leave.secs: unknown field")
        );
        assert!(
            refusal(r#"{"pool":"a","volumes":[{"name":"d","device":"/dev/sdf","template":{"sizeGib":1,"sizeGiB":1}}]}"#)
                .starts_with("volumes[0].template.sizeGib: unknown field `sizeGib`")
        );
        assert!(refusal(r#"{"pool":"a b"}"#).starts_with("pool: \"a b\" is not a pool name"));
        assert_eq!(
            refusal(r#"{"pool":"a","waitSeconds":172801}"#),
            "waitSeconds: 172801 is not allowed; 0 to 172800"
        );
        assert!(refusal(r#"{"pool":"a","volumes":[]}"#).starts_with("volumes: 0 is not allowed"));
        assert!(refusal(r#"{"pool":"a","version":2}"#).starts_with("version: 2"));
        assert!(refusal(r#"{"pool":"a","volumes":[{"name":"d","device":"/dev/sdf"},{"name":"e","device":"/dev/xvdf"}]}"#)
            .starts_with("volumes[1].device: /dev/xvdf"));
        assert!(refusal(r#"{"pool":"a","volumes":[{"name":"d","device":"/dev/sdf","template":{"sizeGiB":"big"}}]}"#)
            .starts_with("volumes[0].template.sizeGiB: invalid type"));
        assert_eq!(
            refusal(r#"{"pool":"a","leave":{"mode":"ssm"}}"#),
            "leave.document: none is not allowed; leave.mode ssm needs the name of a document to run"
        );
        assert_eq!(
            refusal(r#"{"pool":"a","leave":{"document":"drain"}}"#),
            "leave.document: drain is not allowed; it belongs to leave.mode ssm only"
        );
        assert!(
            refusal(r#"{"pool":"a","leave":{"mode":"ssm","document":"drain it"}}"#)
                .starts_with("leave.document: \"drain it\" is not a document name")
        );
        assert!(refusal(r#"{"pool":"a"} {"pool":"b"}"#).starts_with(".: trailing"));
    }

    #[test]
    fn a_policy_on_record_is_read_without_what_a_later_version_has_added() {
        let text = r#"{"pool":"a","grace":{"seconds":3},"leave":{"mode":"detach","grace":3},
            "volumes":[{"name":"d","device":"/dev/sdf","grace":3,"template":{"sizeGiB":1,"grace":3}}]}"#;
        assert!(refusal(text).starts_with("grace: unknown field `grace`"));
        let policy: Policy = serde_json::from_str(text).unwrap();
        assert_eq!(policy.leave.mode, LeaveMode::Detach);
        assert_eq!(policy.volumes[0].template.as_ref().unwrap().size_gib, 1);
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,200}") {
            let _ = Policy::parse(Some(&text));
        }

        #[test]
        fn what_is_accepted_lies_within_its_ranges(wait in any::<u32>(), seconds in any::<u32>(), slots in any::<u32>()) {
            let text = format!(
                r#"{{"pool":"a","waitSeconds":{wait},"leave":{{"seconds":{seconds}}},"maxSlotsPerZone":{slots}}}"#
            );
            let accepted = Policy::parse(Some(&text)).is_ok();
            let allowed = wait <= 172_800 && seconds <= 7200 && (1..=10_000).contains(&slots);
            prop_assert_eq!(accepted, allowed);
        }
    }
}
