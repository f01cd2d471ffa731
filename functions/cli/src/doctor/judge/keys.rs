//! The KMS keys of the pools' volumes, and of those that policies would create. EC2 takes any name for a key: `AttachVolume` and
//! `CreateVolume` succeed, and a moment later the attachment, or the volume, is gone (Amazon EBS User Guide, "EBS encryption
//! requirements").

use std::collections::{BTreeMap, BTreeSet};

use super::super::finding::{Code, Finding, Severity};
use super::super::mend;
use super::super::view::View;
use crate::account::Key;

/// The states in which a key can't be used, and what brings it back (AWS KMS Developer Guide, "Key states of AWS KMS keys").
const UNUSABLE: [(&str, &str); 5] = [
    ("Disabled", "enable-key"),
    // A key whose deletion is cancelled is disabled.
    ("PendingDeletion", "cancel-key-deletion"),
    ("PendingReplicaDeletion", "cancel-key-deletion"),
    ("PendingImport", "describe-key"),
    ("Unavailable", "describe-key"),
];

/// The key that AWS manages for EBS: there whenever it is needed, and everybody in the account may use it.
const OF_EBS: &str = "alias/aws/ebs";

pub(super) fn judge(view: &View, found: &mut Vec<Finding>) {
    for (id, users) in used(view) {
        let users = users.into_iter().collect::<Vec<_>>().join(", ");
        let subject = format!("KMS key {id}");
        match view.around.keys.get(&id) {
            None | Some(Err(_)) => {}
            Some(Ok(None)) => found.push(Finding {
                severity: Severity::Error,
                code: Code::KeyUnusable,
                subject,
                reason: format!(
                    "there is no such key in this region, and it is that of {users}: volumes under it neither attach nor come into \
                     being, and EC2 says so only a moment later"
                ),
                mend: format!("aws kms describe-key --key-id {}", mend::word(&id)),
            }),
            Some(Ok(Some(key))) => {
                if let Some((reason, mend)) = fault(key) {
                    found.push(Finding {
                        severity: Severity::Error,
                        code: Code::KeyUnusable,
                        subject: subject.clone(),
                        reason: format!("{reason}, and it is that of {users}: volumes under it neither attach nor come into being, \
                             and EC2 says so only a moment later"),
                        mend,
                    });
                }
                if view.around.access.get(&key.arn) == Some(&Ok(false)) {
                    found.push(closed(view, key, subject, &users));
                }
            }
        }
    }
}

/// Why a key can't be used, and what mends it.
fn fault(key: &Key) -> Option<(String, String)> {
    let id = mend::word(&key.arn);
    if !key.symmetric {
        let reason = "it is no symmetric key for encryption, which EBS needs".to_owned();
        return Some((reason, "stateful-asg enroll GROUP --policy FILE".to_owned()));
    }
    let (state, command) = UNUSABLE.iter().find(|(state, _)| *state == key.state)?;
    let then = match *command {
        "cancel-key-deletion" => format!(" && aws kms enable-key --key-id {id}"),
        _ => String::new(),
    };
    Some((format!("its state is {state}"), format!("aws kms {command} --key-id {id}{then}")))
}

fn closed(view: &View, key: &Key, subject: String, users: &str) -> Finding {
    Finding {
        severity: Severity::Warning,
        code: Code::KeyClosed,
        subject,
        reason: format!(
            "neither its policy nor a grant lets an account, or roles named {0}-lifecycle-... and {0}-reconcile-..., make grants on \
             it, so IAM does not decide either; it is that of {users}. EC2 needs a grant to attach a volume under it: the policy \
             must have a statement for the account, as the default policy has",
            view.table
        ),
        mend: format!(
            "aws kms get-key-policy --key-id {0} --query Policy --output text > policy.json    # add the statement, then: aws kms \
             put-key-policy --key-id {0} --policy-name default --policy file://policy.json",
            mend::word(&key.arn)
        ),
    }
}

/// The keys of the pools' volumes and those that policies name, each with who uses it.
pub(in super::super) fn used(view: &View) -> BTreeMap<String, BTreeSet<String>> {
    let mut used: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, pool) in &view.pools {
        let volumes = pool.volumes.iter().flatten();
        for key in volumes.filter_map(|volume| volume.like.kms_key_id.clone()) {
            used.entry(key).or_default().insert(format!("volumes of pool {name}"));
        }
    }
    for group in &view.groups {
        let policy = group.policy(&view.hook_prefix);
        let volumes = policy.into_iter().flat_map(|policy| policy.volumes);
        for key in volumes.filter_map(|volume| volume.template?.kms_key_id) {
            used.entry(key).or_default().insert(format!("the policy of {}", group.subject()));
        }
    }
    used.remove(OF_EBS);
    used
}
