//! Standard output.

use std::io::{Write as _, stderr, stdout};

use serde::Serialize;

use crate::failure::Failure;

/// Writes text as it is.
pub(crate) fn say(text: &str) -> Result<(), Failure> {
    let mut out = stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Failure::Output)
}

/// Writes text beside what was asked for, to standard error.
pub(crate) fn tell(text: &str) -> Result<(), Failure> {
    stderr().lock().write_all(text.as_bytes()).map_err(Failure::Output)
}

/// Writes JSON, for programs.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Failure> {
    say(&format!("{}\n", serde_json::to_string_pretty(value)?))
}
