//! The account's quotas of storage: what the pools may still grow by must fit into them, else launches wait for volumes that EC2
//! refuses to create (`VolumeLimitExceeded`).

use std::collections::{BTreeMap, BTreeSet};

use volume_pool::ids::{PoolName, Zone};
use volume_pool::observation::Volume;
use volume_pool::policy::{Policy, WhenEmpty};
use volume_pool::record::{Slot, SlotState};

use super::super::finding::{Code, Finding, Severity};
use super::super::view::{Group, PoolRecords, View};
use super::pool::{loose_sets, named};
use crate::account::{Storage, quota_code};

const GIB_PER_TIB: u64 = 1024;

/// What pools may still create of one volume type.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in super::super) struct Growth {
    gib: u64,
    pools: BTreeSet<PoolName>,
}

pub(super) fn judge(view: &View, found: &mut Vec<Finding>) {
    for (volume_type, growth) in growth(view) {
        let (Some(Ok(storage)), Some(code)) =
            (view.around.storage.get(&volume_type), quota_code(&volume_type))
        else {
            continue;
        };
        let Storage { limit_tib, used_gib } = storage;
        let wanted = (used_gib + growth.gib).div_ceil(GIB_PER_TIB);
        if in_tib(used_gib + growth.gib) <= *limit_tib {
            continue;
        }
        let pools: Vec<&str> = growth.pools.iter().map(PoolName::as_str).collect();
        found.push(Finding {
            severity: Severity::Warning,
            code: Code::StorageQuota,
            subject: format!("quota of {volume_type} storage"),
            reason: format!(
                "the account may have {limit_tib} TiB in this region and has {used_gib} GiB; up to maxSlotsPerZone in each zone, \
                 {} may create {} GiB more: where that is reached EC2 refuses, and launches wait. Raise the quota, or lower \
                 maxSlotsPerZone",
                pools.join(", "),
                growth.gib
            ),
            mend: format!(
                "aws service-quotas request-service-quota-increase --service-code ebs --quota-code {code} --desired-value {wanted}"
            ),
        });
    }
}

/// What the pools in view may still create, by volume type. A pool that could not be read whole counts for nothing.
pub(in super::super) fn growth(view: &View) -> BTreeMap<String, Growth> {
    let mut growing: BTreeMap<String, Growth> = BTreeMap::new();
    for (name, pool) in &view.pools {
        let (Some(records), Some(volumes)) = (&pool.records, &pool.volumes) else { continue };
        let policies: Vec<(&Group, Policy)> = view
            .groups_of(name)
            .filter_map(|group| Some((group, group.policy(&view.hook_prefix)?)))
            .filter(|(_, policy)| policy.when_empty == WhenEmpty::Create)
            .collect();
        let zones: BTreeSet<&Zone> =
            policies.iter().flat_map(|(group, _)| &group.settings.zones).collect();
        for zone in zones {
            let here = policies.iter().filter(|(group, _)| group.settings.zones.contains(zone));
            let limit = |(group, policy): &(&Group, Policy)| {
                policy.max_slots_per_zone.unwrap_or(group.settings.view.max_size)
            };
            let Some(most) = here.max_by_key(|it| limit(it)) else { continue };
            let more = limit(most).saturating_sub(there(records, volumes, zone, &most.1));
            if more == 0 {
                continue;
            }
            for (volume_type, gib) in set(&most.1, volumes) {
                let growth = growing.entry(volume_type).or_default();
                growth.gib += u64::from(gib) * u64::from(more);
                growth.pools.insert(name.clone());
            }
        }
    }
    growing
}

/// The slots of a zone that count against `maxSlotsPerZone`, those set apart among them, and the sets of volumes that would become
/// slots.
fn there(records: &PoolRecords, volumes: &[Volume], zone: &Zone, policy: &Policy) -> u32 {
    let counts = |slot: &&Slot| slot.zone == *zone && slot.state != SlotState::Retired;
    let slots = records.slots.iter().filter(counts).count();
    let sets = loose_sets(records, volumes, zone, policy.volumes.len());
    u32::try_from(slots + sets).unwrap_or(u32::MAX)
}

/// Types and sizes of a new slot's volumes: as the policy says, else like the youngest volume of that name.
fn set(policy: &Policy, volumes: &[Volume]) -> Vec<(String, u32)> {
    let like = policy.volumes.iter().filter_map(|wanted| {
        let youngest = || {
            let alike = volumes.iter().filter(|volume| named(policy, wanted, volume));
            alike.max_by_key(|volume| volume.created_at).map(|volume| volume.like.clone())
        };
        wanted.template.clone().or_else(youngest)
    });
    like.map(|like| (like.volume_type, like.size_gib)).collect()
}

/// Quotas are far below what this can't hold: four million TiB.
fn in_tib(gib: u64) -> f64 {
    f64::from(u32::try_from(gib).unwrap_or(u32::MAX)) / 1024.0
}
