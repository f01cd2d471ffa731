//! `EventBridge`: the rules of callers, in AWS JSON 1.1 (Amazon EventBridge API Reference). A member that is not read here is
//! refused.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::refusal::Refusal;
use super::{Doors, read};
use crate::cloud::bus::{Rule, is_known};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct PutRule {
    name: String,
    event_pattern: String,
    #[serde(default, rename = "Tags")]
    _tags: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct PutTargets {
    rule: String,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Target {
    id: String,
    arn: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct PutEvents {
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Entry {
    source: String,
    detail_type: String,
    detail: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ListRules {
    #[serde(default)]
    name_prefix: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct RemoveTargets {
    rule: String,
    ids: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct DeleteRule {
    name: String,
}

impl Doors {
    /// Carries out an operation; gives the answer's body.
    pub(super) fn eventbridge(&self, operation: &str, content: &[u8]) -> Result<Value, Refusal> {
        let place = &self.lambda.place;
        let mut made = self.engine.router.bus.lock();
        match operation {
            "PutRule" => {
                let PutRule { name, event_pattern, .. } = read(content)?;
                let pattern = serde_json::from_str(&event_pattern).ok().filter(is_known);
                let pattern = pattern.ok_or_else(|| {
                    let message =
                        "Event pattern is not valid. Only lists of exact values are known here.";
                    Refusal::new(400, "InvalidEventPatternException", message)
                })?;
                let arn = format!("arn:aws:events:{}:{}:rule/{name}", place.region, place.account);
                let before = made.rules.remove(&name).map(|rule| rule.targets);
                let rule = Rule { arn: arn.clone(), pattern, targets: before.unwrap_or_default() };
                made.rules.insert(name, rule);
                Ok(json!({ "RuleArn": arn }))
            }
            "PutTargets" => {
                let PutTargets { rule, targets } = read(content)?;
                let found = made.rules.get_mut(&rule).ok_or_else(|| no_rule(&rule))?;
                found.targets.extend(targets.into_iter().map(|it| (it.id, it.arn)));
                Ok(json!({ "FailedEntryCount": 0, "FailedEntries": [] }))
            }
            "PutEvents" => {
                let PutEvents { entries } = read(content)?;
                // Sending takes the lock itself.
                drop(made);
                let sent = entries.into_iter().map(|entry| self.put_event(entry));
                let sent: Vec<Value> = sent.collect();
                let failed = sent.iter().filter(|it| it.get("ErrorCode").is_some()).count();
                Ok(json!({ "FailedEntryCount": failed, "Entries": sent }))
            }
            "ListRules" => {
                let ListRules { name_prefix } = read(content)?;
                let rules = made.rules.iter().filter(|(name, _)| name.starts_with(&name_prefix));
                let rules = rules.map(|(name, rule)| json!({ "Name": name, "Arn": rule.arn }));
                Ok(json!({ "Rules": rules.collect::<Vec<_>>() }))
            }
            "RemoveTargets" => {
                let RemoveTargets { rule, ids } = read(content)?;
                let found = made.rules.get_mut(&rule).ok_or_else(|| no_rule(&rule))?;
                found.targets.retain(|id, _| !ids.contains(id));
                Ok(json!({ "FailedEntryCount": 0, "FailedEntries": [] }))
            }
            "DeleteRule" => {
                let DeleteRule { name } = read(content)?;
                if made.rules.get(&name).is_some_and(|rule| !rule.targets.is_empty()) {
                    let message = "Rule can't be deleted since it has targets.";
                    return Err(Refusal::new(400, "ValidationException", message));
                }
                made.rules.remove(&name);
                Ok(json!({}))
            }
            unknown => Err(Refusal::unknown_operation(unknown)),
        }
    }

    fn put_event(&self, entry: Entry) -> Value {
        let Entry { source, detail_type, detail } = entry;
        if source.starts_with("aws.") {
            return json!({ "ErrorCode": "NotAuthorizedForSourceException", "ErrorMessage": "Not authorized for the source." });
        }
        let detail: BTreeMap<String, Value> = match serde_json::from_str(&detail) {
            Ok(detail) => detail,
            Err(_) => {
                return json!({ "ErrorCode": "MalformedDetail", "ErrorMessage": "Detail is malformed." });
            }
        };
        let (id, place) = (self.lambda.unique_id(), &self.lambda.place);
        self.engine.router.bus.route(&json!({
            "version": "0", "id": id, "detail-type": detail_type, "source": source, "account": place.account,
            "time": self.engine.now().to_string(), "region": place.region, "resources": [], "detail": detail,
        }));
        json!({ "EventId": id })
    }
}

fn no_rule(name: &str) -> Refusal {
    let message = format!("Rule {name} does not exist on EventBus default.");
    Refusal::new(400, "ResourceNotFoundException", message)
}
