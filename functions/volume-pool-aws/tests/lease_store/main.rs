//! What the lease table promises, over a real DynamoDB implementation in process (dynoxide) and HTTP on loopback, or
//! over the one whose address is in `STATEFUL_ASG_TEST_DYNAMODB`. The store in memory that the scenarios and the
//! simulation use is held to the same in `agreement`.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "clippy takes helpers of tests for production code"
)]

mod agreement;
mod failures;
mod fixture;
mod many_clients;
mod ownership;
mod pokes;
mod reading;
mod repeats;
mod replies;
