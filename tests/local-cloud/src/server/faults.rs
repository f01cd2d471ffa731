//! Faults that tests arm: what goes wrong with the nth call that a function makes.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::calls::Call;

/// Something that goes wrong once, with one call of a function's process. Calls by anybody else never count.
#[derive(Debug, Clone)]
pub struct Fault {
    /// Count only calls of this function; `None` counts those of any.
    pub function: Option<String>,
    /// Count only calls of this operation, as in `AttachVolume`; `None` counts any.
    pub operation: Option<String>,
    /// The call it happens to: 1 is the first that counts after the fault was armed.
    pub nth: usize,
    /// What happens.
    pub action: FaultAction,
}

/// What can go wrong with a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultAction {
    /// The caller's process is killed (SIGKILL) before the call has any effect.
    KillBefore,
    /// The call has its effect; then the caller's process is killed (SIGKILL), and no reply is ever sent.
    KillAfter,
    /// The call has its effect, and the connection is closed without a reply.
    DropReply,
    /// The call has no effect and is refused.
    Refuse {
        /// The HTTP status, as in 503.
        status: u16,
        /// The error code, as in `Unavailable` or `RequestLimitExceeded`.
        code: String,
    },
    /// The call waits before it has its effect.
    Delay(Duration),
    /// The call has its effect, and the second half of the reply's body comes this much later.
    SlowBody(Duration),
}

/// Names an armed fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FaultId(usize);

#[derive(Debug)]
struct Armed {
    fault: Fault,
    counted: usize,
    disarmed: bool,
}

/// All faults that were ever armed.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    armed: Mutex<Vec<Armed>>,
}

impl Faults {
    pub(crate) fn arm(&self, fault: Fault) -> FaultId {
        let mut armed = self.lock();
        armed.push(Armed { fault, counted: 0, disarmed: false });
        FaultId(armed.len() - 1)
    }

    /// Whether the fault has happened.
    pub(crate) fn has_happened(&self, id: FaultId) -> bool {
        self.lock().get(id.0).is_some_and(|armed| armed.counted >= armed.fault.nth)
    }

    /// Takes back every fault that has not happened yet.
    pub(crate) fn disarm(&self) {
        for armed in self.lock().iter_mut() {
            armed.disarmed = true;
        }
    }

    /// Counts this call for every armed fault, and returns what is to happen to it. Of several faults that fall
    /// on one call, the one armed first happens.
    pub(crate) fn strike(&self, call: &Call) -> Option<FaultAction> {
        let mut action = None;
        for armed in self.lock().iter_mut().filter(|armed| !armed.disarmed && armed.counts(call)) {
            armed.counted += 1;
            if armed.counted == armed.fault.nth {
                action.get_or_insert_with(|| armed.fault.action.clone());
            }
        }
        action
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Armed>> {
        self.armed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Armed {
    fn counts(&self, call: &Call) -> bool {
        let Some(caller) = &call.caller else {
            return false;
        };
        self.counted < self.fault.nth
            && self.fault.function.as_ref().is_none_or(|function| *function == caller.function)
            && self.fault.operation.as_ref().is_none_or(|operation| *operation == call.operation)
    }
}

#[cfg(test)]
mod tests {
    use volume_pool::Timestamp;

    use super::super::calls::{CallOutcome, Caller, Door};
    use super::*;

    fn call(function: Option<&str>, operation: &str) -> Call {
        Call {
            at: Timestamp::from_millis(0),
            door: Door::Ec2,
            operation: operation.into(),
            caller: function.map(|function| Caller {
                function: function.into(),
                sandbox: format!("{function}/1"),
                request_id: None,
            }),
            permissions: Vec::new(),
            outcome: CallOutcome::Open,
        }
    }

    #[test]
    fn a_fault_happens_once_to_the_nth_call_that_counts() {
        let faults = Faults::default();
        let id = faults.arm(Fault {
            function: Some("lifecycle".into()),
            operation: Some("AttachVolume".into()),
            nth: 2,
            action: FaultAction::KillAfter,
        });
        for (function, operation) in [
            (Some("lifecycle"), "AttachVolume"),
            (Some("reconcile"), "AttachVolume"),
            (Some("lifecycle"), "DetachVolume"),
            (None, "AttachVolume"),
        ] {
            assert_eq!(faults.strike(&call(function, operation)), None);
        }
        assert!(!faults.has_happened(id));
        let second = call(Some("lifecycle"), "AttachVolume");
        assert_eq!(faults.strike(&second), Some(FaultAction::KillAfter));
        assert!(faults.has_happened(id));
        assert_eq!(faults.strike(&second), None);
    }

    #[test]
    fn a_fault_that_is_taken_back_never_happens() {
        let faults = Faults::default();
        let action = FaultAction::DropReply;
        let id = faults.arm(Fault { function: None, operation: None, nth: 1, action });
        faults.disarm();
        assert_eq!(faults.strike(&call(Some("lifecycle"), "AttachVolume")), None);
        assert!(!faults.has_happened(id));
    }
}
