//! How things are shown to people: tables in columns, and how long something has lasted.

use std::time::Duration;

/// A table in columns, two spaces apart, each as wide as its widest cell. Empty where there are no rows.
pub(crate) fn table<const N: usize>(header: [&str; N], rows: &[[String; N]]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut widths = header.map(|cell| cell.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = line(&widths, header);
    for row in rows {
        text.push_str(&line(&widths, row.each_ref().map(String::as_str)));
    }
    text
}

fn line<const N: usize>(widths: &[usize; N], cells: [&str; N]) -> String {
    let cells = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}  "));
    let line: String = cells.collect();
    format!("{}\n", line.trim_end())
}

/// The line, cut where it is wider than the screen.
pub(crate) fn cut(line: &str, width: Option<usize>) -> String {
    match width {
        Some(width) if line.chars().count() > width => {
            let kept = line.chars().take(width.saturating_sub(1));
            kept.chain(['…']).collect()
        }
        Some(_) | None => line.to_owned(),
    }
}

/// Words on as many lines as the screen's width takes, all indented.
pub(crate) fn wrapped(text: &str, indent: usize, width: Option<usize>) -> String {
    let room = width.map_or(usize::MAX, |width| width.saturating_sub(indent).max(20));
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= room => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) | None => lines.push(word.to_owned()),
        }
    }
    let margin = " ".repeat(indent);
    format!("{margin}{}\n", lines.join(&format!("\n{margin}")))
}

/// How long something has lasted, in one or two units: what a person wants to know is whether it is seconds or hours.
pub(crate) fn age(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..600 => format!("{minutes} min {} s", seconds % 60),
        600..7_200 => format!("{minutes} min"),
        7_200..172_800 => format!("{hours} h"),
        _ => format!("{days} d"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_lines_end_without_spaces() {
        let rows = [["cassandra-0".to_owned(), "free".to_owned()], ["x".to_owned(), String::new()]];
        assert_eq!(table(["SLOT", "STATE"], &rows), "SLOT         STATE\ncassandra-0  free\nx\n");
        assert_eq!(table::<2>(["SLOT", "STATE"], &[]), "");
    }

    #[test]
    fn what_is_too_wide_is_cut_or_wrapped() {
        assert_eq!(cut("slot cassandra-0", Some(8)), "slot ca…");
        assert_eq!(cut("slot", Some(4)), "slot");
        assert_eq!(cut("slot cassandra-0", None), "slot cassandra-0");
        let reason = "waiting for slot cassandra-0, which i-1 is letting go of";
        assert_eq!(
            wrapped(reason, 2, Some(32)),
            "  waiting for slot cassandra-0,\n  which i-1 is letting go of\n"
        );
        assert_eq!(wrapped(reason, 2, None), format!("  {reason}\n"));
    }

    #[test]
    fn ages_get_coarser_with_time() {
        let shown = [0, 59, 60, 599, 600, 7_199, 7_200, 172_799, 172_800, 8_640_000];
        let shown = shown.map(|seconds| age(Duration::from_secs(seconds)));
        assert_eq!(
            shown,
            [
                "0 s",
                "59 s",
                "1 min 0 s",
                "9 min 59 s",
                "10 min",
                "119 min",
                "2 h",
                "47 h",
                "2 d",
                "100 d"
            ]
        );
    }
}
