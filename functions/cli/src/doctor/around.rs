//! What doctor reads beyond what the functions read: of the deployment's queues. Who runs it may lack a permission for it: that is no
//! fault of the groups, so it is said among what was not looked at.

use std::collections::BTreeMap;

use volume_pool::ports::PortError;

use super::view::View;
use crate::account::Account;
use crate::failure::Failure;

/// What was seen, or why it could not be.
pub(crate) type Look<T> = Result<T, String>;

/// Everything of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Around {
    /// How many messages lie in each dead-letter queue, by its name; nothing where there is no such queue.
    pub(crate) queues: BTreeMap<String, Look<Option<u64>>>,
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
