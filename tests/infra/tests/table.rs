//! A deployed table has the keys that the functions write under, and is kept as a deployed table must be.

use infra::template::{load, resources};
use infra::{Failure, text};
use serde_json::{Value, json};

#[test]
fn the_template_and_the_definition_for_local_runs_agree() -> Result<(), Failure> {
    let definition: Value =
        serde_json::from_str(&text("functions/volume-pool-aws/src/table.json")?)?;
    let template = load("table.yaml")?;
    let (_, table) = resources(&template, "AWS::DynamoDB::Table").next().ok_or("no table")?;
    for (name, value) in definition.as_object().ok_or("no object")? {
        assert_eq!(table.get(name), Some(value), "{name}");
    }
    // An index is eventually consistent, and no lease ends by the clock.
    for never in ["GlobalSecondaryIndexes", "LocalSecondaryIndexes", "TimeToLiveSpecification"] {
        assert_eq!(table.get(never), None, "{never}");
    }
    Ok(())
}

#[test]
fn the_table_outlives_its_stack_and_can_be_restored() -> Result<(), Failure> {
    let template = load("table.yaml")?;
    let resource = template.pointer("/Resources/Table").ok_or("no table")?;
    let expected = [
        ("/DeletionPolicy", json!("Retain")),
        ("/UpdateReplacePolicy", json!("Retain")),
        ("/Properties/DeletionProtectionEnabled", json!(true)),
        ("/Properties/PointInTimeRecoverySpecification/PointInTimeRecoveryEnabled", json!(true)),
    ];
    for (at, value) in expected {
        assert_eq!(resource.pointer(at), Some(&value), "{at}");
    }
    Ok(())
}
