//! What doctor does not look at, because it would have to know more of the deployment than its name, or because it may not: said on
//! demand, with the command that shows it, for the names that `make deploy` gives.

use std::collections::BTreeMap;

use serde::Serialize;

use super::around::Look;
use super::mend;
use super::view::View;
use crate::account::quota_code;

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
            "quotas but those of storage",
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
    for (key, refused) in refused(&view.around.keys) {
        let id = mend::word(key);
        all.push(seen(
            &format!("whether KMS key {key} can be used ({refused})"),
            format!(
                "aws kms describe-key --key-id {id} --query KeyMetadata.KeyState --output text"
            ),
        ));
    }
    for (key, access) in &view.around.access {
        let id = mend::word(key);
        // A policy that names nobody who could be the functions is found; that the one it names is allowed, by its conditions and by
        // IAM, is not to be told without asking AWS to decide.
        let why = access.as_ref().err().map(|refused| format!(" ({refused})")).unwrap_or_default();
        all.push(seen(
            &format!("whether conditions and IAM let the functions make grants on KMS key {key}{why}"),
            format!(
                "aws kms get-key-policy --key-id {id} --query Policy --output text    # and aws kms list-grants --key-id {id}"
            ),
        ));
    }
    for (volume_type, refused) in refused(&view.around.storage) {
        let code = quota_code(volume_type).unwrap_or_default();
        all.push(seen(
            &format!("whether the pools may grow within the quota of {volume_type} storage ({refused})"),
            format!(
                "aws service-quotas get-service-quota --service-code ebs --quota-code {code} --query Quota.Value --output text"
            ),
        ));
    }
    all
}

/// What could not be looked at, and why.
fn refused<T>(looks: &BTreeMap<String, Look<T>>) -> impl Iterator<Item = (&String, &String)> {
    looks.iter().filter_map(|(name, look)| Some((name, look.as_ref().err()?)))
}
