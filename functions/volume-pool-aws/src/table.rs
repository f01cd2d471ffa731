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
use serde::Deserialize;

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
    /// The definition can't be read.
    #[error("table {table}: malformed definition")]
    Malformed {
        /// The table.
        table: String,
        /// What is wrong.
        source: serde_json::Error,
    },
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

/// The table as `CreateTable` takes it, but for its name. Local runs, which don't have the SDK, read the same file.
const DEFINITION: &str = include_str!("table.json");

/// The `CreateTable` request, as the file has it.
fn request(table: &str) -> Result<CreateTableInput, TableError> {
    let name = || table.to_owned();
    let definition: Definition = serde_json::from_str(DEFINITION)
        .map_err(|source| TableError::Malformed { table: name(), source })?;
    let mut request = CreateTableInput::builder()
        .table_name(table)
        .billing_mode(BillingMode::from(definition.billing_mode.as_str()));
    let incomplete =
        |source: BuildError| TableError::Definition { table: name(), source: source.into() };
    for attribute in definition.attribute_definitions {
        let attribute = AttributeDefinition::builder()
            .attribute_name(attribute.attribute_name)
            .attribute_type(ScalarAttributeType::from(attribute.attribute_type.as_str()))
            .build();
        request = request.attribute_definitions(attribute.map_err(incomplete)?);
    }
    for key in definition.key_schema {
        let key = KeySchemaElement::builder()
            .attribute_name(key.attribute_name)
            .key_type(KeyType::from(key.key_type.as_str()))
            .build();
        request = request.key_schema(key.map_err(incomplete)?);
    }
    request.build().map_err(incomplete)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Definition {
    attribute_definitions: Vec<Attribute>,
    key_schema: Vec<KeyElement>,
    billing_mode: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Attribute {
    attribute_name: String,
    attribute_type: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct KeyElement {
    attribute_name: String,
    key_type: String,
}

/// Creates the table where it does not exist (`CreateTable`), and waits until it can be used.
pub async fn create(client: &Client, table: &str) -> Result<(), TableError> {
    let name = || table.to_owned();
    let request = request(table)?;
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
    fn the_table_has_the_keys_that_items_are_written_under_and_nothing_else() {
        let request = request("leases").unwrap();
        let keys: Vec<(&str, &KeyType)> =
            request.key_schema().iter().map(|it| (it.attribute_name(), it.key_type())).collect();
        assert_eq!(keys, [(PARTITION_KEY, &KeyType::Hash), (SORT_KEY, &KeyType::Range)]);
        assert_eq!(request.attribute_definitions().len(), 2);
        assert_eq!(request.table_name(), Some("leases"));
        assert_eq!(request.billing_mode(), Some(&BillingMode::PayPerRequest));
    }
}
