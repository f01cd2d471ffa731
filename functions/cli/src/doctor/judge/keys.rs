//! The KMS keys of the pools' volumes, and of those that policies would create. EC2 takes any name for a key, and fails only after
//! the call (Amazon EC2 API Reference, `CreateVolume`, `KmsKeyId`: "authenticates the KMS key asynchronously"). What each state allows: AWS KMS Developer Guide, "Key states of AWS KMS keys".

use std::collections::{BTreeMap, BTreeSet};

use super::super::finding::{Code, Finding, Severity};
use super::super::mend;
use super::super::view::{Group, View};
use crate::account::Key;

/// The key that AWS manages for EBS: there whenever it is needed, and everybody in the account may use it.
const OF_EBS: &str = "alias/aws/ebs";

pub(super) fn judge(view: &View, found: &mut Vec<Finding>) {
    for (id, users) in used(view) {
        let users = users.into_iter().collect::<Vec<_>>().join(", ");
        let subject = format!("KMS key {id}");
        let Some(Ok(key)) = view.around.keys.get(&id) else { continue };
        if let Some((reason, mend)) = fault(view, &id, key.as_ref()) {
            found.push(Finding {
                severity: Severity::Error,
                code: Code::KeyUnusable,
                subject: subject.clone(),
                reason: format!(
                    "{reason}, and it is that of {users}: volumes under it neither attach nor come into being, and EC2 says so only \
                     a moment later"
                ),
                mend,
            });
        }
        if let Some(key) =
            key.as_ref().filter(|it| view.around.access.get(&it.arn) == Some(&Ok(false)))
        {
            found.push(closed(view, key, subject, &users));
        }
    }
}

/// Why a key can't be used, and what mends it.
fn fault(view: &View, id: &str, key: Option<&Key>) -> Option<(String, String)> {
    let look = || format!("aws kms describe-key --key-id {}", mend::word(id));
    // A policy can name another key. Volumes are under theirs for good.
    let another = || {
        let mut groups = view.groups.iter();
        let naming = groups.find(|group| keys_of_policy(view, group).any(|key| key == id));
        naming.map_or_else(look, |group| mend::enroll(group.name(), "--policy FILE"))
    };
    let Some(key) = key else {
        return Some(("there is no such key in this region".to_owned(), another()));
    };
    if !key.symmetric {
        let reason = "it is no symmetric key for encryption, which EBS needs".to_owned();
        return Some((reason, another()));
    }
    let arn = mend::word(&key.arn);
    let enable = format!("aws kms enable-key --key-id {arn}");
    let mend = match key.state.as_str() {
        "Disabled" => enable,
        // A key whose deletion is cancelled is disabled.
        "PendingDeletion" | "PendingReplicaDeletion" => {
            format!("aws kms cancel-key-deletion --key-id {arn} && {enable}")
        }
        // Its material is to be imported again, or its key store to be connected.
        "PendingImport" | "Unavailable" => look(),
        _ => return None,
    };
    Some((format!("its state is {}", key.state), mend))
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
        for key in keys_of_policy(view, group) {
            used.entry(key).or_default().insert(format!("the policy of {}", group.subject()));
        }
    }
    used.remove(OF_EBS);
    used
}

fn keys_of_policy(view: &View, group: &Group) -> impl Iterator<Item = String> {
    let volumes = group.policy(&view.hook_prefix).into_iter().flat_map(|policy| policy.volumes);
    volumes.filter_map(|volume| volume.template?.kms_key_id)
}
