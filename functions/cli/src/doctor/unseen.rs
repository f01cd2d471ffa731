//! What doctor never looks at, because it is none of what the functions themselves call: said on demand, with the command that
//! shows it, for the names that `make deploy` gives.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::around::Look;
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
    let stack = &view.table;
    let seen = |what: &str, look: String| Unseen { what: what.to_owned(), look };
    let mut all = vec![
        seen(
            "the event rules, their targets and whether they are enabled",
            format!(
                "aws events list-rules --name-prefix {stack}- --query 'Rules[].[Name,State]' --output text"
            ),
        ),
        seen(
            "the functions' permissions to be invoked",
            format!(
                "aws lambda get-policy --function-name {stack}-lifecycle --query Policy --output text    # and {stack}-reconcile"
            ),
        ),
        seen(
            "their reserved concurrency",
            format!(
                "aws lambda get-function-concurrency --function-name {stack}-reconcile    # and {stack}-lifecycle"
            ),
        ),
        seen(
            "the account's quotas of EBS and Lambda",
            "aws service-quotas list-service-quotas --service-code ebs --query 'Quotas[].[QuotaName,Value]' --output text    # and lambda"
                .to_owned(),
        ),
    ];
    for (queue, refused) in refused(&view.around.queues) {
        all.push(seen(
            &format!("dead letters in queue {queue} ({refused})"),
            mend::queue(
                "get-queue-attributes",
                "--attribute-names ApproximateNumberOfMessages",
                queue,
            ),
        ));
    }
    for key in keys(view) {
        let id = mend::word(&key);
        all.push(seen(
            &format!("whether KMS key {key} is enabled"),
            format!(
                "aws kms describe-key --key-id {id} --query KeyMetadata.KeyState --output text"
            ),
        ));
        all.push(seen(
            "whether its policy lets the functions use it",
            format!("aws kms get-key-policy --key-id {id} --policy-name default --output text"),
        ));
    }
    all
}

/// What could not be looked at, and why.
fn refused<T>(looks: &BTreeMap<String, Look<T>>) -> impl Iterator<Item = (&String, &String)> {
    looks.iter().filter_map(|(name, look)| Some((name, look.as_ref().err()?)))
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
