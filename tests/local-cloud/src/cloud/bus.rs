//! Rules and queues that callers make, as far as it takes to see what events there are: a rule of `EventBridge` sends what
//! matches it to queues of SQS, from which it is received. The rules of the deployment are not among them; its dead-letter queues
//! are, and stay empty: what the functions failed at is kept by the runtime (`Cloud::dead_letters`).

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use crate::lambda::Place;

/// Everything that callers have made.
#[derive(Debug, Default)]
pub(crate) struct Bus {
    made: Mutex<Made>,
}

/// What there is, by name.
#[derive(Debug, Default)]
pub(crate) struct Made {
    pub(crate) rules: BTreeMap<String, Rule>,
    pub(crate) queues: BTreeMap<String, Queue>,
}

/// A rule.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) arn: String,
    pub(crate) pattern: Value,
    /// The ARNs of the queues that it sends to, by the names that they have in the rule.
    pub(crate) targets: BTreeMap<String, String>,
}

/// A queue.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) arn: String,
    /// Its policy: who may send to it.
    pub(crate) policy: Value,
    /// What nobody has received yet. What was received does not come back, however long it is left undeleted.
    pub(crate) messages: Vec<String>,
}

impl Bus {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Made> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends an event wherever a rule wants it.
    pub(crate) fn route(&self, event: &Value) {
        let Made { rules, queues } = &mut *self.lock();
        for rule in rules.values().filter(|rule| matches(&rule.pattern, event)) {
            let wanted = |queue: &&mut Queue| {
                rule.targets.values().any(|it| *it == queue.arn) && queue.takes_from(&rule.arn)
            };
            for queue in queues.values_mut().filter(wanted) {
                queue.messages.push(event.to_string());
            }
        }
    }
}

impl Made {
    /// Makes a queue, in the place of one of the same name.
    pub(crate) fn create_queue(&mut self, place: &Place, name: String, policy: Value) {
        let arn = format!("arn:aws:sqs:{}:{}:{name}", place.region, place.account);
        self.queues.insert(name, Queue { arn, policy, messages: Vec::new() });
    }
}

impl Queue {
    /// Whether its policy lets a rule send to it; what it does not let in is lost (Amazon EventBridge User Guide, "Using
    /// resource-based policies for Amazon EventBridge", permissions of Amazon SQS).
    fn takes_from(&self, rule: &str) -> bool {
        let statements = self.policy["Statement"].as_array().into_iter().flatten();
        statements.into_iter().any(|it| {
            it["Effect"] == "Allow"
                && it["Principal"]["Service"] == "events.amazonaws.com"
                && it["Action"] == "sqs:SendMessage"
                && it["Condition"]["ArnEquals"]["aws:SourceArn"] == rule
        })
    }
}

/// Whether a pattern matches: every field that it names is there, with one of the values that it lists (Amazon EventBridge
/// User Guide, "Creating Amazon EventBridge event patterns"). Lists of exact values are all that is known here.
fn matches(pattern: &Value, event: &Value) -> bool {
    match pattern {
        Value::Object(fields) => fields
            .iter()
            .all(|(name, wanted)| event.get(name).is_some_and(|it| matches(wanted, it))),
        Value::Array(values) => values.contains(event),
        _ => false,
    }
}

/// Whether a pattern has only what is known here.
pub(crate) fn is_known(pattern: &Value) -> bool {
    match pattern {
        Value::Object(fields) => fields.values().all(is_known),
        Value::Array(values) => values.iter().all(|it| !it.is_object() && !it.is_array()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pattern_matches_by_every_field_that_it_names_and_any_value_that_it_lists() {
        let event = json!({ "source": "us", "detail": { "group": "a", "hook": "join" } });
        for (pattern, expected) in [
            (json!({ "detail": { "group": ["a"] } }), true),
            (json!({ "detail": { "group": ["b", "a"] }, "source": ["us"] }), true),
            (json!({ "detail": { "group": ["a"] }, "source": ["them"] }), false),
            (json!({ "detail": { "zone": ["a"] } }), false),
            (json!({ "detail": { "group": "a" } }), false),
        ] {
            assert_eq!(matches(&pattern, &event), expected, "{pattern}");
        }
        assert!(is_known(&json!({ "detail": { "group": ["a"] } })));
        assert!(!is_known(&json!({ "detail": { "group": [{ "prefix": "a" }] } })));
        assert!(!is_known(&json!({ "detail": "a" })));
    }

    #[test]
    fn a_rule_reaches_only_the_queues_that_it_names_and_that_let_it_in() {
        let bus = Bus::default();
        let policy = json!({ "Statement": [{
            "Effect": "Allow", "Principal": { "Service": "events.amazonaws.com" }, "Action": "sqs:SendMessage",
            "Condition": { "ArnEquals": { "aws:SourceArn": "rule" } },
        }] });
        let queue = |arn: &str, policy: &Value| Queue {
            arn: arn.to_owned(),
            policy: policy.clone(),
            messages: Vec::new(),
        };
        for (name, policy) in [("open", &policy), ("closed", &Value::Null), ("other", &policy)] {
            bus.lock().queues.insert(name.to_owned(), queue(name, policy));
        }
        let targets = ["open", "closed"].map(|name| (name.to_owned(), name.to_owned()));
        let pattern = json!({ "source": ["us"] });
        let rule = Rule { arn: "rule".to_owned(), pattern, targets: targets.into() };
        bus.lock().rules.insert("rule".to_owned(), rule);
        bus.route(&json!({ "source": "us" }));
        bus.route(&json!({ "source": "them" }));
        let made = bus.lock();
        let sent = made.queues.iter().map(|(name, it)| (name.as_str(), it.messages.len()));
        assert_eq!(sent.collect::<Vec<_>>(), [("closed", 0), ("open", 1), ("other", 0)]);
    }
}
