//! What comes from outside is read whole or refused: events, policies and stored records with anything in them
//! replaced, removed or added. No panic, and nothing accepted that does not say what was read from it.

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Map, Value, json};
use volume_pool::event::{Event, Transition};
use volume_pool::policy::Policy;
use volume_pool::record::Record;

/// One thing done to a JSON text.
#[derive(Debug, Clone)]
enum Mutation {
    Replace(Index, Value),
    Remove(Index),
    Add(Index, String, Value),
}

fn mutations() -> impl Strategy<Value = Vec<Mutation>> {
    let one = prop_oneof![
        (any::<Index>(), anything()).prop_map(|(at, value)| Mutation::Replace(at, value)),
        any::<Index>().prop_map(Mutation::Remove),
        (any::<Index>(), "[a-zA-Z_]{1,12}", anything())
            .prop_map(|(at, key, value)| Mutation::Add(at, key, value)),
    ];
    proptest::collection::vec(one, 1..4)
}

/// A JSON value of any kind, now and then one that could stand in our texts.
fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (0..20_u32).prop_map(Value::from),
        "\\PC{0,20}".prop_map(Value::from),
        "(i|vol)-[0-9a-f]{8,17}".prop_map(Value::from),
        "/dev/(sd|xvd)[a-z]{1,2}".prop_map(Value::from),
        "[a-z]{1,8}(-[0-9]{1,12})?".prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            proptest::collection::btree_map("[a-zA-Z]{1,10}", inner, 0..3)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn mutated(mut text: Value, mutations: &[Mutation]) -> Value {
    for mutation in mutations {
        let places = paths(&text);
        match mutation {
            Mutation::Replace(at, value) => {
                *text.pointer_mut(at.get::<String>(&places)).unwrap() = value.clone();
            }
            Mutation::Remove(at) => {
                if let Some((parent, name)) = at.get(&places).rsplit_once('/') {
                    match text.pointer_mut(parent).unwrap() {
                        Value::Object(fields) => drop(fields.remove(name)),
                        Value::Array(items) => drop(items.remove(name.parse().unwrap())),
                        _ => {}
                    }
                }
            }
            Mutation::Add(at, name, value) => {
                if let Value::Object(fields) = text.pointer_mut(at.get::<String>(&places)).unwrap()
                {
                    fields.insert(name.clone(), value.clone());
                }
            }
        }
    }
    text
}

/// Every place in it, as JSON pointers, the whole first.
fn paths(text: &Value) -> Vec<String> {
    let mut all = vec![String::new()];
    let mut next = 0;
    while let Some(path) = all.get(next).cloned() {
        match text.pointer(&path).unwrap() {
            Value::Object(fields) => all.extend(fields.keys().map(|key| format!("{path}/{key}"))),
            Value::Array(items) => all.extend((0..items.len()).map(|at| format!("{path}/{at}"))),
            _ => {}
        }
        next += 1;
    }
    all
}

fn event() -> Value {
    json!({
        "version": "0", "source": "aws.autoscaling", "detail-type": "EC2 Instance-launch Lifecycle Action",
        "detail": {
            "LifecycleActionToken": "87654321-4321-4321-4321-210987654321",
            "AutoScalingGroupName": "cassandra", "LifecycleHookName": "stateful-asg-launch",
            "EC2InstanceId": "i-1234567890abcdef0", "LifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING",
            "NotificationMetadata": "{}", "Origin": "EC2", "Destination": "AutoScalingGroup"
        }
    })
}

fn policy() -> Value {
    json!({
        "version": 1, "pool": "kafka", "mode": "enforce", "maxSlotsPerZone": 3, "whenEmpty": "create",
        "waitSeconds": 600, "onTimeout": "hold", "staleAfterHours": 240,
        "leave": {"mode": "stop", "seconds": 300},
        "volumes": [
            {"name": "data", "device": "/dev/sdf", "template":
                {"type": "gp3", "sizeGiB": 100, "iops": 3000, "throughput": 125, "encrypted": true,
                    "kmsKeyId": "alias/db", "tags": {"team": "data"}}},
            {"name": "log", "device": "/dev/sdg"}
        ]
    })
}

fn records() -> Vec<Value> {
    let slot = json!({
        "id": "kafka-3", "zone": "eu-central-1a", "version": 7, "epoch": 2,
        "state": {"name": "leased", "holder": "i-1234567890abcdef0"}, "recent_holders": ["i-1234567890abcdef0"],
        "volumes": [{"name": "data", "volume": "vol-1234567890abcdef0", "device": "/dev/sdf", "origin": "adopted",
            "created_at": 1_795_000_000_000_u64}],
        "leased_at": 1_795_000_000_000_u64, "reason": "the one it held before"
    });
    let claim = json!({
        "kind": "claim", "instance": "i-1234567890abcdef0", "version": 4,
        "phase": {"name": "waiting", "place": {"pool": "kafka", "zone": "eu-central-1a"},
            "since": 1_795_000_000_000_u64},
        "policy": policy(), "guard": {"invocation": "one", "until": 1_795_000_060_000_u64}, "open": true,
        "reason": "waits", "since": 1_795_000_000_000_u64, "opened_at": 1_795_000_000_000_u64
    });
    let of_kind = |kind: &str, mut record: Value| {
        record.as_object_mut().unwrap().insert("kind".to_owned(), json!(kind));
        record
    };
    vec![
        of_kind("slot", slot.clone()),
        of_kind("free", json!({ "slot": slot })),
        claim,
        json!({"kind": "pool", "name": "kafka", "version": 9, "next_index": 4,
            "slots_per_zone": {"eu-central-1a": 2}}),
        json!({"kind": "held", "place": {"pool": "kafka", "zone": "eu-central-1a"}, "slot": "kafka-3",
            "holder": "i-1234567890abcdef0", "volumes": ["vol-1234567890abcdef0"], "amiss": false}),
    ]
}

/// What both have in common, so that a text that was read can be held against what is written of it.
fn said(text: &Value, path: &str) -> Value {
    text.pointer(path).cloned().unwrap_or(Value::Null)
}

proptest! {
    #[test]
    fn an_event_is_taken_for_ours_only_with_what_it_says(mutations in mutations()) {
        let text = mutated(event(), &mutations);
        if let Ok(Event::Lifecycle(event)) = Event::parse(&text, "stateful-asg") {
            prop_assert_eq!(said(&text, "/detail/EC2InstanceId"), json!(event.instance));
            prop_assert_eq!(said(&text, "/detail/AutoScalingGroupName"), json!(event.action.group));
            prop_assert_eq!(said(&text, "/detail/LifecycleHookName"), json!(event.action.hook));
            prop_assert_eq!(said(&text, "/detail/LifecycleActionToken"), json!(event.action.token));
            prop_assert_eq!(said(&text, "/detail/Destination"), json!(event.action.destination));
            prop_assert_eq!(said(&text, "/detail/NotificationMetadata"), json!(event.metadata));
            prop_assert_eq!(event.action.transition, Transition::Launching);
            prop_assert!(event.action.hook.to_string().starts_with("stateful-asg"));
        }
    }

    #[test]
    fn a_policy_is_understood_whole_or_refused(mutations in mutations()) {
        let text = mutated(policy(), &mutations);
        if let Ok(policy) = Policy::parse(Some(&text.to_string())) {
            let written = serde_json::to_value(&policy).unwrap();
            // Nothing that was said got lost: what is absent may only be a null, which says nothing.
            for path in paths(&text) {
                let value = text.pointer(&path).unwrap();
                let says = !(value.is_null() || value.is_object() || value.is_array());
                if says {
                    prop_assert_eq!(&said(&written, &path), value, "at {}", path);
                }
            }
            prop_assert_eq!(Policy::parse(Some(&written.to_string())), Ok(policy));
        }
    }

    #[test]
    fn an_unknown_field_of_a_policy_is_named(at in any::<Index>(), name in "x[a-z]{3,9}", value in anything()) {
        let mut text = policy();
        let objects: Vec<String> = paths(&text)
            .into_iter()
            .filter(|path| !path.ends_with("/tags") && text.pointer(path).unwrap().is_object())
            .collect();
        let fields: &mut Map<String, Value> =
            text.pointer_mut(at.get::<String>(&objects)).unwrap().as_object_mut().unwrap();
        fields.insert(name.clone(), value);
        let told = Policy::parse(Some(&text.to_string())).unwrap_err().to_string();
        prop_assert!(told.contains(&name), "{}", told);
    }

    #[test]
    fn a_record_that_is_read_is_written_as_it_was_read(which in any::<Index>(), mutations in mutations()) {
        let text = mutated(which.get(&records()).clone(), &mutations);
        if let Ok(record) = serde_json::from_value::<Record>(text) {
            let again = serde_json::from_value::<Record>(serde_json::to_value(&record).unwrap());
            prop_assert_eq!(again.unwrap(), record);
        }
    }
}

#[test]
fn the_texts_that_are_mutated_are_read_as_they_are() {
    assert!(matches!(Event::parse(&event(), "stateful-asg"), Ok(Event::Lifecycle(_))));
    assert!(Policy::parse(Some(&policy().to_string())).is_ok());
    for record in records() {
        serde_json::from_value::<Record>(record).unwrap();
    }
}
