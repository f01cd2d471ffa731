//! The lease table behind [`LeaseStore`]. Every read is consistent and every write that changes ownership is
//! conditional; nothing is ever overwritten because it could not be read.

mod item;
mod verdict;

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem};
use futures_util::future::try_join_all;
use volume_pool::ids::{InstanceId, InvocationId};
use volume_pool::ports::{Commit, LeaseStore, Poke, PortError};
use volume_pool::record::{Key, List, Record};
use volume_pool::transition::Transaction;

use crate::classify;
use crate::table::{PARTITION_KEY, SORT_KEY};
use verdict::Verdict;

/// How often a transaction is tried that DynamoDB cancels because another one is under way on the same records.
const CONTENDED_ATTEMPTS: u32 = 4;

/// The longest pause before the second of those attempts; it doubles with each further one.
const CONTENTION_PAUSE: Duration = Duration::from_millis(50);

/// The lease table.
#[derive(Debug, Clone)]
pub struct LeaseTable {
    client: Client,
    table: String,
}

impl LeaseTable {
    /// The table of this name, through this client.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self { client, table: table.into() }
    }

    async fn read_one(&self, key: &Key) -> Result<Option<(Key, Record)>, PortError> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(item::key(key)))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| classify::table_unanswered("dynamodb:GetItem", &self.table, &error))?;
        let Some(item) = answer.item else {
            return Ok(None);
        };
        Ok(Some((key.clone(), item::record(&item)?)))
    }

    /// One transaction, tried again while others hold its records: a cancelled transaction has written nothing.
    ///
    /// The client request token is left to the SDK, which fills it once for all attempts at one `send`, so that an
    /// attempt whose reply was lost is not made twice. A cancelled transaction is sent anew, with a token of its own.
    async fn transact(
        &self,
        transaction: &Transaction,
        items: Vec<TransactWriteItem>,
    ) -> Result<Commit, PortError> {
        const CALL: &str = "dynamodb:TransactWriteItems";
        let mut longest_pause = CONTENTION_PAUSE;
        let mut attempt = 1;
        loop {
            let sent = self
                .client
                .transact_write_items()
                .set_transact_items(Some(items.clone()))
                .send()
                .await;
            let Err(error) = sent else {
                return Ok(Commit::Committed);
            };
            let Some(reasons) = classify::cancellation(&error) else {
                return Err(classify::table_unanswered(CALL, &self.table, &error));
            };
            let problem = match verdict::of(&transaction.writes, reasons) {
                Verdict::Committed => return Ok(Commit::Committed),
                Verdict::Conflict => return Ok(Commit::Conflict),
                Verdict::Contended(problem) => problem,
                Verdict::Refused(problem) => {
                    return Err(PortError::Denied { call: CALL, problem });
                }
            };
            if attempt == CONTENDED_ATTEMPTS {
                return Err(PortError::Transient { call: CALL, problem });
            }
            attempt += 1;
            tokio::time::sleep(longest_pause.mul_f64(fastrand::f64())).await;
            longest_pause *= 2;
        }
    }
}

impl LeaseStore for LeaseTable {
    async fn read(&self, keys: &[Key]) -> Result<BTreeMap<Key, Record>, PortError> {
        let found = try_join_all(keys.iter().map(|key| self.read_one(key))).await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn list(&self, list: &List, limit: usize) -> Result<Vec<Record>, PortError> {
        let prefix = list.prefix();
        let mut condition = "#pk = :pk".to_owned();
        let mut query = self
            .client
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .expression_attribute_names("#pk", PARTITION_KEY)
            .expression_attribute_values(":pk", AttributeValue::S(list.partition()));
        // DynamoDB refuses an empty prefix.
        if !prefix.is_empty() {
            condition.push_str(" AND begins_with(#sk, :prefix)");
            query = query
                .expression_attribute_names("#sk", SORT_KEY)
                .expression_attribute_values(":prefix", AttributeValue::S(prefix));
        }
        // A page ends at `Limit` items or at 1 MB, whichever comes first.
        let mut items = query
            .key_condition_expression(condition)
            .set_limit(i32::try_from(limit).ok())
            .into_paginator()
            .items()
            .send();
        let mut marks = Vec::new();
        while marks.len() < limit
            && let Some(item) = items.next().await
        {
            let item = item.map_err(|error| {
                classify::table_unanswered("dynamodb:Query", &self.table, &error)
            })?;
            marks.push(item::record(&item)?);
        }
        Ok(marks)
    }

    async fn commit(&self, transaction: &Transaction) -> Result<Commit, PortError> {
        let writes = transaction.writes.iter();
        let items =
            writes.map(|write| item::write(&self.table, write)).collect::<Result<Vec<_>, _>>()?;
        // Each attempt has the whole of the client's operation timeout; so has the call, retries included.
        let timeouts = self.client.config().timeout_config();
        let attempts = self.transact(transaction, items);
        match timeouts.and_then(aws_config::timeout::TimeoutConfig::operation_timeout) {
            None => attempts.await,
            Some(longest) => tokio::time::timeout(longest, attempts).await.unwrap_or_else(|_| {
                Err(PortError::Transient {
                    call: "dynamodb:TransactWriteItems",
                    problem: format!("{} took longer than {longest:?}", transaction.name),
                })
            }),
        }
    }

    async fn poke(&self, instance: &InstanceId, guard: &InvocationId) -> Result<Poke, PortError> {
        let answer = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(item::key(&Key::Claim(instance.clone()))))
            .update_expression("SET #poked = :poked")
            .condition_expression("#record.#guard.#invocation = :guard")
            .expression_attribute_names("#poked", item::POKED)
            .expression_attribute_names("#record", item::RECORD)
            .expression_attribute_names("#guard", "guard")
            .expression_attribute_names("#invocation", "invocation")
            .expression_attribute_values(":poked", AttributeValue::Bool(true))
            .expression_attribute_values(":guard", AttributeValue::S(guard.to_string()))
            .send()
            .await;
        match answer {
            Ok(_) => Ok(Poke::Left),
            Err(error) if classify::condition_failed(&error) => Ok(Poke::NoSuchGuard),
            Err(error) => {
                Err(classify::table_unanswered("dynamodb:UpdateItem", &self.table, &error))
            }
        }
    }

    async fn take_poke(
        &self,
        instance: &InstanceId,
        guard: &InvocationId,
    ) -> Result<(), PortError> {
        let answer = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(item::key(&Key::Claim(instance.clone()))))
            .update_expression("REMOVE #poked")
            // Another guard's poke is not ours to take; nor must a claim come into being by this.
            .condition_expression("#record.#guard.#invocation = :guard")
            .expression_attribute_names("#poked", item::POKED)
            .expression_attribute_names("#record", item::RECORD)
            .expression_attribute_names("#guard", "guard")
            .expression_attribute_names("#invocation", "invocation")
            .expression_attribute_values(":guard", AttributeValue::S(guard.to_string()))
            .send()
            .await;
        match answer {
            Ok(_) => Ok(()),
            Err(error) if classify::condition_failed(&error) => Ok(()),
            Err(error) => {
                Err(classify::table_unanswered("dynamodb:UpdateItem", &self.table, &error))
            }
        }
    }
}
