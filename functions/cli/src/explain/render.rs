//! The explanation as text. Pure.

use std::fmt::Write as _;

use volume_pool::Timestamp;
use volume_pool::action::{Action, Transition};
use volume_pool::observation::tags;
use volume_pool::record::{Claim, Phase, Slot, SlotState};

use super::{Explanation, InstanceFacts, SlotFacts, VolumeFacts};
use crate::layout::age;
use crate::rehearsing::{self, Next};
use crate::words;

/// How wide the names of facts are.
const NAME: usize = 11;

/// The whole explanation.
pub(super) fn explanation(told: &Explanation) -> String {
    let mut parts = Vec::new();
    parts.extend(told.instance.as_ref().map(|facts| instance(facts, told.now)));
    parts.extend(told.slot.as_ref().map(|facts| slot(facts, told.now)));
    parts.extend(told.volume.as_ref().map(volume));
    parts.extend(told.next.as_ref().map(|it| next(it, told.found.as_deref())));
    parts.join("\n")
}

fn instance(facts: &InstanceFacts, now: Timestamp) -> String {
    let mut text = format!("Instance {}\n", facts.instance);
    let member = facts.member.as_ref();
    let in_group = member.map_or_else(
        || "in no Auto Scaling group".to_owned(),
        |member| format!("{} in group {}", member.state, member.group),
    );
    let in_ec2 =
        facts.shown.as_ref().map_or("not shown", |shown| words::instance_state(&shown.state));
    let zone = facts.shown.as_ref().map(|shown| format!(", in {}", shown.zone)).unwrap_or_default();
    fact(&mut text, "in AWS", &format!("{in_group}; {in_ec2} in EC2{zone}"));
    let Some(claim) = &facts.claim else {
        fact(&mut text, "on record", "nothing");
        return text;
    };
    fact(&mut text, "on record", &phase(claim, facts.position, now));
    if !claim.reason.is_empty() {
        fact(&mut text, "", &format!("last reason: {}", claim.reason));
    }
    if let Some(guard) = claim.guard.as_ref().filter(|guard| now < guard.until) {
        let until = guard.until;
        fact(&mut text, "", &format!("a function is at work on it, until {until} at the latest"));
    }
    if let Some(action) = &claim.action {
        fact(&mut text, "its action", &self::action(action, claim, now));
    }
    text
}

fn phase(claim: &Claim, position: Option<usize>, now: Timestamp) -> String {
    let lasted = |since: Timestamp| format!("since {since}, {}", age(now.since(since)));
    match &claim.phase {
        Phase::Closed => match &claim.last_slot {
            Some(slot) => format!("it holds nothing and wants nothing; it held slot {slot} last"),
            None => "it holds nothing and wants nothing".to_owned(),
        },
        Phase::Waiting { place, since } => {
            let place = format!("pool {} in {}", place.pool, place.zone);
            let queued =
                position.map(|at| format!(", number {at} in the queue")).unwrap_or_default();
            format!("it waits for a slot of {place}{queued}, {}", lasted(*since))
        }
        Phase::Creating { slot, since, .. } => {
            format!("slot {slot} is being created for it, {}", lasted(*since))
        }
        Phase::Leased { slot, epoch } => {
            format!("it holds slot {slot} (epoch {epoch}), {}", lasted(claim.since))
        }
        Phase::Leaving { slot, epoch, since } => {
            format!("it lets go of slot {slot} (epoch {epoch}), {}", lasted(*since))
        }
    }
}

fn action(action: &Action, claim: &Claim, now: Timestamp) -> String {
    let transition = match action.transition {
        Transition::Launching => "launching",
        Transition::Terminating => "terminating",
    };
    let answered = match claim.answered {
        Some(answer) => format!("answered {}", answer.as_str()),
        None => format!("not answered yet, since {}", age(now.since(claim.taken_up()))),
    };
    format!("{transition}, hook {} of group {}: {answered}", action.hook, action.group)
}

fn slot(facts: &SlotFacts, now: Timestamp) -> String {
    let mut text = format!("Slot {}\n", facts.slot);
    let Some(slot) = &facts.record else {
        fact(&mut text, "on record", "nothing: the records disagree");
        return text;
    };
    let who = slot.holder().map(|holder| format!(" by {holder}")).unwrap_or_default();
    let state = words::slot_state(&slot.state);
    fact(&mut text, "on record", &format!("{state}{who}, in {}, epoch {}", slot.zone, slot.epoch));
    if !slot.reason.is_empty() {
        fact(&mut text, "", &format!("reason: {}", slot.reason));
    }
    times(&mut text, slot, now);
    for (index, (id, shown)) in facts.volumes.iter().enumerate() {
        let known = slot.volumes.iter().find(|known| known.volume == *id);
        let place = known.map(|known| format!(" ({}, at {})", known.name, known.device));
        let shown = words::volume(shown.as_ref(), slot.holder());
        let blank = known.is_some_and(|known| slot.may_format(known));
        let blank = if blank { "; may be formatted where it reads blank" } else { "" };
        let name = if index == 0 { "volumes" } else { "" };
        fact(&mut text, name, &format!("{id}{}: {shown}{blank}", place.unwrap_or_default()));
    }
    match &slot.state {
        SlotState::Free => {
            if let Some((place, waiting)) = facts.in_line {
                let whose = match waiting {
                    0 => "the next launch there gets the first of them".to_owned(),
                    waiting => format!("{waiting} waiting there, who are served oldest first"),
                };
                fact(
                    &mut text,
                    "next",
                    &format!("number {place} of the free slots of {}; {whose}", slot.zone),
                );
            }
        }
        SlotState::Quarantined if slot.moving.is_some() => {
            let id = &slot.id;
            fact(
                &mut text,
                "next",
                &format!(
                    "a person goes on with its move: stateful-asg move {id}, or gives it up: move {id} --cancel"
                ),
            );
        }
        SlotState::Quarantined => {
            let id = &slot.id;
            fact(
                &mut text,
                "next",
                &format!(
                    "nothing, until a person has looked at its volumes: stateful-asg reinstate {id}, or retire {id}"
                ),
            );
        }
        SlotState::Retired => {
            fact(
                &mut text,
                "next",
                "nothing: it is out of the pool for good; its volumes are yours to delete",
            );
        }
        SlotState::Leased { .. } | SlotState::Releasing { .. } | SlotState::Creating { .. } => {}
    }
    text
}

fn times(text: &mut String, slot: &Slot, now: Timestamp) {
    let ago = |what: &str, at: Timestamp| format!("{what} {at}, {} ago", age(now.since(at)));
    let times = [
        slot.leased_at.map(|at| ago("leased", at)),
        slot.released_at.map(|at| ago("released", at)),
    ];
    let times: Vec<String> = times.into_iter().flatten().collect();
    if !times.is_empty() {
        fact(text, "last", &times.join("; "));
    }
}

fn volume(facts: &VolumeFacts) -> String {
    let mut text = format!("Volume {}\n", facts.volume);
    fact(&mut text, "in AWS", &words::volume(facts.shown.as_ref(), None));
    fact(&mut text, "on record", "it belongs to no slot");
    let pool = facts.shown.as_ref().and_then(|shown| shown.tags.get(tags::POOL));
    let next = match (pool, &facts.named) {
        (None, _) => "nothing: it does not carry the tag stateful-asg:pool".to_owned(),
        (Some(_), Some(slot)) => format!(
            "nothing: its tag {} names slot {slot}, which has other volumes, as on a copy of one of them; to have it adopted \
             as a slot of its own, remove the tags {} and {}",
            tags::SLOT,
            tags::SLOT,
            tags::LEASE,
        ),
        (Some(pool), None) => format!(
            "a launch for pool {pool} that finds no free slot in its zone adopts it, if it is available then"
        ),
    };
    fact(&mut text, "next", &next);
    text
}

fn next(next: &Next, found: Option<&str>) -> String {
    let mut text = "What comes next\n".to_owned();
    let found = found.map_or_else(
        || "finds nothing to do with it".to_owned(),
        |found| format!("looks at it, because {found}"),
    );
    fact(&mut text, "reconcile", &found);
    text + &rehearsing::told(next)
}

fn fact(text: &mut String, name: &str, told: &str) {
    let _ = writeln!(text, "  {name:<NAME$} {told}");
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use volume_pool::action::ActionResult;
    use volume_pool::observation::{GroupInstance, LifecycleState};
    use volume_pool::record::{Format, Guard, Place};
    use volume_pool::report::StepTaken;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(600_000);

    fn ago(seconds: u64) -> Timestamp {
        NOW.minus(Duration::from_secs(seconds))
    }

    fn action(transition: Transition) -> Action {
        Action {
            group: "cassandra".parse().unwrap(),
            hook: "stateful-asg-launch".parse().unwrap(),
            token: None,
            transition,
            destination: None,
            began_at: None,
        }
    }

    fn instance(claim: Claim, position: Option<usize>) -> InstanceFacts {
        InstanceFacts {
            instance: claim.instance.clone(),
            claim: Some(claim),
            position,
            member: Some(GroupInstance {
                group: "cassandra".parse().unwrap(),
                zone: "eu-central-1a".parse().unwrap(),
                state: LifecycleState::PendingWait,
            }),
            shown: None,
        }
    }

    fn claim(phase: Phase) -> Claim {
        Claim { phase, since: ago(90), ..Claim::new("i-00000001".parse().unwrap()) }
    }

    #[test]
    fn who_waits_is_told_of_with_the_queue_the_reasons_and_what_comes_next() {
        let place =
            Place { pool: "cassandra".parse().unwrap(), zone: "eu-central-1a".parse().unwrap() };
        let mut waiting = claim(Phase::Waiting { place, since: ago(90) });
        waiting.reason =
            "waiting for slot cassandra-1, which i-00000002 is letting go of".to_owned();
        waiting.action = Some(action(Transition::Launching));
        waiting.action_at = Some(ago(95));
        waiting.guard = Some(Guard {
            invocation: "other".parse().unwrap(),
            until: Timestamp::from_millis(660_000),
        });
        let step = StepTaken {
            step: "rest, work left".to_owned(),
            reason: "waiting for slot cassandra-1, which i-00000002 is letting go of".to_owned(),
        };
        let told = explanation(&Explanation {
            at: NOW.to_string(),
            now: NOW,
            instance: Some(instance(waiting, Some(2))),
            slot: None,
            volume: None,
            found: Some("it waits in a lifecycle hook".to_owned()),
            next: Some(Next {
                steps: vec![step],
                then: "Nothing more can be done then.",
                alarms: vec![("holder-slow", "look at that instance".to_owned())],
                slot: None,
            }),
        });
        let expected = "\
Instance i-00000001
  in AWS      Pending:Wait in group cassandra; not shown in EC2
  on record   it waits for a slot of pool cassandra in eu-central-1a, number 2 in the queue, since 1970-01-01T00:08:30.000Z, 1 min 30 s
              last reason: waiting for slot cassandra-1, which i-00000002 is letting go of
              a function is at work on it, until 1970-01-01T00:11:00.000Z at the latest
  its action  launching, hook stateful-asg-launch of group cassandra: not answered yet, since 1 min 35 s

What comes next
  reconcile   looks at it, because it waits in a lifecycle hook
  first       waiting for slot cassandra-1, which i-00000002 is letting go of
              Nothing more can be done then.
  ALARM       holder-slow: look at that instance
";
        assert_eq!(told, expected);
    }

    #[test]
    fn a_guard_that_has_ended_is_not_told_of_and_an_answer_is() {
        let mut leased = claim(Phase::Leased { slot: "cassandra-1".parse().unwrap(), epoch: 3 });
        leased.guard = Some(Guard { invocation: "other".parse().unwrap(), until: ago(1) });
        leased.action = Some(action(Transition::Launching));
        leased.answered = Some(ActionResult::Continue);
        let told = super::instance(&instance(leased, None), NOW);
        assert!(told.contains("it holds slot cassandra-1 (epoch 3)"), "{told}");
        assert!(told.contains("answered CONTINUE") && !told.contains("at work"), "{told}");
    }

    #[test]
    fn of_a_slot_that_is_set_apart_the_reason_is_told_and_what_a_person_can_do() {
        let slot = Slot {
            id: "cassandra-1".parse().unwrap(),
            zone: "eu-central-1a".parse().unwrap(),
            version: 4,
            epoch: 2,
            state: SlotState::Quarantined,
            recent_holders: Vec::new(),
            volumes: Vec::new(),
            format: Format::Over,
            leased_at: Some(ago(300)),
            released_at: None,
            moving: None,
            reason: "volume vol-00000001 can't be used".to_owned(),
        };
        let facts = SlotFacts {
            slot: slot.id.clone(),
            record: Some(slot),
            in_line: None,
            volumes: vec![("vol-00000001".parse().unwrap(), None)],
        };
        let expected = "\
Slot cassandra-1
  on record   quarantined, in eu-central-1a, epoch 2
              reason: volume vol-00000001 can't be used
  last        leased 1970-01-01T00:05:00.000Z, 5 min 0 s ago
  volumes     vol-00000001: not shown
  next        nothing, until a person has looked at its volumes: stateful-asg reinstate cassandra-1, or retire cassandra-1
";
        assert_eq!(super::slot(&facts, NOW), expected);
    }
}
