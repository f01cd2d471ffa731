//! Replies that get lost or come out other than the database meant them: what a network and a busy DynamoDB do.
//! The requests go through unharmed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_sdk_dynamodb::config::interceptors::BeforeDeserializationInterceptorContextMut;
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;

/// A reply in place of the database's.
pub(crate) type Reply = (u16, &'static str);

/// DynamoDB failed, having done what was asked or not.
pub(crate) const FAILED: Reply =
    (500, r#"{"__type":"com.amazonaws.dynamodb.v20120810#InternalServerError"}"#);

/// Another transaction held one of the records.
pub(crate) const CONTENDED: Reply = (
    400,
    r#"{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        "CancellationReasons":[{"Code":"None"},{"Code":"TransactionConflict"}]}"#,
);

/// There were too many requests.
pub(crate) const THROTTLED: Reply =
    (400, r#"{"__type":"com.amazonaws.dynamodb.v20120810#ThrottlingException"}"#);

/// An earlier attempt at the same transaction, by the same client request token, is still under way.
pub(crate) const IN_PROGRESS: Reply =
    (400, r#"{"__type":"com.amazonaws.dynamodb.v20120810#TransactionInProgressException"}"#);

/// Replaces some replies and counts all.
#[derive(Debug, Clone)]
pub(crate) struct Replies {
    replaced: Vec<Option<Reply>>,
    received: Arc<AtomicUsize>,
}

impl Replies {
    /// Replaces the first ones.
    pub(crate) fn replacing(replaced: impl IntoIterator<Item = Reply>) -> Self {
        Self::some(replaced.into_iter().map(Some).collect())
    }

    /// Replaces those for which there is one.
    pub(crate) fn some(replaced: Vec<Option<Reply>>) -> Self {
        Self { replaced, received: Arc::default() }
    }

    /// How many replies there have been.
    pub(crate) fn received(&self) -> usize {
        self.received.load(Ordering::SeqCst)
    }
}

impl Intercept for Replies {
    fn name(&self) -> &'static str {
        "replies"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let number = self.received.fetch_add(1, Ordering::SeqCst);
        if let Some(Some((status, body))) = self.replaced.get(number) {
            let response = context.response_mut();
            *response.status_mut() = (*status).try_into()?;
            response.headers_mut().remove("content-length");
            *response.body_mut() = (*body).into();
        }
        Ok(())
    }
}
