//! What a cancelled transaction means: that it lost, that it had happened before, or that it must be tried again.
//! A pure function of what was to be written and what DynamoDB gave as reasons.

use aws_sdk_dynamodb::types::CancellationReason;
use volume_pool::transition::{Expect, Write};

use super::item;

/// What to make of a cancelled transaction, which has written nothing.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It had been made before, by an attempt whose reply was lost.
    Committed,
    /// A record was not as expected.
    Conflict,
    /// Other writers were in the way, or DynamoDB was busy.
    Contended(String),
    /// DynamoDB will not take it.
    Refused(String),
}

/// Reasons that pass ("`TransactionCanceledException`", `TransactWriteItems`).
const PASSING: &[&str] =
    &["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"];

/// The reason of a write whose condition did not hold.
const CONDITION_FAILED: &str = "ConditionalCheckFailed";

/// The reason of a write that was not what the transaction failed for.
const NO_REASON: &str = "None";

/// Judges the reasons, which stand in the order of the writes.
pub(super) fn of(writes: &[Write], reasons: &[CancellationReason]) -> Verdict {
    let has = |code: &str| reasons.iter().any(|reason| reason.code() == Some(code));
    if has(CONDITION_FAILED) {
        return if made_before(writes, reasons) { Verdict::Committed } else { Verdict::Conflict };
    }
    let text = text(reasons);
    if PASSING.iter().any(|code| has(code)) {
        Verdict::Contended(text)
    } else {
        Verdict::Refused(text)
    }
}

/// Whether every conditional write finds at its key the very record that it was to put there. An earlier success of
/// the same transaction leaves just that: it raised each version that it was conditional on, so that all its
/// conditions fail now. Anything less is a conflict, which is always safe to report: the caller looks again.
fn made_before(writes: &[Write], reasons: &[CancellationReason]) -> bool {
    if writes.len() != reasons.len() {
        return false;
    }
    writes.iter().zip(reasons).all(|(write, reason)| match write {
        Write::Delete(_) | Write::Put(_, Expect::Mark) => true,
        Write::Put(intended, Expect::Absent | Expect::Version(_) | Expect::Unpoked(_)) => {
            reason.code() == Some(CONDITION_FAILED)
                && reason.item().is_some_and(|found| item::record(found).as_ref() == Ok(intended))
        }
    })
}

fn text(reasons: &[CancellationReason]) -> String {
    let told = reasons.iter().filter(|reason| reason.code() != Some(NO_REASON)).map(|reason| {
        let code = reason.code().unwrap_or("no code");
        reason.message().map_or_else(|| code.to_owned(), |message| format!("{code}: {message}"))
    });
    let told: Vec<String> = told.collect();
    format!("transaction cancelled: {}", told.join("; "))
}

#[cfg(test)]
mod tests {
    use volume_pool::record::{Claim, Record, VolumeOwner};

    use super::*;

    fn claim(version: u64) -> Record {
        let mut claim = Claim::new("i-0123456789abcdef0".parse().unwrap());
        claim.version = version;
        Record::Claim(claim)
    }

    fn owner(slot: &str) -> Record {
        Record::Volume(VolumeOwner {
            volume: "vol-0123456789abcdef0".parse().unwrap(),
            slot: slot.parse().unwrap(),
        })
    }

    fn reason(code: &str) -> CancellationReason {
        CancellationReason::builder().code(code).build()
    }

    /// A failed condition with the record that is there instead, as the table holds it.
    fn found(record: &Record) -> CancellationReason {
        let write = item::write("leases", &Write::Put(record.clone(), Expect::Mark)).unwrap();
        let update = write.update.unwrap();
        let values = update.expression_attribute_values.unwrap();
        let mut item = update.key;
        for name in ["schema", "version", "record"] {
            item.insert(name.to_owned(), values[&format!(":{name}")].clone());
        }
        CancellationReason::builder().code(CONDITION_FAILED).set_item(Some(item)).build()
    }

    #[test]
    fn a_transaction_whose_records_are_all_there_was_made_before() {
        let writes = [
            Write::Put(claim(4), Expect::Version(3)),
            Write::Put(owner("cassandra-0"), Expect::Absent),
            Write::Delete(claim(4).key()),
        ];
        let reasons = [found(&claim(4)), found(&owner("cassandra-0")), reason(NO_REASON)];
        assert_eq!(of(&writes, &reasons), Verdict::Committed);
    }

    #[test]
    fn one_record_that_differs_is_a_conflict() {
        let writes = [
            Write::Put(claim(4), Expect::Version(3)),
            Write::Put(owner("cassandra-0"), Expect::Absent),
        ];
        let reasons = [found(&claim(4)), found(&owner("cassandra-1"))];
        assert_eq!(of(&writes, &reasons), Verdict::Conflict);
    }

    #[test]
    fn one_condition_that_held_is_a_conflict() {
        let writes = [
            Write::Put(claim(4), Expect::Version(3)),
            Write::Put(owner("cassandra-0"), Expect::Absent),
        ];
        let reasons = [found(&claim(4)), reason(NO_REASON)];
        assert_eq!(of(&writes, &reasons), Verdict::Conflict);
    }

    #[test]
    fn a_failed_condition_without_the_old_item_is_a_conflict() {
        let writes = [Write::Put(claim(4), Expect::Version(3))];
        assert_eq!(of(&writes, &[reason(CONDITION_FAILED)]), Verdict::Conflict);
    }

    #[test]
    fn a_failed_condition_outweighs_contention() {
        let writes = [
            Write::Put(claim(4), Expect::Version(3)),
            Write::Put(owner("cassandra-0"), Expect::Absent),
        ];
        let reasons = [found(&claim(5)), reason("TransactionConflict")];
        assert_eq!(of(&writes, &reasons), Verdict::Conflict);
    }

    #[test]
    fn contention_and_throttling_pass() {
        let writes = [Write::Put(claim(4), Expect::Version(3)), Write::Delete(claim(4).key())];
        for code in PASSING {
            let verdict = of(&writes, &[reason(NO_REASON), reason(code)]);
            assert_eq!(verdict, Verdict::Contended(format!("transaction cancelled: {code}")));
        }
    }

    #[test]
    fn what_dynamodb_will_not_take_is_refused_in_its_words() {
        let writes = [Write::Put(claim(4), Expect::Version(3))];
        let reason = CancellationReason::builder()
            .code("ValidationError")
            .message("Item size to update has exceeded the maximum allowed size")
            .build();
        assert_eq!(
            of(&writes, &[reason]),
            Verdict::Refused(
                "transaction cancelled: ValidationError: Item size to update has exceeded the maximum \
                 allowed size"
                    .to_owned()
            )
        );
    }
}
