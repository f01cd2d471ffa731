//! What the world tells others: EventBridge events in the envelopes that AWS sends, and happenings for people.
//! How events are delivered, late, twice or not at all, is not decided here.

use serde_json::{Value, json};
use volume_pool::Timestamp;

use super::World;

/// An event as EventBridge gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloudEvent {
    /// When it was emitted.
    pub at: Timestamp,
    /// `aws.ec2` or `aws.autoscaling`.
    pub source: &'static str,
    /// As in `EC2 Instance-launch Lifecycle Action`.
    pub detail_type: String,
    /// The whole envelope.
    pub body: Value,
}

/// What a happening is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subject {
    /// An instance.
    pub instance: Option<String>,
    /// A volume.
    pub volume: Option<String>,
    /// An Auto Scaling group.
    pub group: Option<String>,
}

impl Subject {
    pub(super) fn volume(volume: &str) -> Self {
        Self { volume: Some(volume.to_owned()), ..Self::default() }
    }

    pub(super) fn instance(instance: &str) -> Self {
        Self { instance: Some(instance.to_owned()), ..Self::default() }
    }

    pub(super) fn both(volume: &str, instance: &str) -> Self {
        Self { instance: Some(instance.to_owned()), ..Self::volume(volume) }
    }

    pub(super) fn group(group: &str) -> Self {
        Self { group: Some(group.to_owned()), ..Self::default() }
    }

    pub(super) fn member(group: &str, instance: &str) -> Self {
        Self { group: Some(group.to_owned()), ..Self::instance(instance) }
    }
}

/// Something that happened, in words for a person who watches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happening {
    /// When.
    pub at: Timestamp,
    /// To what.
    pub subject: Subject,
    /// What.
    pub text: String,
}

/// An event before it has its envelope.
pub(super) struct Announcement {
    pub(super) source: &'static str,
    pub(super) detail_type: &'static str,
    pub(super) resources: Vec<String>,
    pub(super) detail: Value,
}

impl World {
    /// Takes the events that were emitted since the last call, in order.
    pub fn drain_events(&mut self) -> Vec<CloudEvent> {
        std::mem::take(&mut self.events)
    }

    /// Takes what happened since the last call, in order.
    pub fn drain_happenings(&mut self) -> Vec<Happening> {
        std::mem::take(&mut self.happenings)
    }

    pub(super) fn happened(&mut self, subject: Subject, text: String) {
        self.happenings.push(Happening { at: self.now, subject, text });
    }

    /// Emits an event in EventBridge's envelope (EventBridge User Guide, "Events structure").
    pub(super) fn announce(&mut self, announcement: Announcement) {
        let Announcement { source, detail_type, resources, detail } = announcement;
        let body = json!({
            "version": "0",
            "id": self.new_uuid(),
            "detail-type": detail_type,
            "source": source,
            "account": self.config.account,
            "time": whole_seconds(self.now),
            "region": self.config.region,
            "resources": resources,
            "detail": detail,
        });
        let detail_type = detail_type.to_owned();
        self.events.push(CloudEvent { at: self.now, source, detail_type, body });
    }

    /// `EBS Volume Notification` (Amazon EBS User Guide, "Amazon EventBridge events for Amazon EBS"). There is none
    /// for an attachment that succeeds, nor for any detachment.
    pub(super) fn announce_volume(&mut self, volume: &str, outcome: VolumeOutcome<'_>) {
        let place = format!("{}:{}", self.config.region, self.config.account);
        let mut resources = vec![format!("arn:aws:ec2:{place}:volume/{volume}")];
        let VolumeOutcome { event, result, cause } = outcome;
        if result == "failed" {
            resources.extend(self.volumes.get(volume).and_then(|it| it.kms_key_id.clone()));
        }
        let request_id = if event == "attachVolume" { String::new() } else { self.new_uuid() };
        self.announce(Announcement {
            source: "aws.ec2",
            detail_type: "EBS Volume Notification",
            resources,
            detail: json!({
                "event": event, "result": result, "cause": cause, "request-id": request_id,
            }),
        });
    }

    /// `EC2 Instance State-change Notification`.
    pub(super) fn announce_instance_state(&mut self, instance: &str, state: &str) {
        let arn = format!(
            "arn:aws:ec2:{}:{}:instance/{instance}",
            self.config.region, self.config.account
        );
        self.announce(Announcement {
            source: "aws.ec2",
            detail_type: "EC2 Instance State-change Notification",
            resources: vec![arn],
            detail: json!({ "instance-id": instance, "state": state }),
        });
    }
}

/// What became of something that EBS did, as an event says it.
#[derive(Debug, Clone, Copy)]
pub(super) struct VolumeOutcome<'a> {
    /// As in `createVolume`.
    pub(super) event: &'static str,
    /// As in `available` or `failed`.
    pub(super) result: &'static str,
    /// Why it failed, or nothing.
    pub(super) cause: &'a str,
}

/// EventBridge writes times in whole seconds.
fn whole_seconds(at: Timestamp) -> String {
    let text = at.to_string();
    match text.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => text,
    }
}
