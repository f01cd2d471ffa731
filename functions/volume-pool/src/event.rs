//! Events as EventBridge delivers them. They are hints: Auto Scaling emits lifecycle events on a best-effort basis
//! ("Amazon EventBridge events reference", Amazon EC2 Auto Scaling), so an event says where to look, never what is so.

use serde::Deserialize;
use serde_json::Value;

use crate::command::CommandStatus;
use crate::ids::{InstanceId, InvalidId};
use crate::observation::InstanceState;

pub use crate::action::{Action, ActionResult, Transition};

/// What an event asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A lifecycle action under one of our hooks.
    Lifecycle(LifecycleEvent),
    /// An instance of this account changed its state, one of ours or not.
    InstanceState {
        /// The instance.
        instance: InstanceId,
        /// The state it is said to be in.
        state: InstanceState,
    },
    /// A command has ended on an instance of this account, one of ours or not.
    CommandEnded(InstanceId),
    /// The schedule: look at all open work.
    Schedule,
    /// Not for us, and why.
    Ignored(String),
}

/// A lifecycle action and the policy text that came with it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LifecycleEvent {
    /// The instance that waits.
    pub instance: InstanceId,
    /// The action to answer.
    pub action: Action,
    /// `NotificationMetadata`, as it came.
    pub metadata: Option<String>,
}

/// An event of a kind that is ours but does not hold what such an event holds. Trying again can't mend it.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// A field is missing or of another type.
    #[error(
        "malformed {kind} event, at {field}: {source}; nothing was done, the reconcile run finds the instance"
    )]
    Malformed {
        /// The event's detail-type.
        kind: String,
        /// The path of the field within `detail`.
        field: String,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// It is said to be of one kind, and its transition is the other.
    #[error(
        "malformed {kind} event, at LifecycleTransition: it says {transition:?}; nothing was done, the reconcile run \
         finds the instance"
    )]
    Contradiction {
        /// The event's detail-type.
        kind: String,
        /// What its detail says.
        transition: Transition,
    },
    /// A field is not the name that it should be.
    #[error(
        "malformed {kind} event: {source}; nothing was done, the reconcile run finds the instance"
    )]
    Name {
        /// The event's detail-type.
        kind: String,
        /// What is wrong.
        source: InvalidId,
    },
}

impl Event {
    /// Reads an event. Hooks whose name does not start with `hook_prefix` are other people's.
    pub fn parse(event: &Value, hook_prefix: &str) -> Result<Self, EventError> {
        if event.get("Event").and_then(Value::as_str) == Some("autoscaling:TEST_NOTIFICATION") {
            return Ok(Self::Ignored("a test notification of Auto Scaling".into()));
        }
        let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default();
        match (text("source"), text("detail-type")) {
            (_, kind @ "EC2 Instance-launch Lifecycle Action") => {
                lifecycle(kind, Transition::Launching, event, hook_prefix)
            }
            (_, kind @ "EC2 Instance-terminate Lifecycle Action") => {
                lifecycle(kind, Transition::Terminating, event, hook_prefix)
            }
            (_, kind @ "EC2 Instance State-change Notification") => instance_state(kind, event),
            (_, kind @ "EC2 Command Invocation Status-change Notification") => command(kind, event),
            (_, "Scheduled Event") => Ok(Self::Schedule),
            (source, kind) => Ok(Self::Ignored(format!(
                "source {source:?}, detail-type {kind:?}: not an event that the wiring should send here"
            ))),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct LifecycleDetail {
    #[serde(rename = "EC2InstanceId")]
    instance: String,
    auto_scaling_group_name: String,
    lifecycle_hook_name: String,
    lifecycle_action_token: String,
    lifecycle_transition: Transition,
    notification_metadata: Option<String>,
    destination: Option<String>,
}

#[derive(Deserialize)]
struct InstanceStateDetail {
    #[serde(rename = "instance-id")]
    instance: String,
    state: String,
}

#[derive(Deserialize)]
struct CommandDetail {
    #[serde(rename = "instance-id")]
    instance: String,
    status: String,
}

fn lifecycle(
    kind: &str,
    transition: Transition,
    event: &Value,
    hook_prefix: &str,
) -> Result<Event, EventError> {
    let detail: LifecycleDetail = detail(kind, event)?;
    if !detail.lifecycle_hook_name.starts_with(hook_prefix) {
        return Ok(Event::Ignored(format!(
            "hook {:?} is not ours: its name does not start with {hook_prefix:?}",
            detail.lifecycle_hook_name
        )));
    }
    if detail.lifecycle_transition != transition {
        return Err(EventError::Contradiction {
            kind: kind.to_owned(),
            transition: detail.lifecycle_transition,
        });
    }
    let wrong = |source| EventError::Name { kind: kind.to_owned(), source };
    Ok(Event::Lifecycle(LifecycleEvent {
        instance: detail.instance.parse().map_err(wrong)?,
        action: Action {
            group: detail.auto_scaling_group_name.parse().map_err(wrong)?,
            hook: detail.lifecycle_hook_name.parse().map_err(wrong)?,
            token: Some(detail.lifecycle_action_token.parse().map_err(wrong)?),
            transition: detail.lifecycle_transition,
            destination: detail.destination,
            // Without it, or with another than EventBridge gives, the action is as good, if of unknown age.
            began_at: event.get("time").and_then(Value::as_str).and_then(|time| time.parse().ok()),
        },
        metadata: detail.notification_metadata,
    }))
}

fn instance_state(kind: &str, event: &Value) -> Result<Event, EventError> {
    let detail: InstanceStateDetail = detail(kind, event)?;
    let instance = detail
        .instance
        .parse()
        .map_err(|source| EventError::Name { kind: kind.to_owned(), source })?;
    Ok(Event::InstanceState { instance, state: InstanceState::from(detail.state.as_str()) })
}

/// "Amazon EventBridge event examples for Systems Manager", Run Command.
fn command(kind: &str, event: &Value) -> Result<Event, EventError> {
    let detail: CommandDetail = detail(kind, event)?;
    if !CommandStatus::read(&detail.status, None).has_ended() {
        return Ok(Event::Ignored(format!("a command is {}", detail.status)));
    }
    // Systems Manager also manages machines outside EC2, as in `mi-0123456789abcdef0`.
    Ok(detail.instance.parse().map_or_else(
        |_| Event::Ignored(format!("a command on {:?}, no instance of EC2", detail.instance)),
        Event::CommandEnded,
    ))
}

fn detail<T: for<'de> Deserialize<'de>>(kind: &str, event: &Value) -> Result<T, EventError> {
    let detail = event.get("detail").unwrap_or(&Value::Null);
    serde_path_to_error::deserialize(detail).map_err(|error| EventError::Malformed {
        kind: kind.to_owned(),
        field: error.path().to_string(),
        source: error.into_inner(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn launch() -> Value {
        json!({
            "version": "0", "source": "aws.autoscaling", "detail-type": "EC2 Instance-launch Lifecycle Action",
            "time": "2026-11-23T21:30:00Z",
            "detail": {
                "LifecycleActionToken": "87654321-4321-4321-4321-210987654321",
                "AutoScalingGroupName": "cassandra", "LifecycleHookName": "stateful-asg-launch",
                "EC2InstanceId": "i-1234567890abcdef0",
                "LifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING",
                "NotificationMetadata": "{\"pool\":\"cassandra\"}",
                "Origin": "EC2", "Destination": "AutoScalingGroup"
            }
        })
    }

    #[test]
    fn a_launch_event_carries_its_action_and_policy_text() {
        let Event::Lifecycle(event) = Event::parse(&launch(), "stateful-asg").unwrap() else {
            panic!("not a lifecycle event");
        };
        assert_eq!(event.instance.as_str(), "i-1234567890abcdef0");
        assert_eq!(event.action.transition, Transition::Launching);
        assert_eq!(event.action.destination.as_deref(), Some("AutoScalingGroup"));
        assert_eq!(event.metadata.as_deref(), Some("{\"pool\":\"cassandra\"}"));
        assert_eq!(event.action.began_at, Some("2026-11-23T21:30:00Z".parse().unwrap()));
    }

    #[test]
    fn an_event_of_an_unknown_time_is_one_all_the_same() {
        for time in [Value::Null, json!("yesterday"), json!(1)] {
            let mut event = launch();
            event["time"] = time;
            let Event::Lifecycle(event) = Event::parse(&event, "stateful-asg").unwrap() else {
                panic!("not a lifecycle event");
            };
            assert_eq!(event.action.began_at, None);
        }
    }

    #[test]
    fn a_terminate_event_needs_neither_metadata_nor_destination() {
        let mut event = launch();
        event["detail-type"] = json!("EC2 Instance-terminate Lifecycle Action");
        event["detail"]["LifecycleTransition"] = json!("autoscaling:EC2_INSTANCE_TERMINATING");
        for name in ["NotificationMetadata", "Origin", "Destination"] {
            event["detail"].as_object_mut().unwrap().remove(name);
        }
        let Event::Lifecycle(event) = Event::parse(&event, "stateful-asg").unwrap() else {
            panic!("not a lifecycle event");
        };
        assert_eq!(event.action.transition, Transition::Terminating);
        assert_eq!(event.metadata, None);
    }

    #[test]
    fn what_is_not_for_us_is_ignored_with_the_reason() {
        let ignored = |event: &Value| match Event::parse(event, "stateful-asg").unwrap() {
            Event::Ignored(reason) => reason,
            other => panic!("{other:?}"),
        };
        assert!(
            ignored(&json!({"Event": "autoscaling:TEST_NOTIFICATION"}))
                .contains("test notification")
        );
        let mut other_hook = launch();
        other_hook["detail"]["LifecycleHookName"] = json!("drain");
        assert!(ignored(&other_hook).contains("\"drain\" is not ours"));
        assert!(
            ignored(&json!({"source": "aws.s3", "detail-type": "Object Created"}))
                .contains("aws.s3")
        );
        assert!(ignored(&json!("hello")).contains("detail-type"));
    }

    #[test]
    fn a_malformed_event_of_ours_names_the_field() {
        let mut event = launch();
        event["detail"].as_object_mut().unwrap().remove("EC2InstanceId");
        let error = Event::parse(&event, "stateful-asg").unwrap_err().to_string();
        assert!(error.contains("missing field `EC2InstanceId`"), "{error}");
        let mut event = launch();
        event["detail"]["EC2InstanceId"] = json!("the third one");
        let error = Event::parse(&event, "stateful-asg").unwrap_err().to_string();
        assert!(error.contains("\"the third one\" is not an instance id"), "{error}");
    }

    #[test]
    fn an_event_whose_transition_is_not_its_kinds_is_malformed() {
        let mut event = launch();
        event["detail-type"] = json!("EC2 Instance-terminate Lifecycle Action");
        let error = Event::parse(&event, "stateful-asg").unwrap_err().to_string();
        assert!(error.contains("LifecycleTransition: it says Launching"), "{error}");
    }

    #[test]
    fn an_instance_state_event_names_the_instance_and_its_state() {
        let event = json!({
            "source": "aws.ec2", "detail-type": "EC2 Instance State-change Notification",
            "detail": {"instance-id": "i-1234567890abcdef0", "state": "terminated"}
        });
        assert_eq!(
            Event::parse(&event, "stateful-asg").unwrap(),
            Event::InstanceState {
                instance: "i-1234567890abcdef0".parse().unwrap(),
                state: InstanceState::Terminated,
            }
        );
    }

    #[test]
    fn a_command_that_has_ended_names_its_instance_and_one_under_way_is_ignored() {
        let event = |status: &str| {
            json!({
                "source": "aws.ssm",
                "detail-type": "EC2 Command Invocation Status-change Notification",
                "detail": {
                    "command-id": "0e7ffcc5-2b8b-4d91-a6c4-2b8f2a0a3b1c", "document-name": "drain",
                    "instance-id": "i-1234567890abcdef0", "status": status
                }
            })
        };
        for ended in ["Success", "Failed", "TimedOut", "Cancelled"] {
            let parsed = Event::parse(&event(ended), "stateful-asg").unwrap();
            assert_eq!(parsed, Event::CommandEnded("i-1234567890abcdef0".parse().unwrap()));
        }
        for under_way in ["Pending", "InProgress", "Delayed"] {
            let parsed = Event::parse(&event(under_way), "stateful-asg").unwrap();
            assert_eq!(parsed, Event::Ignored(format!("a command is {under_way}")));
        }
        let mut elsewhere = event("Success");
        elsewhere["detail"]["instance-id"] = json!("mi-1234567890abcdef0");
        let parsed = Event::parse(&elsewhere, "stateful-asg").unwrap();
        assert!(matches!(parsed, Event::Ignored(_)), "{parsed:?}");
    }

    proptest! {
        #[test]
        fn no_detail_makes_the_parser_panic(detail in ".{0,80}", number in any::<i64>()) {
            let mut event = launch();
            event["detail"]["AutoScalingGroupName"] = json!(number);
            let _ = Event::parse(&event, "stateful-asg");
            event["detail"] = json!(detail);
            let _ = Event::parse(&event, "stateful-asg");
        }
    }
}
