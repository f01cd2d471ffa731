//! The pool: whether it gives slots at all, and enough of them in each zone.

use std::collections::{BTreeMap, BTreeSet};

use volume_pool::ids::{PoolName, VolumeId, Zone};
use volume_pool::observation::{Volume, tags};
use volume_pool::policy::{Mode, Policy, VolumeSpec, WhenEmpty};
use volume_pool::record::{Slot, SlotState};
use volume_pool::zone::stale;

use super::super::finding::{Code, Finding, Severity};
use super::super::mend;
use super::super::view::{Group, Pool, PoolRecords, View};
use crate::difference::differences;

/// So many launches given up in a row in one zone, and the next one is held.
const GIVEN_UP: u32 = 3;

pub(super) fn judge(view: &View, name: &PoolName, pool: &Pool, found: &mut Vec<Finding>) {
    let policies: Vec<(&Group, Policy)> = view
        .groups_of(name)
        .filter_map(|group| Some((group, group.policy(&view.hook_prefix)?)))
        .collect();
    if let Some(records) = &pool.records {
        closed(name, records, found);
        apart(records, found);
        idle(view, records, &policies, found);
    }
    given_up(view, name, found);
    agreement(name, &policies, found);
    if let (Some(records), Some(volumes)) = (&pool.records, &pool.volumes) {
        // A group whose policy is not known may want anything.
        if view.groups_of(name).count() == policies.len() {
            room(name, records, volumes, &policies, found);
        }
        examples(name, volumes, &policies, found);
    }
}

fn closed(name: &PoolName, records: &PoolRecords, found: &mut Vec<Finding>) {
    let Some(pool) = &records.pool else { return };
    if pool.paused {
        found.push(Finding {
            severity: Severity::Warning,
            code: Code::PoolPaused,
            subject: format!("pool {name}"),
            reason: "it is paused: nothing of it is leased, adopted or created, so launches wait"
                .to_owned(),
            mend: format!("stateful-asg resume {name}"),
        });
    }
    if pool.rebuilding.is_some() {
        found.push(Finding {
            severity: Severity::Warning,
            code: Code::PoolRebuilding,
            subject: format!("pool {name}"),
            reason: "its records are being rebuilt; until they are, launches and terminations wait. A rebuild that was cut off \
                     leaves it so: run it again"
                .to_owned(),
            mend: format!("stateful-asg rebuild {name}"),
        });
    }
}

fn apart(records: &PoolRecords, found: &mut Vec<Finding>) {
    for slot in records.slots.iter().filter(|slot| slot.state == SlotState::Quarantined) {
        let next = match &slot.moving {
            Some(_) => format!("stateful-asg move {0}, or stateful-asg move {0} --cancel", slot.id),
            None => format!("stateful-asg explain {0}, then stateful-asg reinstate {0}", slot.id),
        };
        found.push(Finding {
            severity: Severity::Warning,
            code: Code::SlotQuarantined,
            subject: format!("slot {}", slot.id),
            reason: format!("it is set apart: {}", slot.reason),
            mend: next,
        });
    }
}

/// Free slots that no policy of the zone's groups takes any more.
fn idle(
    view: &View,
    records: &PoolRecords,
    policies: &[(&Group, Policy)],
    found: &mut Vec<Finding>,
) {
    for slot in records.slots.iter().filter(|slot| slot.state == SlotState::Free) {
        let mut takers = policies
            .iter()
            .filter(|(group, _)| group.settings.zones.contains(&slot.zone))
            .peekable();
        let too_old =
            |(_, policy): &(&Group, Policy)| stale(policy.stale_after_hours, slot, view.now);
        if takers.peek().is_none() || !takers.all(too_old) {
            continue;
        }
        found.push(Finding {
            severity: Severity::Warning,
            code: Code::SlotStale,
            subject: format!("slot {}", slot.id),
            reason: "it was idle for longer than staleAfterHours: no launch takes it, and it counts as data all the same, so a \
                     launch that finds nothing else waits"
                .to_owned(),
            mend: format!("stateful-asg explain {0}, then stateful-asg retire {0}", slot.id),
        });
    }
}

fn given_up(view: &View, name: &PoolName, found: &mut Vec<Finding>) {
    for group in view.groups_of(name).filter(|group| group.asked) {
        let counts = group.record.iter().flat_map(|record| &record.abandons);
        for (zone, count) in counts.filter(|(_, count)| **count >= GIVEN_UP) {
            found.push(Finding {
                severity: Severity::Error,
                code: Code::LaunchesGivenUp,
                subject: group.subject(),
                reason: format!(
                    "{count} launches in a row were given up in {zone}: the next one is held until one succeeds"
                ),
                mend: format!("stateful-asg status {name}"),
            });
        }
    }
}

/// Groups of a pool may be in different modes, one after the other; what is to become of their volumes is one question.
fn agreement(name: &PoolName, policies: &[(&Group, Policy)], found: &mut Vec<Finding>) {
    let alike = |policy: &Policy| Policy { mode: Mode::default(), ..policy.clone() };
    let Some((first, wanted)) = policies.first() else { return };
    for (group, policy) in policies.iter().filter(|(_, policy)| alike(policy) != alike(wanted)) {
        let fields = differences(&alike(wanted), &alike(policy));
        let fields: Vec<String> = fields.into_iter().map(|it| it.field).collect();
        found.push(Finding {
            severity: Severity::Warning,
            code: Code::PoliciesDiffer,
            subject: format!("pool {name}"),
            reason: format!(
                "the policies of groups {} and {} differ in {}: each instance follows its own group's",
                first.name(),
                group.name(),
                fields.join(", ")
            ),
            mend: mend::enroll(group.name(), "--policy FILE"),
        });
    }
}

/// Whether each zone has, or may get, a slot for each instance that its groups may have there.
fn room(
    name: &PoolName,
    records: &PoolRecords,
    volumes: &[Volume],
    policies: &[(&Group, Policy)],
    found: &mut Vec<Finding>,
) {
    let mut needs: BTreeMap<&Zone, (u32, u32)> = BTreeMap::new();
    for (group, _) in policies {
        let zones = u32::try_from(group.settings.zones.len()).unwrap_or(u32::MAX).max(1);
        let (desired, most) = (group.settings.view.desired, group.settings.view.max_size);
        for zone in &group.settings.zones {
            let need = needs.entry(zone).or_default();
            need.0 += desired.div_ceil(zones);
            need.1 += most.div_ceil(zones);
        }
    }
    for (zone, (now, most)) in needs {
        let here: Vec<&(&Group, Policy)> =
            policies.iter().filter(|(group, _)| group.settings.zones.contains(zone)).collect();
        let there = available(records, volumes, zone, &here);
        let limit = here.iter().filter(|(_, policy)| policy.when_empty == WhenEmpty::Create);
        let limit = limit.map(|(group, policy)| {
            (policy.max_slots_per_zone.unwrap_or(group.settings.view.max_size), *group)
        });
        let growing = limit.max_by_key(|(limit, _)| *limit);
        let reach = growing.map_or(there, |(limit, _)| limit.max(there));
        let (severity, wanted, what) = if reach < now {
            (Severity::Error, now, "wanted there now")
        } else if reach < most {
            (Severity::Warning, most, "that its groups may have there at most")
        } else {
            continue;
        };
        let grows = growing.map_or_else(
            || "none is created".to_owned(),
            |(limit, _)| format!("creation stops at {limit}"),
        );
        found.push(Finding {
            severity,
            code: Code::SlotsShort,
            subject: format!("pool {name} in {zone}"),
            reason: format!(
                "slots there: {there}; instances {what}: {wanted}; {grows}, so the others wait"
            ),
            mend: match growing {
                Some((_, group)) => {
                    mend::enroll(group.name(), &format!("--max-slots-per-zone {wanted}"))
                }
                None => create(name, zone),
            },
        });
    }
}

/// The slots of a zone that a launch may get, and the sets of volumes that would become slots.
fn available(
    records: &PoolRecords,
    volumes: &[Volume],
    zone: &Zone,
    here: &[&(&Group, Policy)],
) -> u32 {
    let usable = |slot: &&Slot| slot.zone == *zone && slot.state != SlotState::Quarantined;
    let slots = records.slots.iter().filter(usable).count();
    let set = here.iter().map(|(_, policy)| policy.volumes.len()).max().unwrap_or(1);
    u32::try_from(slots + loose_sets(records, volumes, zone, set)).unwrap_or(u32::MAX)
}

/// The sets of so many volumes that no slot has yet.
pub(super) fn loose_sets(
    records: &PoolRecords,
    volumes: &[Volume],
    zone: &Zone,
    set: usize,
) -> usize {
    let known: BTreeSet<&VolumeId> = records.slots.iter().flat_map(Slot::every_volume).collect();
    let loose = |it: &&Volume| it.zone == *zone && !known.contains(&it.id) && !it.multi_attach;
    volumes.iter().filter(loose).count() / set.max(1)
}

/// Whether a volume is the one that the policy calls so, or like it: as its tag says, or as the only one.
pub(super) fn named(policy: &Policy, wanted: &VolumeSpec, volume: &Volume) -> bool {
    match volume.tags.get(tags::VOLUME) {
        Some(name) => name == wanted.name.as_str(),
        None => policy.volumes.len() == 1,
    }
}

/// Creation goes by the policy's template, else by the youngest volume of that name in the pool.
fn examples(
    name: &PoolName,
    volumes: &[Volume],
    policies: &[(&Group, Policy)],
    found: &mut Vec<Finding>,
) {
    for (group, policy) in policies {
        if policy.when_empty != WhenEmpty::Create || !group.asked {
            continue;
        }
        let lacking: Vec<&str> = policy
            .volumes
            .iter()
            .filter(|wanted| {
                wanted.template.is_none() && !volumes.iter().any(|it| named(policy, wanted, it))
            })
            .map(|wanted| wanted.name.as_str())
            .collect();
        if lacking.is_empty() {
            continue;
        }
        found.push(Finding {
            severity: Severity::Error,
            code: Code::NothingToCreateFrom,
            subject: group.subject(),
            reason: format!(
                "its policy creates volumes, but has no template for {}, and pool {name} has no such volume to create another \
                 like: its launches wait",
                lacking.join(", ")
            ),
            mend: mend::enroll(group.name(), "--create GIB"),
        });
    }
}

fn create(pool: &PoolName, zone: &Zone) -> String {
    let tag = format!("ResourceType=volume,Tags=[{{Key=stateful-asg:pool,Value={pool}}}]");
    format!(
        "aws ec2 create-volume --availability-zone {zone} --volume-type gp3 --size GIB --tag-specifications {}",
        mend::word(&tag)
    )
}
