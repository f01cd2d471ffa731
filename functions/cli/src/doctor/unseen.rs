//! What doctor never looks at, because no read of it tells, or none that it has: said each time, with the command that shows
//! it.

use std::collections::BTreeSet;

use serde::Serialize;

use super::mend;
use super::view::View;

/// Something that was not looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Unseen {
    pub(crate) what: String,
    /// The command that shows it.
    pub(crate) look: String,
}

/// What was not looked at, for what was.
pub(crate) fn unseen(view: &View) -> Vec<Unseen> {
    let always = [
        (
            "the event rules and their targets",
            "aws events list-rule-names-by-target --target-arn LIFECYCLE_FUNCTION_ARN",
        ),
        (
            "dead letters",
            "aws sqs get-queue-attributes --queue-url QUEUE_URL --attribute-names ApproximateNumberOfMessages",
        ),
        ("the account's EBS quotas", "aws service-quotas list-service-quotas --service-code ebs"),
    ];
    let always = always.map(|(what, look)| Unseen { what: what.to_owned(), look: look.to_owned() });
    let keys = keys(view).into_iter().map(|key| Unseen {
        what: format!("whether the functions may use KMS key {key}"),
        look: format!("aws kms get-key-policy --key-id {} --policy-name default", mend::word(&key)),
    });
    always.into_iter().chain(keys).collect()
}

/// The keys of the pools' volumes, and those that policies name.
fn keys(view: &View) -> BTreeSet<String> {
    let volumes = view.pools.values().flat_map(|pool| pool.volumes.iter().flatten());
    let held = volumes.filter_map(|volume| volume.like.kms_key_id.clone());
    let policies = view.groups.iter().filter_map(|group| group.policy(&view.hook_prefix));
    let wanted =
        policies.flat_map(|policy| policy.volumes).filter_map(|volume| volume.template?.kms_key_id);
    held.chain(wanted).collect()
}
