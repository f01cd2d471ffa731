//! What an answer of AWS must hold to be understood. An answer that does not hold it is no answer: nothing is ever
//! guessed or left out, because a volume whose attachment can't be read must not look as if it had none.

use std::fmt::Display;

use volume_pool::ids::InvalidId;
use volume_pool::ports::PortError;

/// Why an answer of AWS can't be understood.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unintelligible {
    /// A field that is always there is not.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A name that is none.
    #[error(transparent)]
    Name(#[from] InvalidId),
    /// A time before 1970.
    #[error("{0} is not a time after 1970")]
    Time(&'static str),
}

/// The field's value, which AWS always gives although its model does not promise it.
pub(crate) fn present<T>(field: &'static str, value: Option<T>) -> Result<T, Unintelligible> {
    value.ok_or(Unintelligible::Missing(field))
}

/// The answer of `call` about `subject` could not be understood.
#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
pub(crate) fn unintelligible(
    call: &'static str,
    subject: impl Display,
    problem: Unintelligible,
) -> PortError {
    PortError::Transient {
        call,
        problem: format!("the answer about {subject} can't be understood: {problem}"),
    }
}
