//! `doctor`: what of the groups' settings, hooks, templates, pools and volumes will go wrong, and the command that mends
//! it. Reads only.

mod around;
mod finding;
mod judge;
mod key_policy;
mod mend;
mod reading;
mod render;
mod unseen;
mod view;

#[cfg(test)]
mod tests;

use clap::Args;
use serde::Serialize;
use volume_pool::ids::GroupName;

use crate::failure::Failure;
use crate::output;
use crate::session::Session;
use finding::{Code, Finding, Severity};
use unseen::Unseen;

pub(crate) use mend::word;

/// Look for what is wrong with the groups, and say how to mend it.
///
/// Looks at the enrolled groups (or those named): tag, hooks, policy, launch template, zones and replacement order, and at
/// their pools: slots, volumes, their tags and KMS keys; at the deployment's dead-letter queues, and at the account's quotas of
/// storage. Where nothing is wrong it says nothing. What it could not read it tells; what it never looks at (event rules,
/// permissions, concurrency, other quotas), and what of queues, keys and quotas you may not read, only with --verbose. Exit
/// code 5 where it finds an error (with --strict a warning too), 1 where it could not read all of it, else 0.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The groups [default: all that carry the tag stateful-asg:pool].
    pub(crate) groups: Vec<GroupName>,
    /// Let warnings decide the exit code too.
    #[arg(long)]
    pub(crate) strict: bool,
    /// Leave out what is known and meant; may be given again.
    #[arg(long, value_name = "CODE", hide_possible_values = true)]
    pub(crate) ignore: Vec<Code>,
    /// Say also what it never looks at or may not, with the commands that show it.
    #[arg(long, short)]
    pub(crate) verbose: bool,
    /// Print JSON: the findings, what could not be read, and what it never looks at.
    #[arg(long)]
    pub(crate) json: bool,
}

/// All that doctor has to say.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    findings: Vec<Finding>,
    /// What could not be read.
    unread: Vec<String>,
    /// What it never looks at, or may not.
    unseen: Vec<Unseen>,
}

/// Looks, says what it found, and lets the exit code tell.
pub(crate) async fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let view = reading::read(session, &arguments.groups).await?;
    let mut findings = judge::judge(&view);
    findings.retain(|finding| !arguments.ignore.contains(&finding.code));
    let (unseen, enrolled) = (unseen::unseen(&view), render::enrolled(&view));
    let report = Report { findings, unread: view.unread, unseen };
    if arguments.json {
        output::json(&report)?;
    } else {
        output::say(&render::findings(&report.findings))?;
        output::tell(&format!("{enrolled}{}", render::unread(&report.unread)))?;
        if arguments.verbose {
            output::tell(&render::unseen(&report.unseen))?;
        }
    }
    report.verdict(arguments.strict)
}

impl Report {
    fn verdict(&self, strict: bool) -> Result<(), Failure> {
        let count = |severity| self.findings.iter().filter(|it| it.severity == severity).count();
        let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
        if errors > 0 || strict && warnings > 0 {
            return Err(Failure::Found { errors, warnings });
        }
        if !self.unread.is_empty() {
            return Err(Failure::Unread);
        }
        Ok(())
    }
}
