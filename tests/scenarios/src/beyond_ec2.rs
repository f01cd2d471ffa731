//! What the functions add to EC2's own time: from EC2 showing a volume available to the waiter's `AttachVolume`, and
//! from EC2 showing it attached to CONTINUE.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use local_cloud::stage::Stage;
use local_cloud::world::{
    AttachmentState, Config, LifecycleState, Span, Throttling, Timings, VolumeState,
};
use volume_pool::Timestamp;

use crate::{BEGIN, LONG, in_service, instances, settle};

/// What one call of AWS takes within a region, or more.
const CALL_MILLIS: u64 = 20;

/// One replacement's share of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Added {
    /// From the volume being shown available to `AttachVolume`.
    pub until_attach: Duration,
    /// From the volume being shown attached to CONTINUE.
    pub until_continue: Duration,
}

#[derive(Debug, Default)]
struct Seen {
    available: Option<Timestamp>,
    attaching: Option<Timestamp>,
    attached: Option<Timestamp>,
    continued: Option<Timestamp>,
}

/// So many instances fail at once, and their replacements wait for their volumes: the usual case, since Auto Scaling
/// launches before the old instance is gone. EC2 takes 1 to 4 s to attach a volume. What Auto Scaling itself takes
/// between two states is left out.
pub fn replacements(
    at_once: u32,
    seed: u64,
    throttling: Option<Throttling>,
) -> Result<Vec<Added>, String> {
    let timings = Timings { lifecycle_step: Span::exactly(Duration::ZERO), ..Timings::default() };
    let mut stage = Stage::new(Config { seed, timings, ..Config::default() }, BEGIN);
    stage.call_millis = (CALL_MILLIS, CALL_MILLIS);
    let mut stage = in_service(stage, at_once, r#"{"pool":"cassandra"}"#)?;
    stage.cloud.world().set_throttling(throttling);
    let old = instances(&stage, "cassandra", LifecycleState::InService);
    for instance in &old {
        stage.cloud.world().fail_instance(instance).map_err(|error| error.to_string())?;
    }
    let noted: RefCell<BTreeMap<String, Seen>> = RefCell::default();
    stage.run_until(LONG, |stage| {
        look(stage, &old, &mut noted.borrow_mut());
        let noted = noted.borrow();
        noted.len() == old.len() && noted.values().all(|it| it.continued.is_some())
    })?;
    settle(&mut stage)?;
    let added = noted.into_inner().into_values().map(|it| {
        Some(Added {
            until_attach: it.attaching?.since(it.available?),
            until_continue: it.continued?.since(it.attached?),
        })
    });
    added.collect::<Option<_>>().ok_or_else(|| "a volume was handed over unseen".to_owned())
}

/// Takes down what has come about since the last look.
fn look(stage: &Stage, old: &[String], noted: &mut BTreeMap<String, Seen>) {
    let world = stage.cloud.world();
    let now = world.now();
    for volume in world.volumes().filter(|it| it.tags.contains_key("stateful-asg:pool")) {
        let Some(attachment) = volume.attachments.first() else {
            if volume.state == VolumeState::Available {
                let volume = noted.entry(volume.id.clone()).or_default();
                volume.available.get_or_insert(now);
            }
            continue;
        };
        if old.contains(&attachment.instance) {
            continue;
        }
        let noted = noted.entry(volume.id.clone()).or_default();
        noted.attaching.get_or_insert(now);
        if attachment.state == AttachmentState::Attached {
            noted.attached.get_or_insert(now);
        }
        let shown = world.member(&attachment.instance).map(|(_, member)| member.state);
        if matches!(shown, Some(LifecycleState::PendingProceed | LifecycleState::InService)) {
            noted.continued.get_or_insert(now);
        }
    }
}
