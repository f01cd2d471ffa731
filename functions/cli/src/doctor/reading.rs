//! What doctor reads. A read that fails is said, and the rest goes on: only without the groups there is nothing to look at.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join;
use volume_pool::ids::{GroupName, PoolName};
use volume_pool::ports::{LeaseStore as _, PortError, Volumes as _};
use volume_pool::record::{Key, List, Record};
use volume_pool_aws::Enrolments;
use volume_pool_aws::enrolment::{GroupSettings, LaunchSource};

use super::around::{self, Around};
use super::view::{Group, Pool, PoolRecords, View};
use crate::failure::Failure;
use crate::session::Session;

/// Reads the groups named, or all that are enrolled, those that share a pool with them, and their pools.
pub(crate) async fn read(session: &Session, named: &[GroupName]) -> Result<View, Failure> {
    let enrolments = session.enrolments().await?;
    let mut settings: BTreeMap<GroupName, GroupSettings> =
        enrolments.enrolled().await?.into_iter().map(|it| (it.view.name.clone(), it)).collect();
    for name in named {
        if !settings.contains_key(name) {
            let found = enrolments.group(name).await?;
            let found = found.ok_or_else(|| Failure::no_group(name))?;
            settings.insert(name.clone(), found);
        }
    }
    let pool_of = |group: &GroupSettings| group.view.pool_tag.as_deref()?.parse::<PoolName>().ok();
    let asked = |group: &GroupSettings| named.is_empty() || named.contains(&group.view.name);
    let pools: BTreeSet<PoolName> =
        settings.values().filter(|group| asked(group)).filter_map(pool_of).collect();
    let mut unread = Vec::new();
    let mut groups = Vec::new();
    for group in settings.into_values() {
        let shares = pool_of(&group).is_some_and(|pool| pools.contains(&pool));
        if asked(&group) || shares {
            let asked = asked(&group);
            groups.push(self::group(session, &enrolments, group, asked, &mut unread).await);
        }
    }
    let mut read = BTreeMap::new();
    for name in pools {
        let pool = pool(session, &name, &mut unread).await;
        read.insert(name, pool);
    }
    let (now, hook_prefix) = (session.now(), session.hook_prefix.clone());
    let table = session.table().to_owned();
    let around = Around::default();
    let mut view = View { now, table, hook_prefix, groups, pools: read, around, unread };
    around::read(&session.account().await?, &mut view).await;
    // One cause often fails many reads in the same words.
    view.unread.sort();
    view.unread.dedup();
    Ok(view)
}

async fn group(
    session: &Session,
    enrolments: &Enrolments,
    settings: GroupSettings,
    asked: bool,
    unread: &mut Vec<String>,
) -> Group {
    let name = &settings.view.name;
    let key = Key::Group(name.clone());
    let (hooks, records) =
        join(enrolments.hooks(name), session.ports.leases.read(std::slice::from_ref(&key))).await;
    let template = match &settings.source {
        LaunchSource::Template { id, version } => {
            kept(enrolments.template(id, version).await, unread)
        }
        LaunchSource::Other(what) => {
            unread.push(format!("group {name} launches from {what}, which is not looked into"));
            None
        }
    };
    let record = kept(records, unread).and_then(|mut records| records.remove(&key));
    let record = match record {
        Some(Record::Group(record)) => Some(record),
        _ => None,
    };
    Group { hooks: kept(hooks, unread), settings, asked, template, record }
}

async fn pool(session: &Session, name: &PoolName, unread: &mut Vec<String>) -> Pool {
    let ports = &session.ports;
    let whole = List::Whole(name.clone());
    let (records, volumes) =
        join(ports.leases.list(&whole, whole.most()), ports.volumes.every_pool_volume(name)).await;
    let records = kept(records, unread).map(|records| {
        let mut kept = PoolRecords::default();
        for record in records {
            match record {
                Record::Pool(pool) => kept.pool = Some(pool),
                Record::Slot(slot) => kept.slots.push(slot),
                _ => {}
            }
        }
        kept
    });
    Pool { records, volumes: kept(volumes, unread) }
}

fn kept<T>(read: Result<T, PortError>, unread: &mut Vec<String>) -> Option<T> {
    read.map_err(|error| unread.push(Failure::from(error).to_string())).ok()
}
