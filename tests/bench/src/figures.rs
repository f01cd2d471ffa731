//! Figures of repeated runs, and the table that they are printed in.

use std::fmt;
use std::time::Duration;

/// What repeated runs came to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Figures(Vec<f64>);

impl Figures {
    /// Of these values.
    pub(crate) fn new(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    /// In milliseconds.
    pub(crate) fn millis(durations: impl IntoIterator<Item = Duration>) -> Self {
        Self::new(durations.into_iter().map(|duration| duration.as_secs_f64() * 1e3))
    }

    /// The value below which half of them lie.
    pub(crate) fn median(&self) -> f64 {
        self.at(50)
    }

    /// The value below which so many in a hundred lie.
    pub(crate) fn at(&self, percent: usize) -> f64 {
        let last = self.0.len().saturating_sub(1);
        self.0.get((last * percent).div_ceil(100)).copied().unwrap_or(f64::NAN)
    }

    /// Their mean.
    pub(crate) fn mean(&self) -> f64 {
        let count = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        self.0.iter().sum::<f64>() / f64::from(count.max(1))
    }

    /// How often the median of the others is that of these.
    pub(crate) fn ratio(&self, others: &Self) -> f64 {
        others.median() / self.median()
    }

    /// The median, and from the least to the most.
    pub(crate) fn shown(&self, unit: &str) -> [String; 2] {
        let [median, least, most] = [50, 0, 100].map(|percent| rounded(self.at(percent)));
        [format!("{median} {unit}"), format!("{least} to {most}")]
    }
}

/// A number with three digits that count.
pub(crate) fn rounded(number: f64) -> String {
    let digits = if number.abs() >= 100.0 {
        0
    } else if number.abs() >= 10.0 {
        1
    } else {
        2
    };
    format!("{number:.digits$}")
}

/// The table; prints as Markdown.
#[derive(Debug, Default)]
pub(crate) struct Table(Vec<[String; 5]>);

impl Table {
    /// A line: what was measured, its median, its spread, what it is beside, and what is aimed at.
    pub(crate) fn line(
        &mut self,
        what: &str,
        [value, spread]: [String; 2],
        beside: &str,
        aim: &str,
    ) {
        self.0.push([what.to_owned(), value, spread, beside.to_owned(), aim.to_owned()]);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| measured | median | least to most | beside it | aim |")?;
        writeln!(f, "|---|---|---|---|---|")?;
        for line in &self.0 {
            writeln!(f, "| {} |", line.join(" | "))?;
        }
        Ok(())
    }
}
