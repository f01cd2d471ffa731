//! The status again and again. On a terminal it is drawn in place; what is piped elsewhere gets one status after the other.

use std::io::{IsTerminal as _, stdout};
use std::time::Duration;

use terminal_size::{Height, Width, terminal_size};
use tokio::time::{MissedTickBehavior, interval};
use volume_pool::Timestamp;
use volume_pool::ids::PoolName;

use super::{reading, render};
use crate::failure::Failure;
use crate::layout::wrapped;
use crate::output;
use crate::session::Session;

/// ECMA-48: the cursor to the top left, the rest of a line erased, everything below the cursor erased.
const HOME: &str = "\x1b[H";
const REST_OF_LINE: &str = "\x1b[K";
const BELOW: &str = "\x1b[J";
/// What terminals without it ignore (DEC private mode 25): the cursor hidden, and shown again.
const HIDE_CURSOR: &str = "\x1b[?25l";
const SHOW_CURSOR: &str = "\x1b[?25h";

/// What a terminal takes: columns and lines.
type Size = (usize, usize);

/// Shows the status every so often until it is interrupted. A look that fails later on is told above the last that did not.
pub(super) async fn run(
    session: &Session,
    pool: Option<&PoolName>,
    every: Duration,
) -> Result<(), Failure> {
    let terminal = stdout().is_terminal();
    if terminal {
        output::say(&format!("{HIDE_CURSOR}{HOME}{BELOW}"))?;
    }
    let shown = tokio::select! {
        shown = keep_showing(session, pool, every, terminal) => shown,
        interrupted = tokio::signal::ctrl_c() => interrupted.map_err(Failure::Output),
    };
    if terminal {
        output::say(SHOW_CURSOR)?;
    }
    shown
}

async fn keep_showing(
    session: &Session,
    pool: Option<&PoolName>,
    every: Duration,
    terminal: bool,
) -> Result<(), Failure> {
    let mut looks = interval(every);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = None;
    loop {
        looks.tick().await;
        let (status, problem) = match reading::read(session, pool).await {
            Ok(status) => (last.insert(status), None),
            Err(failure) => match last.as_mut() {
                Some(status) => (status, Some(failure.to_string())),
                None => return Err(failure),
            },
        };
        let size = terminal.then(size).flatten();
        let width = size.map(|(width, _)| width);
        let head = wrapped(&head(status.at, every, problem.as_deref()), 0, width);
        let text = format!("{head}\n{}", render::status(status, width));
        output::say(&if terminal { in_place(&text, size) } else { format!("{text}\n") })?;
    }
}

fn size() -> Option<Size> {
    terminal_size().map(|(Width(width), Height(height))| (width.into(), height.into()))
}

fn head(at: Timestamp, every: Duration, problem: Option<&str>) -> String {
    let problem = problem.map(|problem| format!(" NOT UP TO DATE: {problem}")).unwrap_or_default();
    format!("Every {} s, as of {at}. Ctrl-C ends it.{problem}", every.as_secs())
}

/// The text drawn over what is there; what the terminal has no lines for is counted.
fn in_place(text: &str, size: Option<Size>) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let room = size.map_or(lines.len(), |(_, height)| height.saturating_sub(1).max(1));
    let mut shown: Vec<String> = lines.iter().take(room).map(|line| (*line).to_owned()).collect();
    let hidden = lines.len() - shown.len();
    if hidden > 0
        && let Some(last) = shown.last_mut()
    {
        *last = format!("… {} more lines: make the window higher, or name a pool", hidden + 1);
    }
    let end = format!("{REST_OF_LINE}\r\n");
    let drawn = shown.join(&end) + &end;
    format!("{HOME}{drawn}{BELOW}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_drawn_over_the_last_one_and_leaves_nothing_of_that() {
        assert_eq!(in_place("a\nb\n", None), "\x1b[Ha\x1b[K\r\nb\x1b[K\r\n\x1b[J");
    }

    #[test]
    fn what_does_not_fit_on_the_screen_is_counted() {
        let drawn = in_place("a\nb\nc\nd\n", Some((80, 4)));
        assert!(drawn.contains("b\x1b[K\r\n… 2 more lines"), "{drawn}");
        assert!(!drawn.contains("c\x1b") && !drawn.contains("d\x1b"), "{drawn}");
        assert!(in_place("a\nb\nc\n", Some((80, 4))).contains("c\x1b[K"));
    }

    #[test]
    fn a_look_that_failed_is_told_beside_the_last_that_did_not() {
        let at = Timestamp::from_millis(0);
        let head = head(at, Duration::from_secs(2), Some("no answer"));
        assert_eq!(
            head,
            "Every 2 s, as of 1970-01-01T00:00:00.000Z. Ctrl-C ends it. NOT UP TO DATE: no answer"
        );
    }
}
