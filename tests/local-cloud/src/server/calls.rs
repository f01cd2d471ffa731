//! The log of AWS API calls: who called what, when, and what came of it.

use volume_pool::Timestamp;

use crate::cloud::recent::Recent;
use crate::iam::Verdict;

/// The services behind the doors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Door {
    /// EC2 and EBS.
    Ec2,
    /// EC2 Auto Scaling.
    AutoScaling,
    /// Systems Manager.
    Ssm,
    /// DynamoDB.
    DynamoDb,
    /// STS.
    Sts,
    /// `EventBridge`.
    EventBridge,
    /// SQS.
    Sqs,
    /// KMS.
    Kms,
    /// Service Quotas.
    ServiceQuotas,
}

/// One call of an AWS API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// When it arrived.
    pub at: Timestamp,
    /// The service that was called.
    pub door: Door,
    /// The operation, as in `AttachVolume`.
    pub operation: String,
    /// The function whose process called; `None` for anybody else.
    pub caller: Option<Caller>,
    /// What the caller's policy was asked for it. Empty where the caller has none.
    pub permissions: Vec<Permission>,
    /// What came of it.
    pub outcome: CallOutcome,
}

/// Something that a call asked of its caller's policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permission {
    /// The action, as in `ec2:CreateTags`: not always that of the call.
    pub action: String,
    /// What the policy said.
    pub verdict: Verdict,
}

/// The process that made a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The function's name.
    pub function: String,
    /// The sandbox, as in `lifecycle/3`.
    pub sandbox: String,
    /// The invocation that was running, if any was.
    pub request_id: Option<String>,
}

/// What came of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallOutcome {
    /// Nothing yet, or the caller hung up.
    Open,
    /// It was answered with this HTTP status.
    Answered(u16),
    /// A fault refused it with this HTTP status: it had no effect.
    Refused(u16),
    /// A fault took the reply away: the call had its effect.
    ReplyDropped,
    /// A fault killed the caller before the call had any effect.
    KilledBefore,
    /// A fault killed the caller after the call had its effect.
    KilledAfter,
}

/// All calls, oldest first.
#[derive(Debug)]
pub(crate) struct CallLog {
    calls: Recent<Call>,
}

impl CallLog {
    pub(crate) fn new() -> Self {
        Self { calls: Recent::new() }
    }

    /// Records a call's arrival, and returns its number.
    pub(crate) fn arrived(&self, call: Call) -> usize {
        self.calls.push(call)
    }

    pub(crate) fn came_to(&self, number: usize, outcome: CallOutcome) {
        self.calls.change(number, |call| call.outcome = outcome);
    }

    pub(crate) fn was_judged(&self, number: usize, permissions: Vec<Permission>) {
        self.calls.change(number, |call| call.permissions = permissions);
    }

    pub(crate) fn all(&self) -> Vec<Call> {
        self.calls.all()
    }
}
