//! What the templates in `infra/`, the table in `infra/iam.md` and the code say, each in one form, so that tests can hold
//! them against each other. Nothing here judges.

use std::error::Error;
use std::path::{Path, PathBuf};

pub mod alarms;
pub mod calls;
pub mod permissions;
pub mod template;

/// Any error: these are tests, which only report it.
pub type Failure = Box<dyn Error + Send + Sync>;

/// A place in this repository.
pub fn at(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// The text of a file in this repository.
pub fn text(path: &str) -> Result<String, Failure> {
    std::fs::read_to_string(at(path)).map_err(|error| format!("{path}: {error}").into())
}
