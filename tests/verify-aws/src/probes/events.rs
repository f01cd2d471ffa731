//! What lifecycle events say of where an instance comes from and where it goes.

use aws_sdk_autoscaling::types::{InstanceReusePolicy, WarmPoolState};
use serde_json::Value;

use crate::Failure;
use crate::hearing::Hearing;
use crate::probe::Answers;
use crate::scene::{Hook, Scene};

const JOIN: &str = "join";
const LEAVE: &str = "leave";
/// The fields that say it.
const PLACES: [&str; 2] = ["Origin", "Destination"];

pub(super) async fn warm_pool_events(scene: &Scene, answers: &mut Answers) -> Result<(), Failure> {
    let hearing = Hearing::begin(scene).await?;
    scene.create_group(&[Hook::Launch(JOIN), Hook::Terminate(LEAVE)]).await?;
    let stage = Stage { scene, hearing };

    let first = scene.one_is("Pending:Wait").await?;
    stage.tell(answers, "a launch without a warm pool", JOIN, &first, "InService").await?;
    scene.take_out(&first).await?;
    scene.one_is("Terminating:Wait").await?;
    stage.tell(answers, "a termination without a warm pool", LEAVE, &first, "").await?;

    scene.want(1).await?;
    let second = scene.one_is("Pending:Wait").await?;
    // As of the first: not to be taken for that of its launch out of the pool, which is of the same hook.
    stage.hearing.next(JOIN, &second).await?;
    scene.answer(JOIN, &second, "CONTINUE").await?;
    scene.becomes(&second, &["InService"]).await?;
    stage.prepare(1).await?;
    scene.want(0).await?;
    scene.becomes(&second, &["Warmed:Pending:Wait", "Terminating:Wait"]).await?;
    stage.tell(answers, "a return to the warm pool", LEAVE, &second, "Warmed:Running").await?;
    scene.want(1).await?;
    scene.becomes(&second, &["Pending:Wait"]).await?;
    stage.tell(answers, "a launch out of the warm pool", JOIN, &second, "InService").await?;

    stage.prepare(2).await?;
    let third = scene.one_is("Warmed:Pending:Wait").await?;
    stage.tell(answers, "a launch into the warm pool", JOIN, &third, "Warmed:Running").await?;
    stage.prepare(1).await?;
    scene.becomes(&third, &["Warmed:Terminating:Wait", "Terminating:Wait"]).await?;
    stage.tell(answers, "a termination out of the warm pool", LEAVE, &third, "").await?;
    Ok(())
}

struct Stage<'a> {
    scene: &'a Scene,
    hearing: Hearing<'a>,
}

impl Stage<'_> {
    /// Gives the group a warm pool of running instances, so many with those that it wants in service.
    async fn prepare(&self, most: i32) -> Result<(), Failure> {
        let reuse = InstanceReusePolicy::builder().reuse_on_scale_in(true).build();
        let put = self.scene.account.auto_scaling.put_warm_pool();
        let put =
            put.auto_scaling_group_name(self.scene.group()).pool_state(WarmPoolState::Running);
        let put = put.min_size(0).max_group_prepared_capacity(most).instance_reuse_policy(reuse);
        put.send().await?;
        Ok(())
    }

    /// Says what the event of an instance that waits has told; answers it, and waits until the instance has got on to this state.
    async fn tell(
        &self,
        answers: &mut Answers,
        what: &str,
        hook: &str,
        instance: &str,
        then: &str,
    ) -> Result<(), Failure> {
        let event = self.hearing.next(hook, instance).await?;
        answers.say(&format!("{what} goes"), places(event.as_ref()));
        answers.say(&format!("the event of {what}"), fields(event.as_ref()));
        self.scene.answer(hook, instance, "CONTINUE").await?;
        if then.is_empty() {
            self.scene.instance_is(instance, "terminated").await?;
        } else {
            self.scene.becomes(instance, &[then]).await?;
        }
        Ok(())
    }
}

/// Where an event says that its instance comes from and goes.
fn places(event: Option<&Value>) -> String {
    let Some(event) = event else {
        return "no event came".to_owned();
    };
    match PLACES.map(|place| event["detail"][place].as_str()) {
        [Some(from), Some(to)] => format!("from {from} to {to}"),
        [None, None] => "it does not say".to_owned(),
        [from, to] => format!("from {from:?} to {to:?}"),
    }
}

/// An event's type, and the other fields of its detail.
fn fields(event: Option<&Value>) -> String {
    let Some(event) = event else {
        return "no event came".to_owned();
    };
    let fields = event["detail"].as_object().into_iter().flatten().map(|(name, _)| name.as_str());
    let mut fields: Vec<&str> = fields.filter(|name| !PLACES.contains(name)).collect();
    fields.sort_unstable();
    format!("{}: {}", event["detail-type"].as_str().unwrap_or_default(), fields.join(", "))
}
