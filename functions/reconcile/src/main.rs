//! The function that comes back: for an instance whose state changed or on which a command has ended, and each minute for
//! everything that enrolled groups, pools and records show to need it. `main` only wires.

use lambda_runtime::{Diagnostic, Error, LambdaEvent, run, service_fn, tracing};
use serde_json::Value;
use volume_pool::Timestamp;
use volume_pool::event::Event;
use volume_pool_aws::function::{Function, FunctionError, Trigger};
use volume_pool_aws::metrics::FunctionName;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    tracing::init_default_subscriber();
    #[expect(clippy::disallowed_methods, reason = "the environment is read here and nowhere else")]
    let function = Function::start(FunctionName::Reconcile, |name| std::env::var(name).ok())
        .await
        .inspect_err(|problem| {
            tracing::error!(problem = %problem, "the function can't start");
        })?;
    run(service_fn(|event| async { handle(&function, event).await.map_err(|error| told(&error)) }))
        .await
}

async fn handle(function: &Function, event: LambdaEvent<Value>) -> Result<(), FunctionError> {
    let deadline = Timestamp::from_millis(event.context.deadline);
    match function.read(&event.payload) {
        Some(Event::InstanceState { instance, state }) => {
            function.run(instance, Trigger::InstanceState(state), deadline).await
        }
        Some(Event::CommandEnded(instance)) => {
            function.run(instance, Trigger::CommandEnded, deadline).await
        }
        // Boxed: laid out in one piece, a sweep with its turns is deeper than the compiler goes.
        Some(Event::Schedule) => Box::pin(function.reconcile(deadline)).await,
        Some(Event::Lifecycle(_)) => {
            tracing::info!(
                reason = "this event is for the function lifecycle; correct the rule",
                "event ignored"
            );
            Ok(())
        }
        Some(Event::Ignored(_)) | None => Ok(()),
    }
}

/// The error as Lambda shows it, in the log and in a dead letter.
fn told(error: &FunctionError) -> Diagnostic {
    Diagnostic { error_type: error.kind().to_owned(), error_message: error.to_string() }
}
