//! The status as text. Pure.

use std::fmt::Write as _;

use volume_pool::Timestamp;

use super::view::{Member, PoolStatus, SlotStatus, Status, VolumeStatus, Waiter, ZoneStatus};
use crate::layout::{age, count, table};

const HEADER: [&str; 7] = ["SLOT", "STATE", "INSTANCE", "WHICH IS", "FOR", "VOLUME", "WHICH IS"];

/// In the order in which they are counted.
const STATES: [&str; 5] = ["held", "free", "releasing", "creating", "quarantined"];

/// A line of a pool's table: of a zone, a slot, a further volume of it, or a waiter; and what is told below it.
struct Line {
    above: Option<String>,
    cells: [String; 7],
    below: Option<String>,
}

/// The whole status.
pub(super) fn status(status: &Status) -> String {
    let mut text = String::new();
    if status.pools.is_empty() {
        text.push_str(
            "No pool is on record, and no group is tagged stateful-asg:pool. The README says how one begins.\n",
        );
    }
    for (index, pool) in status.pools.iter().enumerate() {
        if index > 0 {
            text.push('\n');
        }
        text.push_str(&self::pool(pool, status.at));
    }
    for problem in &status.unread {
        let _ = writeln!(text, "\nLeft out, because it can't be read: {problem}");
    }
    text
}

fn pool(pool: &PoolStatus, now: Timestamp) -> String {
    let mut text = headline(pool);
    let lines: Vec<Line> = pool.zones.iter().flat_map(|zone| zone_lines(zone, now)).collect();
    let cells: Vec<[String; 7]> = lines.iter().map(|line| line.cells.clone()).collect();
    let shown = table(HEADER, &cells);
    let mut rows = shown.lines();
    if let Some(header) = rows.next() {
        let _ = writeln!(text, "\n  {header}");
    }
    for (row, line) in rows.zip(&lines) {
        if let Some(above) = &line.above {
            let _ = writeln!(text, "{above}");
        }
        let _ = writeln!(text, "  {row}");
        if let Some(below) = &line.below {
            let _ = writeln!(text, "      {below}");
        }
    }
    text.push_str(&notes(pool));
    text
}

fn headline(pool: &PoolStatus) -> String {
    let slots: Vec<&SlotStatus> = pool.zones.iter().flat_map(|zone| &zone.slots).collect();
    let waiting = pool.zones.iter().map(|zone| zone.waiting.len()).sum();
    let mut text = format!("Pool {}: {}", pool.pool, counts(&slots, waiting));
    for group in &pool.groups {
        let (name, serving, desired) = (&group.group, group.in_service, group.desired);
        let _ = write!(text, "; group {name}: {serving} of {desired} in service");
    }
    text.push('\n');
    if pool.paused {
        let _ = writeln!(
            text,
            "PAUSED: nothing of it is leased, adopted or created. To go on: stateful-asg resume {}",
            pool.pool
        );
    }
    if let Some(since) = pool.rebuilding_since {
        let _ = writeln!(
            text,
            "ITS RECORDS ARE BEING REBUILT since {since}: nothing is done by them. If that was cut off, run it again: \
             stateful-asg rebuild {}",
            pool.pool
        );
    }
    text
}

/// As in `3 slots: 2 held, 1 releasing; 1 waits`.
fn counts(slots: &[&SlotStatus], waiting: usize) -> String {
    let mut text = count(slots.len(), "slot");
    let states: Vec<String> = STATES
        .iter()
        .filter_map(|state| {
            let count = slots.iter().filter(|slot| slot.state == *state).count();
            (count > 0).then(|| format!("{count} {state}"))
        })
        .collect();
    if !states.is_empty() {
        let _ = write!(text, ": {}", states.join(", "));
    }
    match waiting {
        0 => {}
        1 => text.push_str("; 1 instance waits"),
        several => {
            let _ = write!(text, "; {several} instances wait");
        }
    }
    text
}

fn zone_lines(zone: &ZoneStatus, now: Timestamp) -> Vec<Line> {
    let mut lines: Vec<Line> = zone.slots.iter().flat_map(|slot| slot_lines(slot, now)).collect();
    lines.extend(zone.waiting.iter().map(|waiter| waiter_line(waiter, now)));
    if let Some(first) = lines.first_mut() {
        let slots: Vec<&SlotStatus> = zone.slots.iter().collect();
        first.above = Some(format!("{}  {}", zone.zone, counts(&slots, zone.waiting.len())));
    }
    lines
}

/// A line for the slot with its first volume, and one for each further volume.
fn slot_lines(slot: &SlotStatus, now: Timestamp) -> Vec<Line> {
    let (instance, which) = slot.instance.as_ref().map_or_else(Default::default, named);
    let lasted = slot.since.map(|since| age(now.since(since))).unwrap_or_default();
    let mut volumes =
        slot.volumes.iter().map(|volume| volume_cells(volume, slot.volumes.len() > 1));
    let [volume, shown] = volumes.next().unwrap_or_default();
    let told = slot.amiss || slot.state == "quarantined";
    let first = Line {
        above: None,
        cells: [
            slot.slot.to_string(),
            slot.state.to_owned(),
            instance,
            which,
            lasted,
            volume,
            shown,
        ],
        below: None,
    };
    let none = String::new;
    let further = volumes.map(|[volume, shown]| Line {
        above: None,
        cells: [none(), none(), none(), none(), none(), volume, shown],
        below: None,
    });
    let mut lines: Vec<Line> = std::iter::once(first).chain(further).collect();
    if let Some(last) = lines.last_mut().filter(|_| told) {
        last.below = Some(slot.reason.clone());
    }
    lines
}

fn waiter_line(waiter: &Waiter, now: Timestamp) -> Line {
    let (instance, which) = named(&waiter.member);
    let lasted = age(now.since(waiter.since));
    let none = String::new;
    let cells = [none(), "waiting".to_owned(), instance, which, lasted, none(), none()];
    let reason =
        if waiter.reason.is_empty() { "it has just joined the queue" } else { &waiter.reason };
    Line { above: None, cells, below: Some(reason.to_owned()) }
}

fn named(member: &Member) -> (String, String) {
    let states = [member.lifecycle.as_deref(), member.ec2.as_deref()];
    let states: Vec<&str> = states.into_iter().flatten().collect();
    (member.instance.to_string(), states.join(", "))
}

fn volume_cells(volume: &VolumeStatus, several: bool) -> [String; 2] {
    let name = volume.name.as_ref().filter(|_| several);
    let name = name.map(|name| format!(" ({name})")).unwrap_or_default();
    [format!("{}{name}", volume.volume), volume.ec2.clone().unwrap_or_default()]
}

/// What belongs to no slot.
fn notes(pool: &PoolStatus) -> String {
    let mut text = String::new();
    if !pool.without_slot.is_empty() {
        text.push_str("\nInstances of its groups that neither hold a slot nor wait for one\n");
        for member in &pool.without_slot {
            let (instance, which) = named(member);
            let _ = writeln!(text, "  {instance}  {which}");
        }
    }
    if !pool.in_no_slot.is_empty() {
        text.push_str("\nVolumes with its tag that belong to no slot; an available one is adopted when a launch needs it\n");
        for volume in &pool.in_no_slot {
            let [volume, shown] = volume_cells(volume, false);
            let _ = writeln!(text, "  {volume}  {shown}");
        }
    }
    text
}
