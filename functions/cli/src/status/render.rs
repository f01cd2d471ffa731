//! The status as text. Pure.

use std::fmt::Write as _;

use volume_pool::Timestamp;

use super::view::{Member, PoolStatus, SlotStatus, Status, VolumeStatus, Waiter, ZoneStatus};
use crate::layout::{age, cut, table, wrapped};

const HEADER: [&str; 7] =
    ["SLOT", "STATE", "INSTANCE", "INSTANCE STATE", "FOR", "VOLUME", "VOLUME STATE"];

/// In the order in which they are counted.
const STATES: [&str; 6] = ["held", "free", "releasing", "creating", "quarantined", "retired"];

/// A line of a pool's table: of a zone, a slot, a further volume of it, or a waiter; and what is told below it.
struct Line {
    above: Option<String>,
    cells: [String; 7],
    below: Option<String>,
}

/// The whole status. On a screen of that width rows are cut, and reasons wrapped.
pub(super) fn status(status: &Status, width: Option<usize>) -> String {
    let mut text = String::new();
    if status.pools.is_empty() {
        let none = "No pool is on record, and no group is tagged stateful-asg:pool.";
        text.push_str(&wrapped(none, 0, width));
    }
    for (index, pool) in status.pools.iter().enumerate() {
        if index > 0 {
            text.push('\n');
        }
        text.push_str(&self::pool(pool, status.at, width));
    }
    for problem in &status.unread {
        text.push('\n');
        let problem = format!("Left out, because it can't be read: {problem}");
        text.push_str(&wrapped(&problem, 0, width));
    }
    text
}

fn pool(pool: &PoolStatus, now: Timestamp, width: Option<usize>) -> String {
    let mut text: String = headlines(pool).iter().map(|line| wrapped(line, 0, width)).collect();
    let lines: Vec<Line> = pool.zones.iter().flat_map(|zone| zone_lines(zone, now)).collect();
    let cells: Vec<[String; 7]> = lines.iter().map(|line| line.cells.clone()).collect();
    let shown = table(HEADER, &cells);
    let mut rows = shown.lines();
    if let Some(header) = rows.next() {
        let _ = writeln!(text, "\n{}", cut(&format!("  {header}"), width));
    }
    for (row, line) in rows.zip(&lines) {
        if let Some(above) = &line.above {
            text.push_str(&wrapped(above, 0, width));
        }
        let _ = writeln!(text, "{}", cut(&format!("  {row}"), width));
        if let Some(below) = &line.below {
            text.push_str(&wrapped(below, 6, width));
        }
    }
    text.push_str(&notes(pool, width));
    text
}

fn headlines(pool: &PoolStatus) -> Vec<String> {
    let name = &pool.pool;
    let slots = pool.zones.iter().flat_map(|zone| &zone.slots);
    let waiting = pool.zones.iter().map(|zone| zone.waiting.len()).sum();
    let mut first = format!("Pool {name}: {}", counts(slots, waiting));
    for group in &pool.groups {
        let (group, serving, desired) = (&group.group, group.in_service, group.desired);
        let _ = write!(first, "; group {group}: {serving} of {desired} in service");
    }
    let paused = pool.paused.then(|| {
        format!(
            "PAUSED: nothing of it is leased, adopted or created. To go on: stateful-asg resume {name}"
        )
    });
    let rebuilding = pool.rebuilding_since.map(|since| {
        format!(
            "ITS RECORDS ARE BEING REBUILT since {since}: nothing is done by them. If that was cut off, run it again: \
             stateful-asg rebuild {name}"
        )
    });
    [Some(first), paused, rebuilding].into_iter().flatten().collect()
}

/// As in `2 held, 1 releasing, 1 waiting`.
fn counts<'a>(slots: impl Iterator<Item = &'a SlotStatus>, waiting: usize) -> String {
    let states: Vec<&str> = slots.map(|slot| slot.state).collect();
    let mut counts: Vec<String> = STATES
        .iter()
        .map(|state| (states.iter().filter(|it| *it == state).count(), state))
        .filter(|(count, _)| *count > 0)
        .map(|(count, state)| format!("{count} {state}"))
        .collect();
    if counts.is_empty() {
        counts.push("no slot".to_owned());
    }
    if waiting > 0 {
        counts.push(format!("{waiting} waiting"));
    }
    counts.join(", ")
}

fn zone_lines(zone: &ZoneStatus, now: Timestamp) -> Vec<Line> {
    // Those that are out of the pool for good are counted, and no more.
    let shown = zone.slots.iter().filter(|slot| slot.state != "retired");
    let mut lines: Vec<Line> = shown.flat_map(|slot| slot_lines(slot, now)).collect();
    lines.extend(zone.waiting.iter().map(|waiter| waiter_line(waiter, now)));
    if let Some(first) = lines.first_mut() {
        let counted = counts(zone.slots.iter(), zone.waiting.len());
        first.above = Some(format!("{}: {counted}", zone.zone));
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
fn notes(pool: &PoolStatus, width: Option<usize>) -> String {
    let mut text = String::new();
    if !pool.without_slot.is_empty() {
        text.push('\n');
        let heading = "Instances of its groups that neither hold a slot nor wait for one";
        text.push_str(&wrapped(heading, 0, width));
        for idle in &pool.without_slot {
            let (instance, which) = named(&idle.member);
            let _ = writeln!(text, "{}", cut(&format!("  {instance}  {which}"), width));
            if let Some(reason) = &idle.reason {
                text.push_str(&wrapped(reason, 6, width));
            }
        }
    }
    if !pool.in_no_slot.is_empty() {
        text.push('\n');
        let heading = "Volumes with its tag that belong to no slot; an available one is adopted when a launch needs it";
        text.push_str(&wrapped(heading, 0, width));
        for volume in &pool.in_no_slot {
            let [volume, shown] = volume_cells(volume, false);
            let _ = writeln!(text, "{}", cut(&format!("  {volume}  {shown}"), width));
        }
    }
    text
}
