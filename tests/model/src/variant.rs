//! Broken variants: what the machine is told or what becomes of what it asks for is bent at its boundary, as if a part
//! of the protocol were missing. A check that no broken variant fails would check nothing.

/// A way to break the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// The records are not read again after EC2: the second read shows what is known already.
    RecordsReadOnce,
    /// Nobody sees another's guard.
    NoGuard,
    /// A stale describe that shows a volume available stands for `DetachVolume`'s own word.
    DescribeBelieved,
    /// Writes are not conditional.
    Unconditional,
    /// A lease is not conditional on the claim.
    LeaseWithoutClaim,
    /// Only the oldest waiter is served.
    OldestOnly,
    /// A volume that is being attached counts as attached.
    AttachedEarly,
    /// A volume that is being detached counts as available.
    ReleasedEarly,
    /// A poke is not put down.
    NoPoke,
    /// Actions are answered by instance, though their token is known.
    NoToken,
    /// A lease ends by the clock.
    LeaseExpires,
    /// A claim is deleted when its slot is released, so its versions begin anew.
    ClaimDeleted,
    /// What comes free is not on the list of what comes free.
    NothingComing,
}

impl Variant {
    /// Every variant, by name.
    pub const ALL: &[(&str, Self)] = &[
        ("records-read-once", Self::RecordsReadOnce),
        ("no-guard", Self::NoGuard),
        ("describe-believed", Self::DescribeBelieved),
        ("unconditional-writes", Self::Unconditional),
        ("lease-without-claim", Self::LeaseWithoutClaim),
        ("oldest-only", Self::OldestOnly),
        ("attached-early", Self::AttachedEarly),
        ("released-early", Self::ReleasedEarly),
        ("no-poke", Self::NoPoke),
        ("no-token", Self::NoToken),
        ("lease-expires", Self::LeaseExpires),
        ("claim-deleted", Self::ClaimDeleted),
        ("nothing-coming", Self::NothingComing),
    ];

    /// The variant of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, variant)| *variant)
    }
}
