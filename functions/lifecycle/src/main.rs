//! The function that answers lifecycle actions. `main` only wires.

use lambda_runtime::{Error, LambdaEvent, run, service_fn, tracing};
use serde_json::Value;
use volume_pool::Timestamp;
use volume_pool::event::Event;
use volume_pool_aws::function::{Function, Trigger};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    tracing::init_default_subscriber();
    #[expect(clippy::disallowed_methods, reason = "the environment is read here and nowhere else")]
    let function =
        Function::start(|name| std::env::var(name).ok()).await.inspect_err(|problem| {
            tracing::error!(problem = %problem, "the function can't start");
        })?;
    run(service_fn(|event| handle(&function, event))).await
}

async fn handle(function: &Function, event: LambdaEvent<Value>) -> Result<(), Error> {
    let deadline = Timestamp::from_millis(event.context.deadline);
    match function.read(&event.payload) {
        Some(Event::Lifecycle(event)) => {
            Ok(function.run(event.instance.clone(), Trigger::Lifecycle(event), deadline).await?)
        }
        Some(Event::InstanceState { .. } | Event::Schedule) => {
            tracing::info!(
                reason = "this event is for the function reconcile; correct the rule",
                "event ignored"
            );
            Ok(())
        }
        Some(Event::Ignored(_)) | None => Ok(()),
    }
}
