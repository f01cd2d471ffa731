//! The probes, the standing doubts first.

mod events;
mod groups;
mod permissions;
mod story;
mod volumes;

use futures_util::future::FutureExt as _;

use crate::probe::{Claim, Probe};

/// Every probe there is.
pub const PROBES: [Probe; 12] = [
    Probe {
        name: "stop-while-terminating",
        claim: Claim::Doubt,
        asks: "can an instance be stopped while it waits for its terminate hook (Terminating:Wait)?",
        matters: "leave mode stop: where it is refused, instances leave by mode terminate",
        source: "no source for or against; StopInstances documents no such limit",
        ask: |scene, answers| groups::stop_while_terminating(scene, answers).boxed_local(),
    },
    Probe {
        name: "several-hooks",
        claim: Claim::Doubt,
        asks: "do two terminate hooks wait at the same time, or one after the other?",
        matters: "leave mode stop keeps its hands off an instance that another hook still drains",
        source: "the Auto Scaling user guide says that a group may have several hooks, and not in which order they wait",
        ask: |scene, answers| groups::several_hooks(scene, answers).boxed_local(),
    },
    Probe {
        name: "warm-pool-events",
        claim: Claim::Doubt,
        asks: "do lifecycle events say where an instance comes from and where it goes, with a warm pool and without?",
        matters: "a launch into the warm pool gets no volume, and an action of an earlier life is told by its destination",
        source: "Auto Scaling user guide, warm pool event types and patterns: its examples of 2023 have Origin and Destination with \
                 warm pools only, those of 2026 generally",
        ask: |scene, answers| events::warm_pool_events(scene, answers).boxed_local(),
    },
    Probe {
        name: "condition-keys",
        claim: Claim::Doubt,
        asks: "on which resources, by which tags, are AttachVolume, DetachVolume and ModifyInstanceAttribute authorised?",
        matters: "the policy in infra/foundation.yaml: too narrow, and the functions can't act; too wide, and they could take any volume",
        source: "Service Authorization Reference, actions of Amazon EC2, which lists both resources and not which are checked",
        ask: |scene, answers| permissions::condition_keys(scene, answers).boxed_local(),
    },
    Probe {
        name: "forced-deletion",
        claim: Claim::Doubt,
        asks: "does deleting a group by force run its terminate hooks?",
        matters: "whether volumes are let go of in order then, or only by the termination",
        source: "Auto Scaling user guide, lifecycle hooks: no; radkawar/stackd measured that instances enter Terminating:Wait",
        ask: |scene, answers| groups::forced_deletion(scene, answers).boxed_local(),
    },
    Probe {
        name: "abandoned-return",
        claim: Claim::Doubt,
        asks: "what becomes of an instance whose return to the warm pool is answered ABANDON?",
        matters: "a volume that can't be taken off in time must not be parked with its instance",
        source: "no source; radkawar/stackd measured that it returns all the same",
        ask: |scene, answers| groups::abandoned_return(scene, answers).boxed_local(),
    },
    Probe {
        name: "abandoned-launch",
        claim: Claim::Doubt,
        asks: "does a launch that is answered ABANDON run the terminate hooks?",
        matters: "either way its slot must be let go of; by the hook it is a minute sooner",
        source: "no source",
        ask: |scene, answers| groups::abandoned_launch(scene, answers).boxed_local(),
    },
    Probe {
        name: "detach-answers",
        claim: Claim::Doubt,
        asks: "what does DetachVolume say of a volume that is free, and of a device or an instance that it is not on?",
        matters: "a slot is released on DetachVolume's own word; another one, and nothing is ever released",
        source: "aws-ebs-csi-driver#1801: IncorrectState, is in the 'available' state; nothing on devices",
        ask: |scene, answers| volumes::detach_answers(scene, answers).boxed_local(),
    },
    Probe {
        name: "attach-answers",
        claim: Claim::Sourced,
        asks: "what does AttachVolume refuse, and with which code?",
        matters: "one volume is never on two instances, and each refusal is told from the others by its code",
        source: "Amazon EC2 API Reference, error codes",
        ask: |scene, answers| volumes::attach_answers(scene, answers).boxed_local(),
    },
    Probe {
        name: "client-tokens",
        claim: Claim::Sourced,
        asks: "is CreateVolume idempotent by its client token?",
        matters: "a creation whose answer was lost makes no second volume",
        source: "Amazon EC2 API Reference, Ensuring idempotency",
        ask: |scene, answers| volumes::client_tokens(scene, answers).boxed_local(),
    },
    Probe {
        name: "answered-actions",
        claim: Claim::Sourced,
        asks: "what does Auto Scaling say of an action that is not there, or not there any more?",
        matters: "a repeated answer must not look like a failure",
        source: "convox/rack#2432, spacelift-io#197: ValidationError, No active Lifecycle Action found",
        ask: |scene, answers| groups::answered_actions(scene, answers).boxed_local(),
    },
    Probe {
        name: "replacement",
        claim: Claim::Sourced,
        asks: "an instance fails; does its volume get to its replacement, and how long does each step take?",
        matters: "the whole of it",
        source: "Auto Scaling user guide, health checks and lifecycle hooks; aws-ebs-csi-driver for the times",
        ask: |scene, answers| story::replacement(scene, answers).boxed_local(),
    },
];
