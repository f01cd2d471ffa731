//! The embedded metric format: a line of JSON in the log, out of which `CloudWatch` Logs takes the metrics that its member
//! `_aws` names (Amazon `CloudWatch` User Guide, "Specification: Embedded metric format").

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use volume_pool::Timestamp;
use volume_pool::record::Place;

use super::{FUNCTION, FunctionName, Measured, NAMESPACE, POOL, Values, ZONE};

/// How many values one metric may have in a line, by the specification: what goes beyond is for a further line.
pub const MOST_VALUES: usize = 100;

/// The lines of what was measured: one for what belongs to no pool, and one for each pool and zone.
pub fn lines(function: FunctionName, measured: Measured, now: Timestamp) -> Vec<String> {
    let mut lines = Vec::new();
    for (place, mut values) in measured.into_values() {
        while !values.is_empty() {
            let further = split_off(&mut values);
            lines.push(line(function, place.as_ref(), values, now));
            values = further;
        }
    }
    lines
}

/// Takes off what one line has no room for.
fn split_off(values: &mut Values) -> Values {
    let mut further = Values::new();
    for (metric, values) in values {
        if values.len() > MOST_VALUES {
            further.insert(*metric, values.split_off(MOST_VALUES));
        }
    }
    further
}

fn line(function: FunctionName, place: Option<&Place>, values: Values, now: Timestamp) -> String {
    let mut known = BTreeMap::from([(FUNCTION, function.as_str())]);
    if let Some(place) = place {
        known.extend([(POOL, place.pool.as_str()), (ZONE, place.zone.as_str())]);
    }
    // The metrics of a directive share its sets of dimensions.
    let mut directives: BTreeMap<Vec<&[&str]>, Vec<Value>> = BTreeMap::new();
    let mut root = Map::new();
    for (metric, values) in values {
        let sets = metric.dimensions.iter().copied();
        let sets = sets.filter(|set| set.iter().all(|dimension| known.contains_key(dimension)));
        let definition = json!({ "Name": metric.name, "Unit": metric.unit.as_str() });
        directives.entry(sets.collect()).or_default().push(definition);
        let value = if let [value] = *values { json!(value) } else { json!(values) };
        root.insert(metric.name.to_owned(), value);
    }
    let used = |dimension: &str| directives.keys().flatten().any(|set| set.contains(&dimension));
    for (dimension, value) in known {
        if used(dimension) {
            root.insert(dimension.to_owned(), json!(value));
        }
    }
    let directives = directives.into_iter().map(
        |(sets, metrics)| json!({ "Namespace": NAMESPACE, "Dimensions": sets, "Metrics": metrics }),
    );
    let directives: Vec<Value> = directives.collect();
    let metadata = json!({ "Timestamp": now.as_millis(), "CloudWatchMetrics": directives });
    root.insert("_aws".to_owned(), metadata);
    Value::Object(root).to_string()
}

#[cfg(test)]
mod tests;
