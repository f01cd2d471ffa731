use local_cloud::embedded_metrics::{Datum, extract};
use volume_pool::invocation::LoopReport;
use volume_pool::report::Journal;
use volume_pool::request::Ending;

use super::*;
use crate::calls::Counted;
use crate::metrics::NAMES;

const NOW: Timestamp = Timestamp::from_millis(1_795_000_000_000);

fn place(zone: &str) -> Place {
    Place { pool: "cassandra".parse().unwrap(), zone: zone.parse().unwrap() }
}

fn answered(place: Option<Place>) -> LoopReport {
    let journal = Journal {
        place,
        answered: Some(volume_pool::action::ActionResult::Continue),
        answered_after: Some(std::time::Duration::from_millis(1_500)),
        ..Journal::default()
    };
    LoopReport { instance: "i-00000001".parse().unwrap(), ending: Ending::Settled, journal }
}

fn data(measured: Measured) -> Vec<Datum> {
    let lines = lines(FunctionName::Lifecycle, measured, NOW);
    lines.iter().flat_map(|line| extract(line).unwrap()).collect()
}

#[test]
fn an_action_counts_for_its_function_and_for_its_pool_and_zone() {
    let mut measured = Measured::default();
    measured.loops(&[answered(Some(place("eu-central-1a")))]);
    let seen: Vec<_> = data(measured)
        .into_iter()
        .map(|datum| {
            let dimensions: Vec<String> = datum.dimensions.into_values().collect();
            (datum.name, datum.unit, dimensions.join(" "), datum.values)
        })
        .collect();
    let row = |name: &str, unit: &str, dimensions: &str, value| {
        (name.to_owned(), unit.to_owned(), dimensions.to_owned(), vec![value])
    };
    assert_eq!(
        seen,
        [
            row("ActionDuration", "Milliseconds", "lifecycle", 1_500.0),
            row("ActionsContinued", "Count", "lifecycle", 1.0),
            row("ActionDuration", "Milliseconds", "cassandra eu-central-1a", 1_500.0),
            row("ActionsContinued", "Count", "cassandra eu-central-1a", 1.0),
        ]
    );
}

#[test]
fn an_action_of_no_known_pool_counts_for_its_function_alone() {
    let mut measured = Measured::default();
    measured.loops(&[answered(None)]);
    let data = data(measured);
    assert_eq!(data.len(), 2);
    assert!(data.iter().all(|datum| datum.dimensions.keys().eq(["Function"])), "{data:?}");
}

#[test]
fn each_zone_has_a_line_and_what_belongs_to_none_another() {
    let mut measured = Measured::default();
    let zones = ["eu-central-1a", "eu-central-1b"];
    measured.loops(&zones.map(|zone| answered(Some(place(zone)))));
    measured.calls(Counted { sent: 7, throttled: 0 });
    let lines = lines(FunctionName::Reconcile, measured, NOW);
    assert_eq!(lines.len(), 3);
    // One line, no more and no less, each.
    assert!(lines.iter().all(|line| !line.contains('\n')));
    let calls = extract(&lines[0]).unwrap();
    assert_eq!(
        (calls.len(), calls[0].name.as_str(), &calls[0].values),
        (1, "ApiCalls", &vec![7.0])
    );
    assert_eq!(calls[0].dimensions["Function"], "reconcile");
}

#[test]
fn more_values_than_a_line_may_have_go_on_in_the_next_and_nothing_counts_twice() {
    let mut measured = Measured::default();
    measured.loops(&vec![answered(Some(place("eu-central-1a"))); 250]);
    let lines = lines(FunctionName::Reconcile, measured, NOW);
    let data: Vec<Datum> = lines.iter().flat_map(|line| extract(line).unwrap()).collect();
    let of = |name: &str| {
        let pool = data.iter().filter(|it| it.name == name && it.dimensions.contains_key("Pool"));
        pool.flat_map(|datum| datum.values.clone()).collect::<Vec<f64>>()
    };
    assert_eq!(lines.len(), 3);
    assert_eq!(of("ActionDuration"), vec![1_500.0; 250]);
    assert_eq!(of("ActionsContinued"), [250.0]);
}

#[test]
fn nothing_measured_is_no_line() {
    assert_eq!(lines(FunctionName::Lifecycle, Measured::default(), NOW), Vec::<String>::new());
}

#[test]
fn a_line_with_every_metric_in_it_is_within_the_limits_of_the_format() {
    let values = NAMES.iter().map(|metric| (*metric, vec![1; MOST_VALUES])).collect();
    let line = line(FunctionName::Reconcile, Some(&place("eu-central-1a")), values, NOW);
    let data = extract(&line).unwrap();
    for metric in NAMES {
        let mut seen = data.iter().filter(|datum| datum.name == metric.name);
        let sets = seen.clone().map(|datum| datum.dimensions.keys().cloned().collect::<Vec<_>>());
        let mut sets: Vec<_> = sets.collect();
        sets.sort();
        let mut expected: Vec<Vec<String>> = metric
            .dimensions
            .iter()
            .map(|set| set.iter().map(|name| (*name).to_owned()).collect())
            .collect();
        expected.sort();
        assert_eq!(sets, expected, "{}", metric.name);
        assert!(seen.all(|it| it.unit == metric.unit.as_str() && it.namespace == "StatefulAsg"));
    }
    // CloudWatch Logs takes events of 256 KB at least.
    assert!(line.len() < 256 * 1024);
}
