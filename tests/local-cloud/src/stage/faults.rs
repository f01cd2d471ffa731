//! What goes wrong: with a call of an invocation, with an event on its way. One fault at one call, as a scenario sets it,
//! or by chance, drawn from the seed for each call and each event, as a simulation wants it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use volume_pool::request::Request;

/// What goes wrong with one call of an invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// The function dies before the call is made.
    DiesBefore,
    /// The function dies after the call took effect, before its answer is seen.
    DiesAfter,
    /// The call takes effect, and its answer is lost.
    LostReply,
    /// The call takes no effect and is not answered: it was throttled, say.
    Refused,
    /// The call hangs until the function is ended at its timeout, and takes effect as late as a call under way then
    /// can.
    Hangs,
    /// The call takes no effect and is refused for good: the role lacks a permission, say.
    Denied,
    /// The transaction is cancelled, though every record was as expected.
    Conflict,
    /// The function stands still before the call and goes on later, if it is not ended by then.
    Freezes,
}

impl Fault {
    /// Each of them.
    pub const ALL: [Self; 8] = [
        Self::DiesBefore,
        Self::DiesAfter,
        Self::LostReply,
        Self::Refused,
        Self::Hangs,
        Self::Denied,
        Self::Conflict,
        Self::Freezes,
    ];

    /// Whether it can befall such a call.
    pub(super) fn befalls(self, request: &Request) -> bool {
        match self {
            Self::Conflict => matches!(request.alone(), Request::Commit(_)),
            Self::DiesBefore
            | Self::DiesAfter
            | Self::LostReply
            | Self::Refused
            | Self::Hangs
            | Self::Denied
            | Self::Freezes => true,
        }
    }
}

/// How often something happens, in ten thousand times.
pub type Rate = u32;

/// How often what goes wrong by chance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chances {
    /// With a call.
    pub calls: BTreeMap<Fault, Rate>,
    /// An event never comes.
    pub lost: Rate,
    /// An event comes twice.
    pub twice: Rate,
    /// An event comes late, and so maybe after later ones.
    pub late: Rate,
    /// The most that it comes late by.
    pub latest: Duration,
    /// The parts of a read are answered one after the other, and those of a sweep all the time, if this is above nothing.
    pub apart: Rate,
    /// A call of a sweep gets no answer.
    pub sweep_reads: Rate,
    /// The function dies while it sweeps, at each of its looks.
    pub sweep_dies: Rate,
    /// Whether a function that dies takes along everything that it is at work on.
    pub dies_whole: bool,
    /// How far the clocks of functions are off at most.
    pub skew: Duration,
}

/// Something that went wrong, to be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mishap {
    /// With a call.
    Call(Fault),
    /// An event was lost.
    EventLost,
    /// An event came twice.
    EventTwice,
    /// An event came late.
    EventLate,
    /// The parts of a read were answered one after the other.
    ReadApart,
    /// A call of a sweep got no answer.
    SweepReadFails,
    /// A sweep died.
    SweepDies,
}

impl Mishap {
    /// Each of them.
    pub fn all() -> impl Iterator<Item = Self> {
        let others = [
            Self::EventLost,
            Self::EventTwice,
            Self::EventLate,
            Self::ReadApart,
            Self::SweepReadFails,
            Self::SweepDies,
        ];
        Fault::ALL.map(Self::Call).into_iter().chain(others)
    }
}

impl fmt::Display for Mishap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Call(Fault::DiesBefore) => "function dies before a call",
            Self::Call(Fault::DiesAfter) => "function dies after a call",
            Self::Call(Fault::LostReply) => "reply lost after the call took effect",
            Self::Call(Fault::Refused) => "call throttled or failed without effect",
            Self::Call(Fault::Hangs) => "call outlives its function",
            Self::Call(Fault::Denied) => "call denied",
            Self::Call(Fault::Conflict) => "transaction cancelled without cause",
            Self::Call(Fault::Freezes) => "function frozen before a call",
            Self::EventLost => "event lost",
            Self::EventTwice => "event delivered twice",
            Self::EventLate => "event late",
            Self::ReadApart => "parts of a read answered one after the other",
            Self::SweepReadFails => "read of a sweep failed",
            Self::SweepDies => "function dies in a sweep",
        })
    }
}

/// Whether it happens this time.
pub(super) fn happens(rng: &mut fastrand::Rng, rate: Rate) -> bool {
    rate > 0 && rng.u32(0..10_000) < rate
}

impl Chances {
    /// What goes wrong with this call, if anything does.
    pub(super) fn with_call(&self, request: &Request, rng: &mut fastrand::Rng) -> Option<Fault> {
        if self.calls.is_empty() {
            return None;
        }
        let mut drawn = rng.u32(0..10_000);
        for (fault, rate) in self.calls.iter().filter(|(fault, _)| fault.befalls(request)) {
            match drawn.checked_sub(*rate) {
                Some(rest) => drawn = rest,
                None => return Some(*fault),
            }
        }
        None
    }
}
