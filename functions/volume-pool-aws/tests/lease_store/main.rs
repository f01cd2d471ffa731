//! What the lease table promises, over a real DynamoDB implementation in process (dynoxide) and HTTP on loopback.
//! Another store that is to stand in for it must keep the same promises.

#![expect(clippy::unwrap_used, reason = "clippy takes helpers of tests for production code")]

mod failures;
mod fixture;
mod ownership;
mod pokes;
mod reading;
mod repeats;
mod replies;
