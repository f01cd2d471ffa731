//! The dead-letter queues: what lies there could not be delivered, or was failed at.

use super::super::around::queues;
use super::super::finding::{Code, Finding, Severity};
use super::super::mend;
use super::super::view::View;

pub(super) fn judge(view: &View, found: &mut Vec<Finding>) {
    let enrolled = view.groups.iter().any(|group| group.asked && group.pool().is_some());
    let [undelivered, _] = queues(&view.table);
    for (queue, seen) in &view.around.queues {
        let means = if *queue == undelivered {
            "EventBridge could not hand them to a function; each has ERROR_CODE and ERROR_MESSAGE in its attributes"
        } else {
            "a function failed at them to the end of its tries; each has the error in its responsePayload"
        };
        match seen {
            Ok(Some(0)) | Err(_) => {}
            Ok(Some(count)) => found.push(Finding {
                severity: Severity::Warning,
                code: Code::DeadLetters,
                subject: format!("queue {queue}"),
                // A redrive moves messages back to a queue that they came from, and these came from none (Amazon SQS API Reference,
                // StartMessageMoveTask: "dead-letter queues whose sources are other Amazon SQS queues").
                reason: format!(
                    "messages in it: about {count}. {means}. Reconcile makes up for a lost event a minute later, so nothing is to be \
                     sent again (SQS can't redrive them: they came from no queue): mend what they name, then empty it by aws sqs \
                     purge-queue"
                ),
                mend: mend::queue(
                    "receive-message",
                    "--message-attribute-names All --max-number-of-messages 10",
                    queue,
                ),
            }),
            Ok(None) if enrolled => found.push(Finding {
                severity: Severity::Note,
                code: Code::NoDeadLetterQueue,
                subject: format!("queue {queue}"),
                reason: format!(
                    "there is no queue of this name in this account and region that you may see: what {} is lost without a trace. \
                     Where the functions run under another name than {}, say --table",
                    if *queue == undelivered { "EventBridge can't deliver" } else { "a function fails at" },
                    view.table
                ),
                mend: format!("make deploy STACK={}", mend::word(&view.table)),
            }),
            Ok(None) => {}
        }
    }
}
