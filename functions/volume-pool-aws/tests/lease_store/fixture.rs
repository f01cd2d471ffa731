//! A DynamoDB in process, or another one that is told of, and records to put into it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Builder, Credentials, Region};
use aws_sdk_dynamodb::types::AttributeValue;
use tokio::net::TcpListener;
use volume_pool::Timestamp;
use volume_pool::ids::{InstanceId, InvocationId, SlotId};
use volume_pool::ports::{Commit, LeaseStore};
use volume_pool::record::{Claim, Format, Key, OpenMark, Phase, Place, Record, Slot, SlotState};
use volume_pool::transition::{Expect, Transaction, Write};
use volume_pool_aws::LeaseTable;

use crate::replies::Replies;

/// The time of every test.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_795_469_400_123);

/// Names another implementation of DynamoDB, as in `http://127.0.0.1:4566`: the suite then runs over that one.
const ELSEWHERE: &str = "STATEFUL_ASG_TEST_DYNAMODB";

/// Keeps the tables of this run apart from each other.
static TABLES: AtomicUsize = AtomicUsize::new(0);

/// An empty table, in a database that is gone with the test's runtime, or in the one that the environment names.
pub(crate) struct Table {
    endpoint: String,
    name: String,
}

impl Table {
    pub(crate) async fn start() -> Self {
        #[expect(clippy::disallowed_methods, reason = "there is no main to read it in")]
        let elsewhere = std::env::var(ELSEWHERE);
        let endpoint = match elsewhere {
            Ok(endpoint) => endpoint,
            Err(_) => serve().await,
        };
        let number = TABLES.fetch_add(1, Ordering::Relaxed);
        let table = Self { endpoint, name: format!("leases-{}-{number}", std::process::id()) };
        volume_pool_aws::table::create(&table.client(), &table.name).await.unwrap();
        table
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn leases(&self) -> LeaseTable {
        LeaseTable::new(self.client(), self.name())
    }

    pub(crate) fn client(&self) -> Client {
        let credentials = Credentials::new("local", "local", None, None, "test");
        client(&self.endpoint, |config| config.credentials_provider(credentials))
    }

    /// A client that tries each call three times and gets these replies.
    pub(crate) fn leases_with(&self, replies: &Replies) -> LeaseTable {
        let credentials = Credentials::new("local", "local", None, None, "test");
        let retries = RetryConfig::standard()
            .with_max_attempts(3)
            .with_initial_backoff(Duration::from_millis(1));
        let client = client(&self.endpoint, |config| {
            config
                .credentials_provider(credentials)
                .retry_config(retries)
                .interceptor(replies.clone())
        });
        LeaseTable::new(client, self.name())
    }

    pub(crate) fn client_without_credentials(&self) -> Client {
        client(&self.endpoint, |config| config)
    }

    pub(crate) fn client_with_an_empty_profile(&self) -> Client {
        let profile = aws_config::profile::ProfileFileCredentialsProvider::builder()
            .profile_name("a-profile-that-nobody-has");
        client(&self.endpoint, |config| config.credentials_provider(profile.build()))
    }

    /// The item as it lies in the table.
    pub(crate) async fn item(&self, key: &Key) -> HashMap<String, AttributeValue> {
        let get = self.client().get_item().table_name(self.name()).set_key(Some(attributes(key)));
        get.send().await.unwrap().item.unwrap()
    }

    /// Sets an attribute of an item behind the store's back.
    pub(crate) async fn set(&self, key: &Key, name: &str, value: AttributeValue) {
        self.client()
            .update_item()
            .table_name(self.name())
            .set_key(Some(attributes(key)))
            .update_expression("SET #name = :value")
            .expression_attribute_names("#name", name)
            .expression_attribute_values(":value", value)
            .send()
            .await
            .unwrap();
    }
}

async fn serve() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let database = dynoxide::Database::memory().unwrap();
    tokio::spawn(dynoxide::server::serve_on(listener, database));
    endpoint
}

/// A client whose endpoint nobody listens on.
pub(crate) async fn client_of_a_closed_port() -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let credentials = Credentials::new("local", "local", None, None, "test");
    client(&endpoint, |config| config.credentials_provider(credentials))
}

fn client(endpoint: &str, with: impl FnOnce(Builder) -> Builder) -> Client {
    let config = Builder::new()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-central-1"))
        .endpoint_url(endpoint)
        .retry_config(RetryConfig::disabled());
    Client::from_conf(with(config).build())
}

fn attributes(key: &Key) -> HashMap<String, AttributeValue> {
    HashMap::from([
        ("pk".to_owned(), AttributeValue::S(key.partition())),
        ("sk".to_owned(), AttributeValue::S(key.sort())),
    ])
}

/// Puts records that are not there yet.
pub(crate) async fn commit_all(leases: &LeaseTable, records: impl IntoIterator<Item = Record>) {
    let writes = records.into_iter().map(|record| Write::Put(record, Expect::Absent)).collect();
    let transaction = Transaction { name: "test", writes, wakes: None };
    assert_eq!(leases.commit(&transaction).await.unwrap(), Commit::Committed);
}

pub(crate) fn instance(number: u32) -> InstanceId {
    format!("i-{number:08x}").parse().unwrap()
}

pub(crate) fn invocation(number: u32) -> InvocationId {
    format!("invocation-{number}").parse().unwrap()
}

pub(crate) fn place() -> Place {
    Place { pool: "cassandra".parse().unwrap(), zone: "eu-central-1a".parse().unwrap() }
}

/// A claim that wants nothing, at version 1.
pub(crate) fn claim(number: u32) -> Claim {
    let mut claim = Claim::new(instance(number));
    claim.version = 1;
    claim
}

/// A claim that waits for a slot, at version 1.
pub(crate) fn waiting(number: u32) -> Claim {
    let mut claim = claim(number);
    claim.phase = Phase::Waiting { place: place(), since: NOW };
    claim
}

/// A slot that is free and was never leased, at version 1.
pub(crate) fn free_slot(index: u32) -> Slot {
    Slot {
        id: SlotId { pool: place().pool, index },
        zone: place().zone,
        version: 1,
        epoch: 0,
        state: SlotState::Free,
        recent_holders: Vec::new(),
        volumes: Vec::new(),
        format: Format::Over,
        leased_at: None,
        released_at: None,
        moving: None,
        reason: String::new(),
    }
}

/// The record that stands where `record` stands.
pub(crate) async fn read_one(leases: &LeaseTable, record: &Record) -> Record {
    leases.read(&[record.key()]).await.unwrap().remove(&record.key()).unwrap()
}

pub(crate) fn transaction(writes: Vec<Write>) -> Transaction {
    Transaction { name: "test", writes, wakes: None }
}

/// The mark of a claim with work left.
pub(crate) fn open(number: u32) -> Record {
    let attended_at = Timestamp::default();
    Record::Open(OpenMark { instance: instance(number), attended_at, transition: None })
}
