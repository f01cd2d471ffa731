//! One event's way through Lambda's asynchronous queue: attempts, retries with the same request id, and the
//! dead-letter list.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use super::Lambda;
use super::function::Function;
use super::report::{DeadLetter, GivenUp, InvocationReport, Notice, Outcome};
use super::sandbox::Invocation;

/// Tries an event until an invocation succeeds or the event is given up.
pub(super) async fn deliver(lambda: &Arc<Lambda>, function: &Function, invocation: &Invocation) {
    let gives_up = Instant::now() + function.config.maximum_event_age;
    let mut attempts = 0;
    let mut last = None;
    let reason = loop {
        // Past the reserved concurrency Lambda refuses and its queue tries again: here the event just waits its turn.
        let Ok(permit) = timeout_at(gives_up, function.permits.acquire()).await else {
            break GivenUp::EventAgeExceeded;
        };
        attempts += 1;
        let started = Instant::now();
        let outcome = attempt(lambda, function, invocation).await;
        drop(permit);
        report(lambda, function, invocation, (attempts, started.elapsed(), &outcome));
        if matches!(outcome, Outcome::Succeeded(_)) {
            return;
        }
        last = Some(outcome);
        let Some(wait) = retry_delay(function, attempts) else {
            break GivenUp::RetriesExhausted;
        };
        if Instant::now() + wait > gives_up {
            break GivenUp::EventAgeExceeded;
        }
        sleep(wait).await;
    };
    lambda.reporter.tell(Notice::DeadLetter(DeadLetter {
        at: lambda.reporter.clock.now(),
        function: function.config.name.clone(),
        request_id: invocation.request_id.to_string(),
        payload: Arc::clone(&invocation.payload),
        attempts,
        reason,
        last,
    }));
}

/// One attempt, in an idle sandbox or else a new one.
async fn attempt(lambda: &Arc<Lambda>, function: &Function, invocation: &Invocation) -> Outcome {
    while let Some(sandbox) = function.take_idle() {
        if let Some(outcome) = sandbox.invoke(invocation.clone()).await {
            return settled(function, sandbox, outcome);
        }
    }
    sleep(function.backoff()).await;
    let failed = |message: String| {
        function.count_init_failure();
        Outcome::InitFailed { message }
    };
    let sandbox = match lambda.start(function) {
        Ok(sandbox) => sandbox,
        Err(error) => {
            return failed(format!("cannot start {}: {error}", function.config.binary.display()));
        }
    };
    match sandbox.invoke(invocation.clone()).await {
        Some(Outcome::InitFailed { message }) => failed(message),
        Some(outcome) => settled(function, sandbox, outcome),
        None => failed("the process ended between its first poll and its first event".to_owned()),
    }
}

/// Keeps a sandbox that lives on for the next event.
fn settled(
    function: &Function,
    sandbox: Arc<super::sandbox::Sandbox>,
    outcome: Outcome,
) -> Outcome {
    match outcome {
        Outcome::Succeeded(_) | Outcome::Failed { .. } => function.put_idle(sandbox),
        Outcome::TimedOut(_) | Outcome::Exited { .. } | Outcome::InitFailed { .. } => {}
    }
    outcome
}

fn retry_delay(function: &Function, attempts: u32) -> Option<Duration> {
    let retry = usize::try_from(attempts).ok()?.checked_sub(1)?;
    function.config.retry_delays.get(retry).copied()
}

fn report(
    lambda: &Lambda,
    function: &Function,
    invocation: &Invocation,
    (attempt, took, outcome): (u32, Duration, &Outcome),
) {
    lambda.reporter.tell(Notice::Invocation(InvocationReport {
        at: lambda.reporter.clock.now(),
        function: function.config.name.clone(),
        request_id: invocation.request_id.to_string(),
        payload: Arc::clone(&invocation.payload),
        attempt,
        took,
        outcome: outcome.clone(),
    }));
}
