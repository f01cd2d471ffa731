//! Alarms and dashboard show metrics that there are, by dimensions that these are emitted with; and no metric goes unseen.

use std::collections::BTreeSet;

use end_to_end::Failure;
use infra::alarms::Query;
use infra::template::{load, resources};
use serde_json::Value;
use volume_pool_aws::metrics::{FUNCTION, NAMES, NAMESPACE};

/// The metrics of Lambda that the dashboard may show, by the dimension `FunctionName` (AWS Lambda Developer Guide, "Types of metrics
/// for Lambda functions").
const OF_LAMBDA: [&str; 5] =
    ["Invocations", "Errors", "Throttles", "Duration", "ConcurrentExecutions"];

/// A metric, and the names of the dimensions that it is looked up by.
type Reference = (String, Vec<String>);

/// What a query of Metrics Insights looks at.
fn queried(text: &str) -> Result<Reference, Failure> {
    let query = Query::parse(text)?;
    assert_eq!(query.namespace, NAMESPACE, "{text}");
    Ok((query.metric, query.schema))
}

/// The values of the dimension `Function` that there are.
fn known_function(name: &str, value: &Value) {
    assert!(name != FUNCTION || ["lifecycle", "reconcile"].contains(&text(value)), "{value}");
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn of_alarms(template: &Value) -> Result<Vec<Reference>, Failure> {
    let mut found = Vec::new();
    for (_, alarm) in resources(template, "AWS::CloudWatch::Alarm") {
        for query in alarm["Metrics"].as_array().into_iter().flatten() {
            found.push(queried(text(&query["Expression"]))?);
        }
        if alarm["Namespace"] == NAMESPACE {
            let dimensions = alarm["Dimensions"].as_array().into_iter().flatten();
            let dimensions = dimensions.map(|dimension| {
                known_function(text(&dimension["Name"]), &dimension["Value"]);
                text(&dimension["Name"]).to_owned()
            });
            found.push((text(&alarm["MetricName"]).to_owned(), dimensions.collect()));
        }
    }
    Ok(found)
}

fn of_dashboard(template: &Value) -> Result<Vec<Reference>, Failure> {
    let (_, dashboard) =
        resources(template, "AWS::CloudWatch::Dashboard").next().ok_or("no dashboard")?;
    let body: Value = serde_json::from_str(text(&dashboard["DashboardBody"]["Fn::Sub"]))?;
    let mut found = Vec::new();
    for widget in body["widgets"].as_array().into_iter().flatten() {
        for line in widget["properties"]["metrics"].as_array().into_iter().flatten() {
            match line.as_array().map(Vec::as_slice).unwrap_or_default() {
                [shown] => found.push(queried(text(&shown["expression"]))?),
                [namespace, name, dimensions @ ..] if namespace == NAMESPACE => {
                    let pairs = dimensions.chunks_exact(2);
                    let names = pairs.map(|pair| {
                        known_function(text(&pair[0]), &pair[1]);
                        text(&pair[0]).to_owned()
                    });
                    found.push((text(name).to_owned(), names.collect()));
                }
                [namespace, name, dimension, ..] => {
                    assert_eq!(namespace, "AWS/Lambda", "{line}");
                    assert!(OF_LAMBDA.contains(&text(name)), "Lambda has no metric {name}");
                    assert_eq!(dimension, "FunctionName", "{line}");
                }
                _ => return Err(format!("not a metric: {line}").into()),
            }
        }
    }
    Ok(found)
}

#[test]
fn alarms_and_dashboard_show_metrics_that_are_emitted_so() -> Result<(), Failure> {
    let template = load("watch.yaml")?;
    let shown = [of_alarms(&template)?, of_dashboard(&template)?].concat();
    for (name, dimensions) in &shown {
        let metric = NAMES.iter().find(|metric| metric.name == name);
        let metric = metric.ok_or_else(|| format!("there is no metric {name}"))?;
        let emitted = metric.dimensions.iter().any(|set| *set == dimensions.as_slice());
        assert!(emitted, "{name} is not emitted by {dimensions:?}");
    }
    let shown: BTreeSet<&str> = shown.iter().map(|(name, _)| name.as_str()).collect();
    let all: BTreeSet<&str> = NAMES.iter().map(|metric| metric.name).collect();
    assert_eq!(shown, all);
    Ok(())
}

#[test]
fn each_alarm_tells_somebody_and_is_on_the_dashboard() -> Result<(), Failure> {
    let template = load("watch.yaml")?;
    let (_, dashboard) =
        resources(&template, "AWS::CloudWatch::Dashboard").next().ok_or("no dashboard")?;
    let body = text(&dashboard["DashboardBody"]["Fn::Sub"]);
    for (name, alarm) in resources(&template, "AWS::CloudWatch::Alarm") {
        assert!(body.contains(&format!("${{{name}.Arn}}")), "{name} is not on the dashboard");
        assert_eq!(alarm["AlarmActions"]["Fn::If"][0], "HasTopic", "{name}");
        assert!(alarm["AlarmDescription"].is_string(), "{name}");
    }
    Ok(())
}

#[test]
fn each_alarm_has_a_section_in_the_operations_guide_and_no_section_is_left_over()
-> Result<(), Failure> {
    let template = load("watch.yaml")?;
    let alarms = resources(&template, "AWS::CloudWatch::Alarm");
    let named = alarms.map(|(_, alarm)| {
        text(&alarm["AlarmName"]["Fn::Sub"]).replace("${Name}", "### stateful-asg")
    });
    let named: BTreeSet<String> = named.collect();
    let guide = infra::text("infra/operations.md")?;
    let sections = guide.lines().filter(|line| line.starts_with("### stateful-asg-"));
    assert_eq!(sections.map(str::to_owned).collect::<BTreeSet<String>>(), named);
    for section in guide.split("\n### stateful-asg-").skip(1) {
        for part in ["- **Means** ", "- **Look** ", "- **Do** ", "- **Over** "] {
            let alarm = section.lines().next().unwrap_or_default();
            assert!(section.contains(part.trim_end()), "{alarm} has no {part}");
        }
    }
    Ok(())
}
