//! The `EventBridge` rules of a deployment: which event starts which function. Nothing else is routed.

use serde_json::{Value, json};
use volume_pool::Timestamp;

use super::Place;
use crate::world::CloudEvent;

/// The function that answers lifecycle actions.
pub const LIFECYCLE: &str = "lifecycle";
/// The function that runs on the schedule and on instance state changes.
pub const RECONCILE: &str = "reconcile";

/// The instance states that the reconcile rule's pattern names.
const STATES: [&str; 3] = ["running", "stopped", "terminated"];

/// The function that a rule starts for this event.
pub(crate) fn target(event: &CloudEvent, hook_prefix: &str) -> Option<&'static str> {
    let detail = |name: &str| event.body.get("detail")?.get(name)?.as_str();
    match (event.source, event.detail_type.as_str()) {
        (
            "aws.autoscaling",
            "EC2 Instance-launch Lifecycle Action" | "EC2 Instance-terminate Lifecycle Action",
        ) => detail("LifecycleHookName")?.starts_with(hook_prefix).then_some(LIFECYCLE),
        ("aws.ec2", "EC2 Instance State-change Notification") => {
            STATES.contains(&detail("state")?).then_some(RECONCILE)
        }
        ("aws.events", "Scheduled Event") => Some(RECONCILE),
        _ => None,
    }
}

/// What the schedule's rule sends.
pub(crate) fn scheduled_event(at: Timestamp, id: &str, place: &Place) -> CloudEvent {
    let (source, detail_type) = ("aws.events", "Scheduled Event");
    let Place { region, account, .. } = place;
    // EventBridge gives whole seconds.
    let time = Timestamp::from_millis(at.as_millis() / 1000 * 1000).to_string().replace(".000", "");
    let body: Value = json!({
        "version": "0",
        "id": id,
        "detail-type": detail_type,
        "source": source,
        "account": account,
        "time": time,
        "region": region,
        "resources": [format!("arn:aws:events:{region}:{account}:rule/stateful-asg-reconcile")],
        "detail": {},
    });
    CloudEvent { at, source, detail_type: detail_type.to_owned(), body }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(source: &'static str, detail_type: &str, detail: &Value) -> CloudEvent {
        CloudEvent {
            at: Timestamp::from_millis(0),
            source,
            detail_type: detail_type.into(),
            body: json!({ "detail": detail }),
        }
    }

    #[test]
    fn lifecycle_actions_of_our_hooks_start_the_lifecycle_function_and_others_nothing() {
        for (hook, expected) in [("stateful-asg-launch", Some(LIFECYCLE)), ("drain", None)] {
            let detail = json!({ "LifecycleHookName": hook });
            for kind in ["launch", "terminate"] {
                let kind = format!("EC2 Instance-{kind} Lifecycle Action");
                let event = event("aws.autoscaling", &kind, &detail);
                assert_eq!(target(&event, "stateful-asg"), expected, "{kind} of {hook}");
            }
        }
    }

    #[test]
    fn only_settled_instance_states_start_the_reconcile_function() {
        for (state, expected) in [
            ("pending", None),
            ("running", Some(RECONCILE)),
            ("stopping", None),
            ("stopped", Some(RECONCILE)),
            ("shutting-down", None),
            ("terminated", Some(RECONCILE)),
        ] {
            let kind = "EC2 Instance State-change Notification";
            let event = event("aws.ec2", kind, &json!({ "state": state }));
            assert_eq!(target(&event, "stateful-asg"), expected, "{state}");
        }
    }

    #[test]
    fn the_schedule_starts_the_reconcile_function_and_a_stranger_nothing() {
        let place =
            Place { endpoint: String::new(), region: "here".into(), account: "mine".into() };
        let scheduled = scheduled_event(Timestamp::from_millis(0), "id", &place);
        assert_eq!(target(&scheduled, "stateful-asg"), Some(RECONCILE));
        assert_eq!(scheduled.body["source"], "aws.events");
        assert_eq!(scheduled.body["time"], "1970-01-01T00:00:00Z");
        assert_eq!(scheduled.body["detail-type"], "Scheduled Event");
        assert_eq!(target(&event("aws.s3", "Object Created", &json!({})), "stateful-asg"), None);
    }
}
