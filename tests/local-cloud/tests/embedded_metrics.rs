//! Which lines `CloudWatch` would take metrics out of, and which it would drop without a word.

#![cfg(test)]

use local_cloud::embedded_metrics::extract;
use serde_json::{Value, json};

fn line() -> Value {
    json!({
        "_aws": {
            "Timestamp": 1_795_000_000_000_u64,
            "CloudWatchMetrics": [{
                "Namespace": "Lights",
                "Dimensions": [["Room"], ["Room", "Lamp"]],
                "Metrics": [{ "Name": "Lit", "Unit": "Count" }],
            }],
        },
        "Room": "hall",
        "Lamp": "left",
        "Lit": [1, 2],
        "Bulb": "b-1",
    })
}

#[test]
fn each_set_of_dimensions_gets_every_value() {
    let data = extract(&line().to_string()).unwrap();
    let seen: Vec<_> =
        data.iter().map(|datum| (datum.dimensions.len(), datum.values.clone())).collect();
    assert_eq!(seen, [(1, vec![1.0, 2.0]), (2, vec![1.0, 2.0])]);
    assert_eq!(data[1].dimensions["Lamp"], "left");
    assert_eq!((data[0].namespace.as_str(), data[0].unit.as_str()), ("Lights", "Count"));
    assert_eq!(data[0].at.as_millis(), 1_795_000_000_000);
}

#[test]
fn other_lines_hold_no_metrics() {
    for line in ["", "no JSON", "[]", r#"{"message":"hello"}"#] {
        assert_eq!(extract(line), Ok(Vec::new()), "{line}");
    }
}

#[test]
fn what_the_specification_forbids_is_an_error() {
    let directive = "/_aws/CloudWatchMetrics/0";
    let many: Vec<u32> = (0..101).collect();
    let broken = [
        ("/_aws/Timestamp", json!("now")),
        ("/_aws/CloudWatchMetrics", json!({})),
        ("/_aws/CloudWatchMetrics/0/Dimensions", json!([])),
        ("/_aws/CloudWatchMetrics/0/Dimensions/0/0", json!("Floor")),
        ("/_aws/CloudWatchMetrics/0/Dimensions/0", json!(vec!["Room"; 31])),
        ("/_aws/CloudWatchMetrics/0/Metrics", json!([])),
        ("/_aws/CloudWatchMetrics/0/Metrics/0/Name", json!("Dark")),
        ("/_aws/CloudWatchMetrics/0/Metrics/0/Unit", json!("Lumen")),
        ("/_aws/CloudWatchMetrics/0/Namespace", json!("")),
        ("/Room", json!(7)),
        ("/Lit", json!("two")),
        ("/Lit", json!([])),
        ("/Lit", json!(many)),
    ];
    for (at, value) in broken {
        let mut line = line();
        *line.pointer_mut(at).unwrap() = value.clone();
        assert!(extract(&line.to_string()).is_err(), "{at} {value}");
    }
    let mut line = line();
    let members = line.pointer_mut(directive).and_then(Value::as_object_mut).unwrap();
    members.insert("Comment".to_owned(), json!("hello"));
    assert!(extract(&line.to_string()).is_err());
}
