//! What the end-to-end tests have in common: a trial, which is one story on a local cloud of its own, and what must
//! hold at the end of each. A story never fails silently: its failure carries the world, the records and the last log
//! lines of the functions.

pub(crate) mod checks;
pub(crate) mod cli;
pub(crate) mod group;
pub(crate) mod logs;
pub(crate) mod throttle;
pub(crate) mod tool;
pub(crate) mod trial;

use std::fmt;

pub(crate) use end_to_end::Failure;

/// A failure that reads the same in `Debug`, which is what the test harness prints.
pub(crate) struct Problem(String);

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Problem {}

/// A failure with this text.
pub(crate) fn problem(text: impl Into<String>) -> Failure {
    Box::new(Problem(text.into()))
}

/// Fails unless the two are the same.
pub(crate) fn same<T: PartialEq + fmt::Debug>(
    what: &str,
    seen: &T,
    expected: &T,
) -> Result<(), Failure> {
    if seen == expected {
        return Ok(());
    }
    Err(problem(format!("{what}: {seen:?} where {expected:?} was expected")))
}

/// Fails unless `holds`.
pub(crate) fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(problem(otherwise())) }
}
