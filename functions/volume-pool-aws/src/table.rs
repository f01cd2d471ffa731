//! The lease table: its keys and how it is billed, defined once. Local runs and tests create it from here; the
//! stack in `infra/` must say the same and adds what only a deployed table needs (point-in-time recovery, deletion
//! protection).
//!
//! It has no secondary index and no time to live, and must never get one: an index is eventually consistent, and no
//! lease ends by the clock.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::client::Waiters;
use aws_sdk_dynamodb::error::{BuildError, SdkError};
use aws_sdk_dynamodb::operation::create_table::{CreateTableError, CreateTableInput};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};
use aws_sdk_dynamodb::waiters::table_exists::WaitUntilTableExistsError;
use serde_json::{Value, json};

use crate::classify;

/// The attribute that is the partition key; text.
pub const PARTITION_KEY: &str = "pk";

/// The attribute that is the sort key; text.
pub const SORT_KEY: &str = "sk";

/// How long a new table may take to become usable.
const CREATION_TIMEOUT: Duration = Duration::from_mins(1);

/// Why there is no table to use.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The request could not be put together.
    #[error("table {table}: incomplete definition")]
    Definition {
        /// The table.
        table: String,
        /// What is missing.
        source: Box<BuildError>,
    },
    /// `CreateTable` was refused.
    #[error("table {table} was not created")]
    Create {
        /// The table.
        table: String,
        /// What DynamoDB said.
        source: Box<SdkError<CreateTableError>>,
    },
    /// It was created but did not become active.
    #[error("table {table} did not become active")]
    Inactive {
        /// The table.
        table: String,
        /// What DynamoDB said.
        source: Box<WaitUntilTableExistsError>,
    },
}

/// The body of the `CreateTable` request, for those who speak to DynamoDB without the SDK.
pub fn definition(table: &str) -> Value {
    json!({
        "TableName": table,
        "AttributeDefinitions": [
            {"AttributeName": PARTITION_KEY, "AttributeType": ScalarAttributeType::S.as_str()},
            {"AttributeName": SORT_KEY, "AttributeType": ScalarAttributeType::S.as_str()},
        ],
        "KeySchema": [
            {"AttributeName": PARTITION_KEY, "KeyType": KeyType::Hash.as_str()},
            {"AttributeName": SORT_KEY, "KeyType": KeyType::Range.as_str()},
        ],
        "BillingMode": BillingMode::PayPerRequest.as_str(),
    })
}

/// The `CreateTable` request as the SDK takes it.
pub fn request(table: &str) -> Result<CreateTableInput, BuildError> {
    let text = |name: &str| {
        AttributeDefinition::builder()
            .attribute_name(name)
            .attribute_type(ScalarAttributeType::S)
            .build()
    };
    let key = |name: &str, kind: KeyType| {
        KeySchemaElement::builder().attribute_name(name).key_type(kind).build()
    };
    CreateTableInput::builder()
        .table_name(table)
        .attribute_definitions(text(PARTITION_KEY)?)
        .attribute_definitions(text(SORT_KEY)?)
        .key_schema(key(PARTITION_KEY, KeyType::Hash)?)
        .key_schema(key(SORT_KEY, KeyType::Range)?)
        .billing_mode(BillingMode::PayPerRequest)
        .build()
}

/// Creates the table where it does not exist (`CreateTable`), and waits until it can be used.
pub async fn create(client: &Client, table: &str) -> Result<(), TableError> {
    let name = || table.to_owned();
    let request = request(table)
        .map_err(|source| TableError::Definition { table: name(), source: source.into() })?;
    let created = client
        .create_table()
        .set_table_name(request.table_name)
        .set_attribute_definitions(request.attribute_definitions)
        .set_key_schema(request.key_schema)
        .set_billing_mode(request.billing_mode)
        .send()
        .await;
    match created {
        Err(error) if !classify::table_exists(&error) => {
            return Err(TableError::Create { table: name(), source: error.into() });
        }
        Ok(_) | Err(_) => {}
    }
    client
        .wait_until_table_exists()
        .table_name(table)
        .wait(CREATION_TIMEOUT)
        .await
        .map_err(|source| TableError::Inactive { table: name(), source: source.into() })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plain_definition_and_the_request_of_the_sdk_say_the_same() {
        let plain = definition("leases");
        let request = request("leases").unwrap();
        assert_eq!(plain["TableName"], json!(request.table_name().unwrap()));
        assert_eq!(plain["BillingMode"], json!(request.billing_mode().unwrap().as_str()));
        let attributes: Vec<Value> = request
            .attribute_definitions()
            .iter()
            .map(|it| json!({"AttributeName": it.attribute_name(), "AttributeType": it.attribute_type().as_str()}))
            .collect();
        assert_eq!(plain["AttributeDefinitions"], json!(attributes));
        let keys: Vec<Value> = request
            .key_schema()
            .iter()
            .map(|it| json!({"AttributeName": it.attribute_name(), "KeyType": it.key_type().as_str()}))
            .collect();
        assert_eq!(plain["KeySchema"], json!(keys));
    }
}
