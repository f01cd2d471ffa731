//! What can be typed.

use clap::{Args, Parser, Subcommand};
use volume_pool_aws::function::{DEFAULT_HOOK_PREFIX, HOOK_PREFIX, TABLE};

use crate::{
    adopt, allow_format, doctor, enroll, explain, history, moving, pause, plan, quarantine,
    rebuild, reinstate, release, retire, status, unenroll,
};

/// Shows what stateful-asg does with the volumes of Auto Scaling groups, why, and what comes next; and lets a person step in.
///
/// It reads the lease table, EC2 and Auto Scaling with your own credentials, found as the AWS CLI finds them: environment,
/// profile, role. For a profile that signs in by IAM Identity Center, export them first:
/// eval "$(aws configure export-credentials --format env)".
#[derive(Debug, Parser)]
#[command(name = "stateful-asg", version, after_long_help = EXIT_CODES, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) options: Options,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  done, or nothing was to be done
  1  something could not be read or written
  2  the command line is wrong
  3  refused: a safety rule forbids it, or things are not as they must be for it
  4  not confirmed
  5  doctor found something";

/// Where help lists what every command takes: below what is the command's own.
const EVERYWHERE: &str = "For every command";

/// What every command takes.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The lease table.
    #[arg(long, global = true, help_heading = EVERYWHERE, env = TABLE, default_value = "stateful-asg", value_name = "NAME")]
    pub(crate) table: String,
    /// The AWS region [default: the environment's or the profile's].
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "REGION")]
    pub(crate) region: Option<String>,
    /// The profile of the AWS configuration files [default: the environment's].
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// What the names of the groups' lifecycle hooks begin with.
    #[arg(long, global = true, help_heading = EVERYWHERE, env = HOOK_PREFIX, default_value = DEFAULT_HOOK_PREFIX, value_name = "TEXT")]
    pub(crate) hook_prefix: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Status(status::Arguments),
    Explain(explain::Arguments),
    Plan(plan::Arguments),
    History(history::Arguments),
    Pause(pause::Pause),
    Resume(pause::Resume),
    Quarantine(quarantine::Arguments),
    Reinstate(reinstate::Arguments),
    AllowFormat(allow_format::Arguments),
    Release(release::Arguments),
    Retire(retire::Arguments),
    Move(moving::Arguments),
    Adopt(adopt::Arguments),
    Rebuild(rebuild::Arguments),
    Doctor(doctor::Arguments),
    Enroll(enroll::Arguments),
    Leave(unenroll::Arguments),
}
