use volume_pool::ids::PoolName;
use volume_pool::policy::PolicyError;
use volume_pool::ports::PortError;
use volume_pool::queues::{PoolQueues, Releasing};
use volume_pool::record::{ApartMark, Format, HeldMark, SlotState, WaitingMark};
use volume_pool::report::Journal;
use volume_pool::request::Ending;
use volume_pool::sweep::PoolView;

use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_795_000_000_000);

fn ago(seconds: u64) -> Timestamp {
    NOW.minus(Duration::from_secs(seconds))
}

fn id(number: u32) -> InstanceId {
    format!("i-{number:08x}").parse().unwrap()
}

fn pool() -> PoolName {
    "cassandra".parse().unwrap()
}

fn place(zone: &str) -> Place {
    Place { pool: pool(), zone: zone.parse().unwrap() }
}

fn looped(number: u32, journal: Journal) -> LoopReport {
    LoopReport { instance: id(number), ending: Ending::Settled, journal }
}

fn of_loops(loops: &[LoopReport]) -> BTreeMap<Option<Place>, Values> {
    let mut measured = Measured::default();
    measured.loops(loops);
    measured.into_values()
}

fn values(pairs: &[(Metric, u64)]) -> Values {
    pairs.iter().map(|(metric, value)| (*metric, vec![*value])).collect()
}

#[test]
fn a_loop_that_did_nothing_has_nothing_to_tell() {
    assert_eq!(of_loops(&[looped(1, Journal::default())]), BTreeMap::new());
}

#[test]
fn an_answer_counts_by_its_result_with_how_long_it_took() {
    let journal = |result, after| Journal {
        place: Some(place("eu-central-1a")),
        answered: Some(result),
        answered_after: Some(Duration::from_millis(after)),
        ..Journal::default()
    };
    let reattached = Journal {
        reattached_after: Some(Duration::from_millis(700)),
        ..journal(ActionResult::Continue, 9_000)
    };
    let loops = [
        looped(1, journal(ActionResult::Continue, 8_000)),
        looped(2, reattached),
        looped(3, journal(ActionResult::Abandon, 1_000)),
    ];
    let mut expected =
        values(&[(ACTIONS_CONTINUED, 2), (ACTIONS_ABANDONED, 1), (REATTACH_DURATION, 700)]);
    expected.insert(ACTION_DURATION, vec![8_000, 9_000, 1_000]);
    assert_eq!(of_loops(&loops), BTreeMap::from([(Some(place("eu-central-1a")), expected)]));
}

#[test]
fn an_answer_whose_action_is_not_on_record_has_no_duration() {
    let observed = Journal { answered: Some(ActionResult::Continue), ..Journal::default() };
    let expected = values(&[(ACTIONS_CONTINUED, 1)]);
    assert_eq!(of_loops(&[looped(1, observed)]), BTreeMap::from([(None, expected)]));
}

#[test]
fn lost_leases_alarms_and_rejected_policies_add_up() {
    let fault = Alarm::PolicyFault {
        error: PolicyError::Missing,
        instead: "the launch is held".to_owned(),
    };
    let one = Journal {
        lost_leases: 2,
        alarms: BTreeSet::from([fault.clone(), Alarm::TagsRefused]),
        ..Journal::default()
    };
    let other = Journal { lost_leases: 1, alarms: BTreeSet::from([fault]), ..Journal::default() };
    let expected = values(&[(LEASE_RACES_LOST, 3), (ALARMS_RAISED, 3), (POLICIES_REJECTED, 2)]);
    assert_eq!(of_loops(&[looped(1, one), looped(2, other)]), BTreeMap::from([(None, expected)]));
}

#[test]
fn a_launch_is_held_once_however_often_it_was_looked_at_and_as_the_last_look_left_it() {
    let left = |number, held| looped(number, Journal { held, ..Journal::default() });
    let loops = [left(1, true), left(2, true), left(1, true), left(3, true), left(3, false)];
    let expected = values(&[(LAUNCHES_HELD, 2)]);
    assert_eq!(of_loops(&loops), BTreeMap::from([(None, expected)]));
}

#[test]
fn a_sweep_heals_each_instance_once_that_it_brings_something_forward_for() {
    let brought = |number, changes| looped(number, Journal { changes, ..Journal::default() });
    let mut measured = Measured::default();
    measured.healed(&[brought(1, 3), brought(2, 0), brought(1, 1)]);
    measured.healed(&[brought(4, 1)]);
    let expected = values(&[(HEALED, 2)]);
    assert_eq!(measured.into_values(), BTreeMap::from([(None, expected)]));
}

#[test]
fn calls_and_throttles_are_as_counted() {
    let mut measured = Measured::default();
    measured.calls(Counted { sent: 9, throttled: 2 });
    measured.malformed_event();
    let expected = values(&[(API_CALLS, 9), (API_THROTTLES, 2), (ALARMS_RAISED, 1)]);
    assert_eq!(measured.into_values(), BTreeMap::from([(None, expected)]));
}

fn free(number: u32, zone: &str) -> Slot {
    Slot {
        id: format!("cassandra-{number}").parse().unwrap(),
        zone: zone.parse().unwrap(),
        version: 1,
        epoch: 1,
        state: SlotState::Free,
        recent_holders: Vec::new(),
        volumes: Vec::new(),
        format: Format::Over,
        leased_at: None,
        released_at: Some(ago(5)),
        moving: None,
        reason: String::new(),
    }
}

fn held(number: u32, zone: &str) -> HeldMark {
    HeldMark {
        place: place(zone),
        slot: format!("cassandra-{number}").parse().unwrap(),
        holder: id(number),
        volumes: Vec::new(),
        amiss: false,
    }
}

fn waiting(number: u32, zone: &str, seconds: u64) -> WaitingMark {
    WaitingMark {
        place: place(zone),
        since: ago(seconds),
        instance: id(number),
        stale_after_hours: None,
    }
}

/// In zone a three leased, two free, one set apart; in zone b one free.
fn swept() -> Swept {
    let (a, b) = ("eu-central-1a", "eu-central-1b");
    let apart = ApartMark {
        place: place(a),
        slot: "cassandra-9".parse().unwrap(),
        reason: "a person attached it".to_owned(),
    };
    Swept {
        open: Some(Vec::new()),
        groups: Some(Vec::new()),
        pools: vec![PoolView {
            name: pool(),
            held: vec![held(1, a), held(2, a), held(3, a)],
            free: vec![free(4, a), free(5, b), free(6, a)],
            apart: vec![apart],
            volumes: Vec::new(),
        }],
        holders: None,
        failures: Vec::new(),
    }
}

/// In zone a two wait and two are being released; in zone c one waits for what is not there.
fn queues() -> Queues {
    let (a, c) = ("eu-central-1a", "eu-central-1c");
    let waiting = vec![waiting(11, a, 40), waiting(12, a, 90), waiting(13, c, 7)];
    let releasing = |since| Releasing { place: place(a), since };
    let releasing = vec![releasing(Some(ago(33))), releasing(None)];
    let pools = BTreeMap::from([(pool(), PoolQueues { waiting, releasing })]);
    Queues { pools, failures: Vec::new() }
}

fn of_sweep(swept: &Swept, queues: &Queues) -> BTreeMap<Option<Place>, Values> {
    let mut measured = Measured::default();
    measured.sweep(swept, queues, NOW);
    measured.into_values()
}

#[test]
fn a_sweep_tells_slots_and_queues_of_each_zone_zeros_included() {
    let gauges = |[free, leased, releasing, apart, waiters, wait, release]: [u64; 7]| {
        values(&[
            (SLOTS_FREE, free),
            (SLOTS_LEASED, leased),
            (SLOTS_RELEASING, releasing),
            (SLOTS_QUARANTINED, apart),
            (WAITERS, waiters),
            (OLDEST_WAIT_SECONDS, wait),
            (OLDEST_RELEASING_SECONDS, release),
        ])
    };
    let expected = BTreeMap::from([
        // A slot that is set apart is told of in every sweep.
        (None, values(&[(SWEEPS, 1), (ALARMS_RAISED, 1)])),
        (Some(place("eu-central-1a")), gauges([2, 3, 2, 1, 2, 90, 33])),
        (Some(place("eu-central-1b")), gauges([1, 0, 0, 0, 0, 0, 0])),
        (Some(place("eu-central-1c")), gauges([0, 0, 0, 0, 1, 7, 0])),
    ]);
    assert_eq!(of_sweep(&swept(), &queues()), expected);
}

#[test]
fn queues_that_could_not_be_read_are_not_told_to_be_empty() {
    let told = of_sweep(&swept(), &Queues::default());
    let expected = values(&[(SLOTS_FREE, 2), (SLOTS_LEASED, 3), (SLOTS_QUARANTINED, 1)]);
    assert_eq!(told[&Some(place("eu-central-1a"))], expected);
}

#[test]
fn a_sweep_that_could_not_read_everything_does_not_count_as_one() {
    let problem = PortError::Transient { call: "ec2:DescribeVolumes", problem: "slow".to_owned() };
    let blind = Swept { pools: Vec::new(), failures: vec![problem], ..swept() };
    assert_eq!(of_sweep(&blind, &Queues::default()), BTreeMap::new());
}
