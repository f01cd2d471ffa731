//! What CloudWatch Logs takes out of a log line for CloudWatch: the embedded metric format (Amazon CloudWatch User Guide,
//! "Specification: Embedded metric format"). CloudWatch drops without a word what it can't read, so everything that the
//! specification forbids is an error here.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use volume_pool::Timestamp;

/// Values of one metric under one set of dimensions.
#[derive(Debug, Clone, PartialEq)]
pub struct Datum {
    /// When it was measured.
    pub at: Timestamp,
    /// The namespace.
    pub namespace: String,
    /// The metric's name.
    pub name: String,
    /// Its unit.
    pub unit: String,
    /// Its dimensions.
    pub dimensions: BTreeMap<String, String>,
    /// The values.
    pub values: Vec<f64>,
}

/// What is wrong with a line, in words.
type Problem = String;

/// The units of `MetricDatum` that the functions may use.
const UNITS: [&str; 5] = ["Count", "Milliseconds", "Seconds", "Bytes", "None"];
/// How long a name or the value of a dimension may be.
const LONGEST: usize = 1024;
const MOST_DIMENSIONS: usize = 30;
const MOST_METRICS: usize = 100;
const MOST_VALUES: usize = 100;

/// The metrics in a line; none where it is not in the format.
pub fn extract(line: &str) -> Result<Vec<Datum>, Problem> {
    let Ok(Value::Object(root)) = serde_json::from_str::<Value>(line) else {
        return Ok(Vec::new());
    };
    let Some(metadata) = root.get("_aws") else {
        return Ok(Vec::new());
    };
    let metadata = object(metadata, "_aws", &["Timestamp", "CloudWatchMetrics"])?;
    let at = metadata.get("Timestamp").and_then(Value::as_u64).map(Timestamp::from_millis);
    let at = at.ok_or("_aws.Timestamp is no number of milliseconds")?;
    let mut data = Vec::new();
    for directive in array(metadata, "CloudWatchMetrics")? {
        let directive = object(directive, "a directive", &["Namespace", "Dimensions", "Metrics"])?;
        let namespace = text(directive.get("Namespace"), "Namespace")?;
        let metrics = array(directive, "Metrics")?;
        if metrics.is_empty() || metrics.len() > MOST_METRICS {
            return Err(format!("{} metrics in a directive", metrics.len()));
        }
        let sets = array(directive, "Dimensions")?;
        if sets.is_empty() {
            return Err("a directive without a set of dimensions".to_owned());
        }
        for set in sets {
            let dimensions = dimensions(set, &root)?;
            for metric in metrics {
                let (name, unit, values) = metric_of(metric, &root)?;
                data.push(Datum {
                    at,
                    namespace: namespace.to_owned(),
                    name: name.to_owned(),
                    unit: unit.to_owned(),
                    dimensions: dimensions.clone(),
                    values,
                });
            }
        }
    }
    Ok(data)
}

fn dimensions(set: &Value, root: &Map<String, Value>) -> Result<BTreeMap<String, String>, Problem> {
    let names = set.as_array().ok_or("a set of dimensions is no array")?;
    if names.len() > MOST_DIMENSIONS {
        return Err(format!("{} dimensions in a set", names.len()));
    }
    let pairs = names.iter().map(|name| {
        let name = text(Some(name), "the name of a dimension")?;
        Ok((name.to_owned(), text(root.get(name), name)?.to_owned()))
    });
    pairs.collect()
}

fn metric_of<'a>(
    metric: &'a Value,
    root: &Map<String, Value>,
) -> Result<(&'a str, &'a str, Vec<f64>), Problem> {
    let metric = object(metric, "a metric", &["Name", "Unit", "StorageResolution"])?;
    let name = text(metric.get("Name"), "Name")?;
    let unit = text(metric.get("Unit"), "Unit")?;
    if !UNITS.contains(&unit) {
        return Err(format!("{name} has the unit {unit}"));
    }
    let target = root.get(name).ok_or_else(|| format!("{name} has no value"))?;
    let values = target.as_array().map_or(std::slice::from_ref(target), Vec::as_slice);
    if values.is_empty() || values.len() > MOST_VALUES {
        return Err(format!("{} values of {name}", values.len()));
    }
    let numbers: Option<Vec<f64>> = values.iter().map(Value::as_f64).collect();
    Ok((name, unit, numbers.ok_or_else(|| format!("{name} is no number: {target}"))?))
}

fn object<'a>(
    value: &'a Value,
    what: &str,
    members: &[&str],
) -> Result<&'a Map<String, Value>, Problem> {
    let object = value.as_object().ok_or_else(|| format!("{what} is no object"))?;
    match object.keys().find(|name| !members.contains(&name.as_str())) {
        Some(name) => Err(format!("{what} has a member {name}")),
        None => Ok(object),
    }
}

fn array<'a>(object: &'a Map<String, Value>, name: &str) -> Result<&'a Vec<Value>, Problem> {
    object.get(name).and_then(Value::as_array).ok_or_else(|| format!("{name} is no array"))
}

fn text<'a>(value: Option<&'a Value>, what: &str) -> Result<&'a str, Problem> {
    let text = value.and_then(Value::as_str).ok_or_else(|| format!("{what} is no text"))?;
    if text.is_empty() || text.len() > LONGEST {
        return Err(format!("{what} is {} long", text.len()));
    }
    Ok(text)
}
