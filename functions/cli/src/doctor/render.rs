//! Findings as people read them: one paragraph each, the worst first, the command on a line of its own.

use std::fmt::Write as _;

use super::Report;
use super::finding::Finding;
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

/// What the silence about something else does not mean.
pub(crate) fn limits(report: &Report) -> String {
    let mut text = String::new();
    for unread in &report.unread {
        let _ = writeln!(text, "could not be read: {unread}");
    }
    let unseen: Vec<&str> = report.unseen.iter().map(|unseen| unseen.what.as_str()).collect();
    let line =
        format!("not looked at: {}; --json gives the commands that show them", unseen.join(", "));
    text.push_str(&layout::wrapped(&line, 0, Some(WIDTH)));
    text
}
