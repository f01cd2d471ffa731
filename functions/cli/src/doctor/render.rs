//! Findings as people read them: one paragraph each, the worst first, the command on a line of its own.

use std::fmt::Write as _;

use super::finding::Finding;
use super::unseen::Unseen;
use super::view::View;
use crate::layout;

/// How wide reasons are set. Commands are not broken, so that they can be pasted.
const WIDTH: usize = 110;

pub(crate) fn findings(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let Finding { severity, code, subject, reason, mend } = finding;
        let _ = writeln!(text, "{:<8} {}  {subject}", severity.name(), code.name());
        text.push_str(&layout::wrapped(reason, 4, Some(WIDTH)));
        let _ = writeln!(text, "    $ {mend}");
    }
    text
}

/// What nothing is concluded from.
pub(crate) fn unread(problems: &[String]) -> String {
    let mut text = String::new();
    for problem in problems {
        let _ = writeln!(text, "could not be read: {problem}");
    }
    text
}

/// What the silence about something else does not mean.
pub(crate) fn unseen(unseen: &[Unseen]) -> String {
    let whats: Vec<&str> = unseen.iter().map(|unseen| unseen.what.as_str()).collect();
    let line = format!("not looked at: {}", whats.join("; "));
    let mut text = layout::wrapped(&line, 0, Some(WIDTH));
    for unseen in unseen {
        let _ = writeln!(text, "    $ {}", unseen.look);
    }
    text
}

/// That there was nothing to look at, where no group was named.
pub(crate) fn enrolled(view: &View) -> String {
    if !view.groups.is_empty() {
        return String::new();
    }
    let line = "no group carries the tag stateful-asg:pool in this account and region, so none is enrolled; name a group to have it \
                looked at, or see --region and --profile";
    layout::wrapped(line, 0, Some(WIDTH))
}
