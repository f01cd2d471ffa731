//! The function that answers lifecycle actions. `main` only wires.

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
    let function = Function::start(FunctionName::Lifecycle, |name| std::env::var(name).ok())
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
        Some(Event::Lifecycle(event)) => {
            function.run(event.instance.clone(), Trigger::Lifecycle(event), deadline).await
        }
        Some(Event::InstanceState { .. } | Event::CommandEnded(_) | Event::Schedule) => {
            tracing::info!(
                reason = "this event is for the function reconcile; correct the rule",
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
