//! The alarms of `watch.yaml`, and the state that CloudWatch would give them over the values of a run.
//!
//! Evaluated as the `CloudWatch` User Guide has it: "Using Amazon CloudWatch alarms" ("Evaluating an alarm"), "Configuring how
//! CloudWatch alarms treat missing data" (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html>),
//! and "Metrics Insights query components and syntax". An alarm with a property that is not known here is an error: a guess
//! would prove nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use crate::Failure;
use crate::template::resources;

/// How many periods beyond those of an alarm `CloudWatch` looks back for real data points before it fills in missing ones. The
/// guide's own example is five for an alarm over three; it says that the number depends on the period and the metric's
/// resolution, and no more.
const LOOKS_FURTHER_BACK: usize = 2;

/// A value of a metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Emitted {
    /// The metric's namespace.
    pub namespace: String,
    /// Its name.
    pub metric: String,
    /// The dimensions that the value belongs to.
    pub dimensions: BTreeMap<String, String>,
    /// When it was measured, since the time from which on the alarms are looked at.
    pub at: Duration,
    /// The value.
    pub value: f64,
}

/// What an alarm shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nobody is needed.
    Ok,
    /// It fires.
    Alarm,
}

/// How the values of a period come to one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statistic {
    /// Their sum.
    Sum,
    /// The highest.
    Maximum,
    /// The lowest.
    Minimum,
}

/// A query of Metrics Insights, as in `SELECT SUM(Waiters) FROM SCHEMA("StatefulAsg", "Pool", "Zone") GROUP BY Pool`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// How values come to one: those of a period, and those of all series.
    pub statistic: Statistic,
    /// The metric's name.
    pub metric: String,
    /// Its namespace.
    pub namespace: String,
    /// The dimensions that the series have, these and no others.
    pub schema: Vec<String>,
    /// The dimensions by which there is a result each.
    pub grouped_by: Vec<String>,
}

/// What an alarm looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// One series.
    Metric {
        /// Its namespace.
        namespace: String,
        /// Its metric.
        metric: String,
        /// Its dimensions.
        dimensions: BTreeMap<String, String>,
        /// How the values of a period come to one.
        statistic: Statistic,
    },
    /// All series that a query finds.
    Query(Query),
}

/// An alarm, in a deployment with given parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct Alarm {
    /// Its name in the template.
    pub name: String,
    /// What it looks at.
    pub source: Source,
    period: Duration,
    threshold: f64,
    breaches: Comparison,
    periods: usize,
    datapoints: usize,
    missing_breaches: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Greater,
    Less,
}

/// The alarms of a template, deployed with these parameters; with their defaults where none is given.
pub fn alarms(template: &Value, parameters: &[(&str, &str)]) -> Result<Vec<Alarm>, Failure> {
    let deployed = Deployed { template, parameters };
    let alarms = resources(template, "AWS::CloudWatch::Alarm");
    let alarms = alarms.map(|(name, alarm)| {
        deployed.alarm(name, alarm).map_err(|problem| format!("{name}: {problem}").into())
    });
    alarms.collect()
}

impl Alarm {
    /// Its state at the end of each period until `until`, oldest first.
    pub fn states(&self, emitted: &[Emitted], until: Duration) -> Vec<State> {
        let periods = until.as_nanos() / self.period.as_nanos().max(1);
        let mut points = Vec::new();
        let mut states = Vec::new();
        for period in 0..periods {
            points.push(self.point(emitted, period));
            states.push(self.state(&points));
        }
        states
    }

    /// The one value of a period, if there is one.
    fn point(&self, emitted: &[Emitted], period: u128) -> Option<f64> {
        let values = emitted.iter().filter(|it| self.sees(it));
        let values = values.filter(|it| it.at.as_nanos() / self.period.as_nanos().max(1) == period);
        self.statistic().of(values.map(|it| it.value))
    }

    fn sees(&self, emitted: &Emitted) -> bool {
        match &self.source {
            Source::Metric { namespace, metric, dimensions, .. } => {
                (namespace, metric, dimensions)
                    == (&emitted.namespace, &emitted.metric, &emitted.dimensions)
            }
            Source::Query(query) => {
                let schema: BTreeSet<&String> = query.schema.iter().collect();
                (&query.namespace, &query.metric) == (&emitted.namespace, &emitted.metric)
                    && emitted.dimensions.keys().eq(schema)
            }
        }
    }

    fn statistic(&self) -> Statistic {
        match &self.source {
            Source::Metric { statistic, .. } => *statistic,
            Source::Query(query) => query.statistic,
        }
    }

    /// The state by the data points so far: as many real ones as the alarm has periods are enough, however far back in its range;
    /// what lacks then is filled in.
    fn state(&self, points: &[Option<f64>]) -> State {
        let range = points.len().saturating_sub(self.periods + LOOKS_FURTHER_BACK);
        let real = points.iter().skip(range).flatten();
        let newest: Vec<&f64> = real.rev().take(self.periods).collect();
        let filled = if self.missing_breaches { self.periods - newest.len() } else { 0 };
        let breaching = newest.into_iter().filter(|value| self.is_breached_by(**value)).count();
        if breaching + filled >= self.datapoints { State::Alarm } else { State::Ok }
    }

    fn is_breached_by(&self, value: f64) -> bool {
        match self.breaches {
            Comparison::Greater => value > self.threshold,
            Comparison::Less => value < self.threshold,
        }
    }
}

impl Statistic {
    fn of(self, values: impl Iterator<Item = f64>) -> Option<f64> {
        values.reduce(match self {
            Self::Sum => |a, b| a + b,
            Self::Maximum => f64::max,
            Self::Minimum => f64::min,
        })
    }
}

impl Query {
    /// Reads a query; an error where it is of any other form than those in use.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let wrong = || format!("not a query that is known here: {text}");
        let (function, rest) =
            text.strip_prefix("SELECT ").and_then(|rest| rest.split_once('(')).ok_or_else(wrong)?;
        let statistic = match function {
            "SUM" => Statistic::Sum,
            "MAX" => Statistic::Maximum,
            "MIN" => Statistic::Minimum,
            _ => return Err(wrong().into()),
        };
        let (metric, rest) = rest.split_once(") FROM SCHEMA(").ok_or_else(wrong)?;
        let (schema, rest) = rest.split_once(')').ok_or_else(wrong)?;
        let mut schema = schema.split(", ").map(|name| name.trim_matches('"').to_owned());
        let namespace = schema.next().ok_or_else(wrong)?;
        let schema: Vec<String> = schema.collect();
        let grouped_by: Vec<String> = match rest.strip_prefix(" GROUP BY ") {
            Some(names) => names.split(", ").map(str::to_owned).collect(),
            None if rest.is_empty() => Vec::new(),
            None => return Err(wrong().into()),
        };
        if !grouped_by.iter().all(|name| schema.contains(name)) {
            return Err(format!("grouped by what is no dimension: {text}").into());
        }
        Ok(Self { statistic, metric: metric.to_owned(), namespace, schema, grouped_by })
    }
}

/// A template with the parameters of a deployment.
struct Deployed<'a> {
    template: &'a Value,
    parameters: &'a [(&'a str, &'a str)],
}

impl Deployed<'_> {
    fn alarm(&self, name: &str, alarm: &Value) -> Result<Alarm, Failure> {
        const KNOWN: [&str; 15] = [
            "AlarmActions",
            "AlarmDescription",
            "AlarmName",
            "ComparisonOperator",
            "DatapointsToAlarm",
            "Dimensions",
            "EvaluationPeriods",
            "MetricName",
            "Metrics",
            "Namespace",
            "OKActions",
            "Period",
            "Statistic",
            "Threshold",
            "TreatMissingData",
        ];
        let properties = alarm.as_object().ok_or("it has no properties")?;
        if let Some(unknown) = properties.keys().find(|name| !KNOWN.contains(&name.as_str())) {
            return Err(format!("{unknown} is not known here").into());
        }
        let (source, period) = match alarm.get("Metrics") {
            Some(metrics) => Self::query(metrics)?,
            None => self.metric(alarm)?,
        };
        let periods = whole(alarm.get("EvaluationPeriods"), "EvaluationPeriods")?;
        let datapoints = match alarm.get("DatapointsToAlarm") {
            Some(datapoints) => whole(Some(datapoints), "DatapointsToAlarm")?,
            None => periods,
        };
        let breaches = match alarm["ComparisonOperator"].as_str() {
            Some("GreaterThanThreshold") => Comparison::Greater,
            Some("LessThanThreshold") => Comparison::Less,
            other => return Err(format!("the comparison {other:?} is not known here").into()),
        };
        let missing_breaches = match alarm["TreatMissingData"].as_str() {
            Some("breaching") => true,
            Some("notBreaching") => false,
            other => return Err(format!("missing data as {other:?} is not known here").into()),
        };
        Ok(Alarm {
            name: name.to_owned(),
            source,
            period,
            threshold: self.text(&alarm["Threshold"])?.parse()?,
            breaches,
            periods: usize::try_from(periods)?,
            datapoints: usize::try_from(datapoints)?,
            missing_breaches,
        })
    }

    fn query(metrics: &Value) -> Result<(Source, Duration), Failure> {
        let [metric] = metrics.as_array().map(Vec::as_slice).unwrap_or_default() else {
            return Err("more than one query".into());
        };
        let query = Query::parse(metric["Expression"].as_str().unwrap_or_default())?;
        if !query.grouped_by.is_empty() {
            return Err("a query with several results is not known here".into());
        }
        let period = Duration::from_secs(whole(metric.get("Period"), "Period")?);
        Ok((Source::Query(query), period))
    }

    fn metric(&self, alarm: &Value) -> Result<(Source, Duration), Failure> {
        let statistic = match alarm["Statistic"].as_str() {
            Some("Sum") => Statistic::Sum,
            Some("Maximum") => Statistic::Maximum,
            other => return Err(format!("the statistic {other:?} is not known here").into()),
        };
        let dimensions = alarm["Dimensions"].as_array().into_iter().flatten();
        let dimensions = dimensions
            .map(|dimension| Ok((self.text(&dimension["Name"])?, self.text(&dimension["Value"])?)));
        let source = Source::Metric {
            namespace: self.text(&alarm["Namespace"])?,
            metric: self.text(&alarm["MetricName"])?,
            dimensions: dimensions.collect::<Result<_, Failure>>()?,
            statistic,
        };
        Ok((source, Duration::from_secs(whole(alarm.get("Period"), "Period")?)))
    }

    /// A text or number, with its parameters put in.
    fn text(&self, value: &Value) -> Result<String, Failure> {
        match value {
            Value::String(text) => Ok(text.clone()),
            Value::Number(number) => Ok(number.to_string()),
            Value::Object(function) => match (function.get("Ref"), function.get("Fn::Sub")) {
                (Some(Value::String(name)), None) => self.parameter(name),
                (None, Some(Value::String(text))) => {
                    let mut parts = text.split("${");
                    let mut text = parts.next().unwrap_or_default().to_owned();
                    for part in parts {
                        let (name, rest) =
                            part.split_once('}').ok_or_else(|| format!("not closed: {part}"))?;
                        text.push_str(&self.parameter(name)?);
                        text.push_str(rest);
                    }
                    Ok(text)
                }
                _ => Err(format!("{value} is not known here").into()),
            },
            _ => Err(format!("{value} is no text").into()),
        }
    }

    fn parameter(&self, name: &str) -> Result<String, Failure> {
        if let Some((_, value)) = self.parameters.iter().find(|(known, _)| *known == name) {
            return Ok((*value).to_owned());
        }
        match &self.template["Parameters"][name]["Default"] {
            Value::String(text) => Ok(text.clone()),
            Value::Number(number) => Ok(number.to_string()),
            _ => Err(format!("no parameter {name}, or one without a default").into()),
        }
    }
}

fn whole(value: Option<&Value>, what: &str) -> Result<u64, Failure> {
    value.and_then(Value::as_u64).ok_or_else(|| format!("{what} is no whole number").into())
}
