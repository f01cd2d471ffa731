//! Everything that keeps a command from its end, and the exit code that tells a script which kind it was.

use std::io;
use std::process::ExitCode;

use volume_pool::ids::{GroupName, InvalidId};
use volume_pool::ports::PortError;
use volume_pool_aws::ConnectError;

/// Why a command did not do what it was asked to. Each says what to do about it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// There is nothing to connect to.
    #[error("no AWS region is configured; give --region, or set AWS_REGION")]
    NoRegion,
    /// AWS can't be reached from here.
    #[error(transparent)]
    Connect(ConnectError),
    /// A call failed in a way that may pass.
    #[error("{call}: no answer to go by: {problem}; try again")]
    Transient { call: &'static str, problem: String },
    /// A call was refused.
    #[error(
        "{call}: refused: {problem}; check your credentials and what they may do, --region and --table"
    )]
    Denied { call: &'static str, problem: String },
    /// A record can't be read.
    #[error("record {key}: {problem}; use the version of stateful-asg that the functions have")]
    Unreadable { key: String, problem: String },
    /// A safety rule forbids it, or things are not as they must be for it.
    #[error("refused: {0}")]
    Refused(String),
    /// Nobody agreed to it.
    #[error("{0}")]
    NotConfirmed(&'static str),
    /// Somebody else changed the records between the look and the change.
    #[error(
        "the records changed meanwhile, and nothing was done; look again, and run it again if it is still wanted"
    )]
    Changed,
    /// It was begun and not ended.
    #[error("{0}")]
    Unfinished(String),
    /// A built-in id was refused.
    #[error(transparent)]
    Id(InvalidId),
    /// The answer can't be read.
    #[error("the answer can't be read: {0}")]
    Input(io::Error),
    /// What was named is not there.
    #[error("{0}")]
    Unknown(String),
    /// What was typed, or the file that it names, can't be understood.
    #[error("{0}")]
    Usage(String),
    /// Doctor found something.
    #[error("{errors} errors and {warnings} warnings")]
    Found { errors: usize, warnings: usize },
    /// Doctor could not read all that it looks at.
    #[error("nothing is wrong in what could be read, but not all of it could be")]
    Unread,
    /// The output can't be written.
    #[error("the output can't be written: {0}")]
    Output(io::Error),
    /// The output could not be put into JSON.
    #[error("the output is no JSON: {0}")]
    Json(#[from] serde_json::Error),
}

impl Failure {
    /// Auto Scaling knows no group of that name.
    pub(crate) fn no_group(name: &GroupName) -> Self {
        Self::Unknown(format!(
            "there is no Auto Scaling group {name} in this account and region; check the name, --region and --profile"
        ))
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            _ if self.is_silent() => ExitCode::SUCCESS,
            Self::Usage(_) => ExitCode::from(2),
            Self::Found { .. } => ExitCode::from(5),
            Self::NoRegion
            | Self::Connect(_)
            | Self::Transient { .. }
            | Self::Denied { .. }
            | Self::Unreadable { .. }
            | Self::Unknown(_)
            | Self::Changed
            | Self::Unfinished(_)
            | Self::Id(_)
            | Self::Input(_)
            | Self::Unread
            | Self::Output(_)
            | Self::Json(_) => ExitCode::from(1),
            Self::Refused(_) => ExitCode::from(3),
            Self::NotConfirmed(_) => ExitCode::from(4),
        }
    }

    /// Whether there is nobody to tell: whoever closed the other end of a pipe does not want to read on.
    pub(crate) fn is_silent(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::NoRegion => Self::NoRegion,
            error @ (ConnectError::NoRandomness(_) | ConnectError::Name(_)) => Self::Connect(error),
        }
    }
}

impl From<PortError> for Failure {
    fn from(error: PortError) -> Self {
        match error {
            PortError::Transient { call, problem } => Self::Transient { call, problem },
            PortError::Denied { call, problem } => Self::Denied { call, problem },
            PortError::Unreadable { key, problem } => Self::Unreadable { key, problem },
        }
    }
}
