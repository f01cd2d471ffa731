//! The launch template: what it makes beside, or in the way of, the volumes of the pool.

use volume_pool::ids::DeviceName;
use volume_pool_aws::enrolment::{LaunchSource, TemplateDevice};

use super::super::finding::{Code, Finding, Severity};
use super::super::mend;
use super::super::view::Group;

pub(super) fn judge(prefix: &str, group: &Group, found: &mut Vec<Finding>) {
    let Some(template) = group.template.as_ref().filter(|_| group.settings.view.pool_tag.is_some())
    else {
        return;
    };
    let mut push = |severity, code, reason, change: &str| {
        let mend = new_version(group, change);
        found.push(Finding { severity, code, subject: group.subject(), reason, mend });
    };
    let volumes = group.policy(prefix).map(|policy| policy.volumes).unwrap_or_default();
    // The names of root devices are none of ours: `/dev/xvda` and `/dev/sda1` are no device names here.
    let data = template
        .devices
        .iter()
        .filter_map(|device| Some((device, device.name.parse::<DeviceName>().ok()?)));
    for (TemplateDevice { name, deleted }, device) in data {
        let taken = volumes
            .iter()
            .find(|volume| volume.device.attachment_point() == device.attachment_point());
        let others = if template.devices.len() == 1 { "" } else { "... the others ..." };
        let change = format!(r#"{{"BlockDeviceMappings":[{others}]}}"#);
        if let Some(volume) = taken {
            push(
                Severity::Error,
                Code::DeviceCollides,
                format!(
                    "its launch template makes a volume at {name}, where the policy's volume {} belongs: the slot's volume is \
                     attached elsewhere, and who mounts {name} writes to a volume of the template{}",
                    volume.name,
                    if *deleted { " that is deleted with the instance" } else { "" }
                ),
                &change,
            );
        } else {
            let fate = if *deleted {
                "deletes it with the instance: what is written there is lost with each replacement"
            } else {
                "keeps it (DeleteOnTermination is false): each replacement leaves one behind, and it costs"
            };
            push(
                Severity::Warning,
                Code::TemplateVolume,
                format!(
                    "its launch template makes a volume of its own at {name} with each instance, and {fate}"
                ),
                &change,
            );
        }
    }
    if template.volume_tags.contains_key("stateful-asg:pool") {
        push(
            Severity::Error,
            Code::TemplatePoolTag,
            "its launch template gives the tag stateful-asg:pool to the volumes that are made with an instance, its root \
             volume too: they are taken for volumes of the pool"
                .to_owned(),
            r#"{"TagSpecifications":[... without stateful-asg:pool for volumes ...]}"#,
        );
    }
    if !template.metadata_tags {
        push(
            Severity::Warning,
            Code::MetadataTagsOff,
            "its launch template does not enable InstanceMetadataTags: an instance can't read from its metadata service which \
             slot and volumes it has"
                .to_owned(),
            r#"{"MetadataOptions":{"InstanceMetadataTags":"enabled"}}"#,
        );
        return;
    }
    let propagated = group.settings.tags.iter().filter(|(_, tag)| tag.propagated);
    for (key, _) in propagated.filter(|(key, _)| !carried(key)) {
        let tag = format!("ResourceId={},ResourceType=auto-scaling-group,Key={key}", group.name());
        found.push(Finding {
            severity: Severity::Error,
            code: Code::MetadataTagKey,
            subject: group.subject(),
            reason: not_carried("it gives its instances", key),
            mend: format!("aws autoscaling delete-tags --tags {}", mend::word(&tag)),
        });
    }
    for key in template.instance_tags.iter().filter(|key| !carried(key)) {
        found.push(Finding {
            severity: Severity::Error,
            code: Code::MetadataTagKey,
            subject: group.subject(),
            reason: not_carried("its launch template gives instances", key),
            mend: new_version(group, r#"{"TagSpecifications":[... with another key ...]}"#),
        });
    }
}

fn not_carried(who: &str, key: &str) -> String {
    format!(
        "{who} the tag {key:?}, and InstanceMetadataTags is enabled: the metadata service can't carry that key (letters, \
         digits and -_+=,.@: only), so EC2 refuses to launch them"
    )
}

/// Whether the metadata service can carry the key: it is a path there (Amazon EC2 User Guide, "View tags for your EC2
/// instances using instance metadata").
fn carried(key: &str) -> bool {
    let plain = |it: char| it.is_ascii_alphanumeric() || "-_+=,.@:".contains(it);
    !matches!(key, "." | ".." | "_index") && key.chars().all(plain)
}

/// A change of the template is a new version, which the group must then be told to launch from.
fn new_version(group: &Group, change: &str) -> String {
    let (LaunchSource::Template { id, .. }, Some(template)) =
        (&group.settings.source, &group.template)
    else {
        return "correct what the group launches from".to_owned();
    };
    format!(
        "aws ec2 create-launch-template-version --launch-template-id {id} --source-version {} --launch-template-data {}",
        template.version,
        mend::word(change)
    )
}
