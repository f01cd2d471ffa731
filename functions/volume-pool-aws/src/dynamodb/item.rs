//! How a record lies in the table: its key, its schema and version beside it where conditions can reach them, and
//! the record itself as one map. A claim's item holds one attribute more, [`POKED`], which belongs to those who poke
//! and which no write of a claim touches.

use std::collections::HashMap;

use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::types::{
    AttributeValue, Delete, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
};
use serde_dynamo::aws_sdk_dynamodb_1::{from_attribute_value, to_attribute_value};
use volume_pool::ports::PortError;
use volume_pool::record::{Key, Record, SCHEMA};
use volume_pool::transition::{Expect, Write};

use crate::table::{PARTITION_KEY, SORT_KEY};

/// Whether someone asked the claim's guard to look again; boolean.
pub(super) const POKED: &str = "poked";

/// The record; a map.
pub(super) const RECORD: &str = "record";

/// The layout that the record is written in; a number.
const SCHEMA_NUMBER: &str = "schema";

/// The record's version; a number.
const VERSION: &str = "version";

/// An item as the SDK gives it.
pub(super) type Item = HashMap<String, AttributeValue>;

/// The key attributes of a record.
pub(super) fn key(key: &Key) -> Item {
    HashMap::from([
        (PARTITION_KEY.to_owned(), AttributeValue::S(key.partition())),
        (SORT_KEY.to_owned(), AttributeValue::S(key.sort())),
    ])
}

/// One write of a transaction.
pub(super) fn write(table: &str, write: &Write) -> Result<TransactWriteItem, PortError> {
    let item = TransactWriteItem::builder();
    match write {
        Write::Put(record, expect) => {
            Ok(item.update(put(table, record, *expect).map_err(unwritable(&record.key()))?).build())
        }
        Write::Delete(at) => {
            let delete = Delete::builder().table_name(table).set_key(Some(key(at))).build();
            Ok(item.delete(delete.map_err(|error| unwritable(at)(error.into()))?).build())
        }
    }
}

/// The record of an item. One that is not in a layout that this version knows, or not what its own attributes say,
/// is left alone.
pub(super) fn record(item: &Item) -> Result<Record, PortError> {
    let unreadable = |problem: String| PortError::Unreadable { key: place(item), problem };
    let schema = number(item, SCHEMA_NUMBER).map_err(&unreadable)?;
    if schema.abs_diff(u64::from(SCHEMA)) > 1 {
        return Err(unreadable(format!("has schema {schema}, this version writes {SCHEMA}")));
    }
    let value = item.get(RECORD).ok_or_else(|| unreadable(format!("{RECORD} is missing")))?;
    let record: Record =
        from_attribute_value(value.clone()).map_err(|error| unreadable(error.to_string()))?;
    let version = number(item, VERSION).map_err(&unreadable)?;
    if version != record.version() {
        return Err(unreadable(format!(
            "its attribute says version {version}, its record {}",
            record.version()
        )));
    }
    if !key(&record.key()).iter().all(|(name, value)| item.get(name) == Some(value)) {
        return Err(unreadable(format!("holds the record of {}", name(&record.key()))));
    }
    Ok(record)
}

/// An update and not a put, so that [`POKED`] stays as it is.
fn put(table: &str, record: &Record, expect: Expect) -> Result<Update, WriteError> {
    let number = |number: u64| AttributeValue::N(number.to_string());
    let update = Update::builder()
        .table_name(table)
        .set_key(Some(key(&record.key())))
        .update_expression("SET #schema = :schema, #version = :version, #record = :record")
        .expression_attribute_names("#schema", SCHEMA_NUMBER)
        .expression_attribute_names("#version", VERSION)
        .expression_attribute_names("#record", RECORD)
        .expression_attribute_values(":schema", number(SCHEMA.into()))
        .expression_attribute_values(":version", number(record.version()))
        .expression_attribute_values(":record", to_attribute_value(record)?)
        // The item as it is tells a retry from a conflict.
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
    let update = match expect {
        Expect::Absent => update
            .condition_expression("attribute_not_exists(#pk)")
            .expression_attribute_names("#pk", PARTITION_KEY),
        Expect::Version(version) => update
            .condition_expression("#version = :expected")
            .expression_attribute_values(":expected", number(version)),
        Expect::Unpoked(version) => update
            .condition_expression(
                "#version = :expected AND (attribute_not_exists(#poked) OR #poked = :unpoked)",
            )
            .expression_attribute_names("#poked", POKED)
            .expression_attribute_values(":expected", number(version))
            .expression_attribute_values(":unpoked", AttributeValue::Bool(false)),
        Expect::Mark => update,
    };
    Ok(update.build()?)
}

/// Why a record can't be written.
#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error(transparent)]
    Encode(#[from] serde_dynamo::Error),
    #[error(transparent)]
    Build(#[from] BuildError),
}

fn unwritable(key: &Key) -> impl FnOnce(WriteError) -> PortError {
    let key = name(key);
    move |error| PortError::Denied {
        call: "dynamodb:TransactWriteItems",
        problem: format!("record {key} can't be written: {error}"),
    }
}

fn number(item: &Item, name: &str) -> Result<u64, String> {
    let value = item.get(name).ok_or_else(|| format!("{name} is missing"))?;
    let text = value.as_n().map_err(|other| format!("{name} is not a number but {other:?}"))?;
    text.parse().map_err(|error| format!("{name} is {text}: {error}"))
}

fn name(key: &Key) -> String {
    format!("{} {}", key.partition(), key.sort())
}

/// Where an item stands, for people.
fn place(item: &Item) -> String {
    let text =
        |name: &str| item.get(name).and_then(|value| value.as_s().ok()).map_or("?", String::as_str);
    format!("{} {}", text(PARTITION_KEY), text(SORT_KEY))
}
