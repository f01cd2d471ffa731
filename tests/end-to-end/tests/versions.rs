//! Upgrade and rollback: functions of neighbouring schema numbers take turns on one table. The neighbour is played here: at
//! every turn of the story it writes anew what it finds, as a function of the next number would (with fields that this version
//! does not know), or of the one before (without those that this version has added). Nobody may be left waiting for it.

#[allow(dead_code, reason = "each test takes what it needs of it")]
mod shared;

use std::collections::HashMap;
use std::pin::pin;

use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::future::{Either, select};
use local_cloud::cloud::Notice;
use tokio::sync::broadcast::error::RecvError;
use volume_pool::record::SCHEMA;

use shared::group::{ZONE, members};
use shared::trial::{TABLE, Trial, options};
use shared::{Failure, checks, ensure, same};

type Item = HashMap<String, AttributeValue>;

/// Slots are created, so that plans and templates are on record too.
const POLICY: &str = r#"{"pool":"cassandra","staleAfterHours":9,"volumes":[{"name":"data","device":"/dev/sdf","template":{"type":"gp3","sizeGiB":10,"tags":{"team":"data"}}}]}"#;
/// Maps whose keys are names and not fields: a field that is added to a record does not turn up in them.
const NAMED: [&str; 3] = ["slots_per_zone", "abandons", "tags"];
/// What a version before this one may leave out: it is read by a default where it is missing.
const OPTIONAL: [&str; 5] = ["format", "attended_at", "amiss", "stale_after_hours", "last_slot"];

/// A version beside the functions' own.
struct Neighbour {
    schema: u32,
    rewrite: fn(&mut Item),
}

/// A field that nobody here knows, in every map of the record.
fn add(record: &mut Item) {
    for (_, value) in record.iter_mut().filter(|(name, _)| !NAMED.contains(&name.as_str())) {
        match value {
            AttributeValue::M(map) => add(map),
            AttributeValue::L(list) => list.iter_mut().for_each(|item| {
                if let AttributeValue::M(map) = item {
                    add(map);
                }
            }),
            _ => {}
        }
    }
    record.insert("novelty".to_owned(), AttributeValue::S("of the next version".to_owned()));
}

fn leave_out(record: &mut Item) {
    record.retain(|name, _| !OPTIONAL.contains(&name.as_str()));
    for value in record.values_mut() {
        if let AttributeValue::M(map) = value {
            leave_out(map);
        }
    }
}

impl Neighbour {
    /// Writes each record anew that the functions have written, unless they are faster to write it again. Gives how many.
    async fn take_turn(&self, trial: &Trial) -> Result<usize, Failure> {
        let database = &trial.account.dynamodb;
        let scan = database.scan().table_name(TABLE).consistent_read(true).send().await?;
        let mut written = 0;
        for item in scan.items.unwrap_or_default() {
            let schema = AttributeValue::N(self.schema.to_string());
            let before = item.get("record").ok_or("an item holds no record")?;
            if item.get("schema") == Some(&schema) {
                continue;
            }
            let mut record = before.as_m().map_err(|_| "a record is no map")?.clone();
            (self.rewrite)(&mut record);
            let update = database.update_item().table_name(TABLE);
            let update = ["pk", "sk"].into_iter().fold(update, |update, key| {
                update.key(key, item.get(key).cloned().unwrap_or(AttributeValue::Null(true)))
            });
            let answer = update
                .update_expression("SET #record = :record, #schema = :schema")
                .condition_expression("#record = :before")
                .expression_attribute_names("#record", "record")
                .expression_attribute_names("#schema", "schema")
                .expression_attribute_values(":record", AttributeValue::M(record))
                .expression_attribute_values(":before", before.clone())
                .expression_attribute_values(":schema", schema)
                .send()
                .await;
            match answer.map_err(aws_sdk_dynamodb::Error::from) {
                Ok(_) => written += 1,
                Err(aws_sdk_dynamodb::Error::ConditionalCheckFailedException(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(written)
    }

    /// Takes a turn whenever something happens in the world, until the story has ended. Gives how often it wrote.
    async fn beside(
        &self,
        trial: &Trial,
        story: impl Future<Output = Result<(), Failure>>,
    ) -> Result<usize, Failure> {
        let mut heard = trial.cloud.subscribe();
        let mut story = pin!(story);
        let mut written = 0;
        loop {
            let turn = async {
                loop {
                    match heard.recv().await {
                        Ok(Notice::Happening(_)) | Err(RecvError::Lagged(_)) => {
                            return self.take_turn(trial).await;
                        }
                        Ok(_) => {}
                        Err(RecvError::Closed) => return Err("the cloud is gone".into()),
                    }
                }
            };
            match select(story, pin!(turn)).await {
                Either::Left((told, _)) => return told.map(|()| written),
                Either::Right((turn, rest)) => {
                    written += turn?;
                    story = rest;
                }
            }
        }
    }

    /// A group comes up on volumes created for it, loses two nodes, and is emptied, with the neighbour at work all the while.
    async fn shares_a_table(&self) -> Result<(), Failure> {
        Trial::tell(options()?, async |trial: &Trial| {
            let story = async {
                trial.group(2, &[ZONE], POLICY).await?;
                trial.in_service(2, None).await?;
                let before = checks::pairs(&trial.records().await?);
                trial.replace_one().await?;
                trial.replace_one().await?;
                same("slots", &checks::pairs(&trial.records().await?), &before)?;
                trial.want(0).await?;
                trial.wait("the group to be empty", |world| members(world).is_empty()).await?;
                trial.settle().await
            };
            let written = self.beside(trial, story).await?;
            ensure(written > 20, || format!("the neighbour wrote {written} records only"))?;
            let answers = trial.answers()?;
            let count = |answer: &str| answers.iter().filter(|it| *it == answer).count();
            same("launches", &count("stateful-asg-launch CONTINUE"), &4)?;
            same("terminations", &count("stateful-asg-terminate CONTINUE"), &4)?;
            same("answers", &answers.len(), &8)?;
            // What it has written is read to the end, and all of it.
            self.take_turn(trial).await?;
            trial.cli_does(&["status"]).await?;
            let slots = checks::slots(&trial.records().await?);
            ensure(slots.len() == 2 && slots.iter().all(|slot| slot.holder().is_none()), || {
                format!("slots are left held: {slots:?}")
            })
        })
        .await
    }
}

#[tokio::test]
async fn every_action_is_answered_beside_functions_of_the_next_schema_number() -> Result<(), Failure>
{
    Neighbour { schema: SCHEMA + 1, rewrite: add }.shares_a_table().await
}

#[tokio::test]
async fn every_action_is_answered_beside_functions_of_the_last_schema_number() -> Result<(), Failure>
{
    Neighbour { schema: SCHEMA - 1, rewrite: leave_out }.shares_a_table().await
}

/// Records of a number further away are left alone, and nothing is answered by them; nor is anything lost.
#[tokio::test]
async fn what_hangs_on_records_of_a_distant_schema_number_waits_until_they_can_be_read()
-> Result<(), Failure> {
    let distant = Neighbour { schema: SCHEMA + 2, rewrite: add };
    let back = Neighbour { schema: SCHEMA, rewrite: |_| {} };
    Trial::tell(options()?, async |trial: &Trial| {
        trial.group(1, &[ZONE], POLICY).await?;
        trial.in_service(1, None).await?;
        let held = trial.held().await?;
        distant.take_turn(trial).await?;
        let status = trial.cli(&["status"]).await?;
        same("exit code", &status.code, &1)?;
        let says = "use the version of stateful-asg that the functions have";
        ensure(status.stderr.contains(says), || status.stderr.clone())?;

        let failed = trial.fail_one()?;
        let hook = |texts: &[String]| texts.iter().any(|text| text.contains("has schema 3"));
        trial
            .wait("the functions to say what they can't read", |_| {
                let lines = trial.lines().unwrap_or_default();
                hook(&lines.into_iter().map(|line| line.text).collect::<Vec<_>>())
            })
            .await?;
        same("answers so far", &trial.answers()?.len(), &1)?;
        back.take_turn(trial).await?;
        trial.in_service(1, Some(&failed)).await?;
        let again = trial.held().await?;
        let volumes = |held: &std::collections::BTreeMap<String, (Vec<String>, String)>| {
            held.values().map(|(volumes, _)| volumes.clone()).collect::<Vec<_>>()
        };
        same("volumes", &volumes(&again), &volumes(&held))
    })
    .await
}
