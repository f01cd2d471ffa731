//! Alarms are evaluated as CloudWatch does it: its own examples, and what a template may not say without the evaluator knowing.

use std::collections::BTreeMap;
use std::time::Duration;

use infra::Failure;
use infra::alarms::{Emitted, Query, State, Statistic, alarms};
use infra::template::load;
use serde_json::{Value, json};

const MINUTE: Duration = Duration::from_mins(1);

fn template(properties: &Value) -> Value {
    let mut alarm = json!({
        "Namespace": "Lights", "MetricName": "Lit", "Statistic": "Sum", "Period": 60,
        "Dimensions": [{ "Name": "Room", "Value": { "Fn::Sub": "${House}-hall" } }],
        "ComparisonOperator": "GreaterThanThreshold", "Threshold": { "Ref": "Most" }, "EvaluationPeriods": 3,
        "TreatMissingData": "notBreaching",
    });
    for (name, value) in properties.as_object().into_iter().flatten() {
        alarm[name] = value.clone();
    }
    json!({
        "Parameters": { "House": { "Default": "ours" }, "Most": { "Default": 0 } },
        "Resources": { "TooBright": { "Type": "AWS::CloudWatch::Alarm", "Properties": alarm } },
    })
}

fn emitted(minute: u32, value: f64, room: &str) -> Emitted {
    Emitted {
        namespace: "Lights".to_owned(),
        metric: "Lit".to_owned(),
        dimensions: BTreeMap::from([("Room".to_owned(), room.to_owned())]),
        at: MINUTE * minute,
        value,
    }
}

/// The state after these minutes: `0` is within the threshold, `X` beyond it, `-` is missing.
fn after(points: &str, properties: &Value) -> Result<State, Failure> {
    let alarms = alarms(&template(properties), &[])?;
    let mut values = Vec::new();
    let mut minutes = 0;
    for point in points.split(' ') {
        match point {
            "0" => values.push(emitted(minutes, 0.0, "ours-hall")),
            "X" => values.push(emitted(minutes, 1.0, "ours-hall")),
            _ => {}
        }
        minutes += 1;
    }
    let states = alarms[0].states(&values, MINUTE * minutes);
    Ok(*states.last().ok_or("no state")?)
}

#[test]
fn missing_data_is_treated_as_in_the_guide_s_examples() -> Result<(), Failure> {
    use State::{Alarm, Ok as Fine};
    // The data points, and the states with missing data as breaching and as not breaching. First of three in three, then of two in
    // three. All rows of both tables, as AWS has published the guide's source: awsdocs/amazon-cloudwatch-user-guide at 05fd32f,
    // doc_source/AlarmThatSendsEmail.md, "How Alarm State is Evaluated When Data is Missing".
    let all_three = [
        ("0 - X - X", Fine, Fine),
        ("0 - - - -", Fine, Fine),
        ("- - - - -", Alarm, Fine),
        ("0 X X - X", Alarm, Alarm),
        ("- - - - X", Alarm, Fine),
        ("X - - - -", Alarm, Fine),
    ];
    let two_in_three = [
        ("0 - X - X", Alarm, Alarm),
        ("0 0 X 0 X", Alarm, Alarm),
        ("0 - X - -", Alarm, Fine),
        ("- - - - 0", Alarm, Fine),
        ("- - - - X", Alarm, Fine),
    ];
    for (examples, datapoints) in [(all_three.as_slice(), 3), (two_in_three.as_slice(), 2)] {
        for (points, breaching, not_breaching) in examples {
            for (treated, expected) in [("breaching", breaching), ("notBreaching", not_breaching)] {
                let properties =
                    json!({ "DatapointsToAlarm": datapoints, "TreatMissingData": treated });
                assert_eq!(
                    after(points, &properties)?,
                    *expected,
                    "{points}, {datapoints} in 3, {treated}"
                );
            }
        }
    }
    Ok(())
}

#[test]
fn an_alarm_ends_when_the_values_do() -> Result<(), Failure> {
    let one = json!({ "EvaluationPeriods": 1 });
    assert_eq!(after("0 X", &one)?, State::Alarm);
    assert_eq!(after("0 X 0", &one)?, State::Ok);
    assert_eq!(after("0 X - - -", &one)?, State::Ok);
    Ok(())
}

#[test]
fn only_the_very_series_counts_and_parameters_are_put_in() -> Result<(), Failure> {
    let template = template(&json!({ "EvaluationPeriods": 1 }));
    let values = [emitted(0, 2.0, "ours-hall"), emitted(0, 9.0, "ours-attic")];
    for (parameters, expected) in [
        (vec![], State::Alarm),
        (vec![("Most", "2")], State::Ok),
        (vec![("Most", "1")], State::Alarm),
        (vec![("House", "theirs")], State::Ok),
    ] {
        let alarm = alarms(&template, &parameters)?.remove(0);
        assert_eq!(alarm.states(&values, MINUTE), [expected], "{parameters:?}");
    }
    Ok(())
}

#[test]
fn a_query_adds_up_all_series_with_its_dimensions_and_no_others() -> Result<(), Failure> {
    let query = json!({
        "Metrics": [{ "Id": "lit", "Expression": r#"SELECT SUM(Lit) FROM SCHEMA("Lights", "Room")"#, "Period": 60 }],
        "Threshold": 5, "EvaluationPeriods": 1,
    });
    let alarm = alarms(&template(&query), &[])?.remove(0);
    let mut values = vec![emitted(0, 3.0, "hall"), emitted(0, 3.0, "attic")];
    assert_eq!(alarm.states(&values, MINUTE), [State::Alarm]);
    values[1].dimensions.insert("Lamp".to_owned(), "left".to_owned());
    assert_eq!(alarm.states(&values, MINUTE), [State::Ok]);
    // Each minute is for itself.
    assert_eq!(
        alarm.states(&[emitted(0, 3.0, "hall"), emitted(1, 3.0, "hall")], 2 * MINUTE),
        [State::Ok; 2]
    );
    Ok(())
}

#[test]
fn what_the_evaluator_does_not_know_is_an_error() -> Result<(), Failure> {
    for properties in [
        json!({ "TreatMissingData": "ignore" }),
        json!({ "Statistic": "Average" }),
        json!({ "ComparisonOperator": "LessThanLowerThreshold" }),
        json!({ "Unit": "Count" }),
        json!({ "Threshold": { "Ref": "Least" } }),
        json!({ "Metrics": [{ "Expression": "a / b", "Period": 60 }] }),
    ] {
        assert!(alarms(&template(&properties), &[]).is_err(), "{properties}");
    }
    let query = Query::parse(r#"SELECT MAX(Lit) FROM SCHEMA("Lights", "Room") GROUP BY Room"#)?;
    assert_eq!(
        (query.statistic, query.grouped_by.as_slice()),
        (Statistic::Maximum, &["Room".to_owned()][..])
    );
    assert!(
        Query::parse(r#"SELECT MAX(Lit) FROM SCHEMA("Lights", "Room") GROUP BY Lamp"#).is_err()
    );
    Ok(())
}

#[test]
fn every_alarm_of_the_deployment_can_be_evaluated() -> Result<(), Failure> {
    let alarms = alarms(&load("watch.yaml")?, &[])?;
    // Without any data only the one that misses its sweeps sounds.
    let sounding: Vec<&str> = alarms
        .iter()
        .filter(|alarm| alarm.states(&[], 10 * MINUTE).contains(&State::Alarm))
        .map(|alarm| alarm.name.as_str())
        .collect();
    assert_eq!(sounding, ["ReconcileNotRunning"]);
    Ok(())
}
