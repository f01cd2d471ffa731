//! What doctor reads beyond what the functions read: the deployment's queues, the volumes' keys, the account's quotas. Who runs it may
//! lack a permission for that: it is no fault of the groups, so it is said among what was not looked at.

use std::collections::{BTreeMap, BTreeSet};

use volume_pool::ports::PortError;

use super::view::View;
use super::{judge, key_policy};
use crate::account::{Account, Key, Storage, quota_code};
use crate::failure::Failure;

/// What was seen, or why it could not be.
pub(crate) type Look<T> = Result<T, String>;

/// Everything of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Around {
    /// How many messages lie in each dead-letter queue, by its name; nothing where there is no such queue.
    pub(crate) queues: BTreeMap<String, Look<Option<u64>>>,
    /// The keys of the pools' volumes and policies, by what those call them; nothing where there is no such key.
    pub(crate) keys: BTreeMap<String, Look<Option<Key>>>,
    /// Of each key that is a customer's, by its ARN: whether its policy or a grant can let the functions make grants at all.
    pub(crate) access: BTreeMap<String, Look<bool>>,
    /// The storage that there may be and is, of each volume type that a pool may still create.
    pub(crate) storage: BTreeMap<String, Look<Storage>>,
}

/// The dead-letter queues of a deployment, as `infra/foundation.yaml` names them: of events that reach no function, and of those that
/// a function failed at.
pub(crate) fn queues(stack: &str) -> [String; 2] {
    [format!("{stack}-undelivered"), format!("{stack}-failed")]
}

/// Reads all of it that matters to the groups in view.
pub(crate) async fn read(account: &Account, view: &mut View) {
    // Where there is no group, nothing depends on any of it.
    if view.groups.is_empty() {
        return;
    }
    for queue in queues(&view.table) {
        let seen = look(account.messages(&queue).await, &mut view.unread);
        view.around.queues.insert(queue, seen);
    }
    for id in judge::used_keys(view).into_keys() {
        let seen = look(account.key(&id).await, &mut view.unread);
        if let Ok(Some(key)) = &seen
            && !key.aws_managed
        {
            let access = look(access(account, &key.arn, &view.table).await, &mut view.unread);
            view.around.access.insert(key.arn.clone(), access);
        }
        view.around.keys.insert(id, seen);
    }
    for volume_type in judge::growth(view).into_keys() {
        let Some(code) = quota_code(&volume_type) else { continue };
        let seen = look(account.storage(&volume_type, code).await, &mut view.unread);
        view.around.storage.insert(volume_type, seen);
    }
}

/// A key in use has a grant for each volume that is attached, so they are read only where the policy alone does not do.
async fn access(account: &Account, key: &str, stack: &str) -> Result<bool, PortError> {
    if key_policy::lets_in(&account.key_policy(key).await?, stack) {
        return Ok(true);
    }
    let granting: BTreeSet<String> = account.granting(key).await?;
    Ok(granting.iter().any(|grantee| key_policy::is_ours(grantee, stack)))
}

/// A refusal is said on demand; an answer that failed to come may come the next time, and is missing.
fn look<T>(read: Result<T, PortError>, unread: &mut Vec<String>) -> Look<T> {
    read.map_err(|error| {
        let refused = matches!(error, PortError::Denied { .. });
        let problem = Failure::from(error).to_string();
        if !refused {
            unread.push(problem.clone());
        }
        problem
    })
}
