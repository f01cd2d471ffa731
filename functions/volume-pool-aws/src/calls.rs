//! How many requests are sent to AWS, and how many of them it throttles, those included that the SDK repeats by itself:
//! they empty the same buckets, and throttling shows here long before a call fails of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_sdk_dynamodb::config::interceptors::{
    BeforeTransmitInterceptorContextRef, FinalizerInterceptorContextRef,
};
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;

use crate::classify;

/// Counts for all clients that it is given to. A clone counts on.
#[derive(Debug, Clone, Default)]
pub struct CallCount {
    sent: Arc<AtomicU64>,
    throttled: Arc<AtomicU64>,
}

/// What was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counted {
    /// Requests sent.
    pub sent: u64,
    /// Requests throttled.
    pub throttled: u64,
}

impl CallCount {
    /// What was counted since this was last asked.
    pub fn take(&self) -> Counted {
        Counted {
            sent: self.sent.swap(0, Ordering::Relaxed),
            throttled: self.throttled.swap(0, Ordering::Relaxed),
        }
    }
}

impl Intercept for CallCount {
    fn name(&self) -> &'static str {
        "CallCount"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.sent.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let failed = context.output_or_error().and_then(Result::err);
        if failed.and_then(|error| error.as_operation_error()).is_some_and(classify::throttled) {
            self.throttled.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}
