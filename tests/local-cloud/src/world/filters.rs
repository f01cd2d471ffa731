//! Filters and pages of describes, strict as EC2's: a filter that the operation does not know is refused, values
//! may hold wildcards, and a page token is one that this world gave out.

use std::collections::BTreeSet;

use super::errors::ApiError;
use super::tags::Tags;

/// One filter of a describe: any of its values matches; all filters of a call must.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// The filter's name, as in `tag:pool`.
    pub name: String,
    /// The values, in which `*` stands for any text, `?` for one character, and `\` takes their meaning away.
    pub values: Vec<String>,
}

impl Filter {
    /// A filter on one value.
    pub fn new(name: &str, value: &str) -> Self {
        Self { name: name.to_owned(), values: vec![value.to_owned()] }
    }

    fn accepts(&self, actual: &str) -> bool {
        self.values.iter().any(|pattern| matches(pattern, actual))
    }
}

/// Something that a describe can filter.
pub(super) trait Filtered {
    /// The filters that there are beside `tag:` and `tag-key`.
    const NAMES: &'static [&'static str];

    /// What the record has under a filter's name: none, one or several values.
    fn values_of(&self, name: &str) -> Vec<String>;

    /// The record's tags.
    fn tags(&self) -> &Tags;
}

/// EC2 API Reference, "List and filter your resources": 50 filters and 200 values of each in one request.
const FILTERS: usize = 50;
const VALUES: usize = 200;

/// Refuses filters that `T` does not have, and more than EC2 takes.
pub(super) fn check_ec2<T: Filtered>(filters: &[Filter]) -> Result<(), ApiError> {
    if filters.len() > FILTERS {
        return Err(ApiError::FilterLimitExceeded("filters", FILTERS));
    }
    if filters.iter().any(|filter| filter.values.len() > VALUES) {
        return Err(ApiError::FilterLimitExceeded("filter values", VALUES));
    }
    check::<T>(filters)
}

/// Refuses filters that `T` does not have.
pub(super) fn check<T: Filtered>(filters: &[Filter]) -> Result<(), ApiError> {
    for Filter { name, .. } in filters {
        let tagged =
            name == "tag-key" || name.strip_prefix("tag:").is_some_and(|key| !key.is_empty());
        if !tagged && !T::NAMES.contains(&name.as_str()) {
            return Err(ApiError::InvalidParameterValue(format!("The filter '{name}' is invalid")));
        }
    }
    Ok(())
}

/// Whether a record passes all filters.
pub(super) fn passes<T: Filtered>(record: &T, filters: &[Filter]) -> bool {
    filters.iter().all(|filter| {
        if filter.name == "tag-key" {
            record.tags().keys().any(|key| filter.accepts(key))
        } else if let Some(key) = filter.name.strip_prefix("tag:") {
            record.tags().get(key).is_some_and(|value| filter.accepts(value))
        } else {
            record.values_of(&filter.name).iter().any(|value| filter.accepts(value))
        }
    })
}

/// The ids that a filter of this name leaves, in order, where it names each of them in full: nothing else need be looked at.
pub(super) fn ids_named<'a>(filters: &'a [Filter], name: &str) -> Option<BTreeSet<&'a str>> {
    let filter = filters.iter().find(|filter| filter.name == name)?;
    let ids = filter.values.iter().map(String::as_str);
    ids.map(|id| is_literal(id).then_some(id)).collect()
}

fn is_literal(pattern: &str) -> bool {
    !pattern.contains(['*', '?', '\\'])
}

/// Which page of a describe is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PageRequest {
    /// At most this many records.
    pub max_results: Option<usize>,
    /// Where the last page ended.
    pub next_token: Option<String>,
}

/// One page of a describe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The records.
    pub items: Vec<T>,
    /// What to ask for the rest with.
    pub next_token: Option<String>,
}

const TOKEN: &str = "page-after-";

impl PageRequest {
    /// Cuts the page out of all records, which are in the order of `key`. A token says which key came last, so
    /// that records that come and go between two pages are neither shown twice nor lost.
    pub(super) fn cut<T>(
        &self,
        records: Vec<T>,
        limit: usize,
        key: impl Fn(&T) -> String,
    ) -> Result<Page<T>, ApiError> {
        let after = match &self.next_token {
            None => None,
            Some(token) => match token.strip_prefix(TOKEN) {
                Some(after) => Some(after),
                None => return Err(ApiError::InvalidNextToken(token.clone())),
            },
        };
        let size = self.max_results.unwrap_or(limit).min(limit).max(1);
        let mut rest = records
            .into_iter()
            .filter(|record| after.is_none_or(|after| key(record).as_str() > after));
        let items: Vec<T> = rest.by_ref().take(size).collect();
        let more = rest.next().is_some();
        let next_token = match items.last() {
            Some(last) if more => Some(format!("{TOKEN}{}", key(last))),
            _ => None,
        };
        Ok(Page { items, next_token })
    }
}

/// Whether a text matches a pattern with EC2's wildcards.
fn matches(pattern: &str, text: &str) -> bool {
    if is_literal(pattern) {
        return pattern == text;
    }
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    // Where the latest star stands in the pattern, and what of the text it swallows so far.
    let mut star: Option<(usize, usize)> = None;
    let (mut at, mut seen) = (0, 0);
    while seen < text.len() {
        let (wanted, width, literal) = match (pattern.get(at), pattern.get(at + 1)) {
            (Some('\\'), Some(next)) => (Some(*next), 2, true),
            (Some(next), _) => (Some(*next), 1, false),
            (None, _) => (None, 0, true),
        };
        if wanted == Some('*') && !literal {
            star = Some((at + 1, seen));
            at += 1;
        } else if wanted.is_some_and(|it| it == text[seen] || (it == '?' && !literal)) {
            at += width;
            seen += 1;
        } else if let Some((after_star, swallowed)) = star {
            star = Some((after_star, swallowed + 1));
            at = after_star;
            seen = swallowed + 1;
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_as_on_ec2() {
        for (pattern, text) in [
            ("data", "data"),
            ("*", ""),
            ("cas*dra-?", "cassandra-0"),
            ("*-0", "a-0-0"),
            ("a\\*b", "a*b"),
            ("\\?", "?"),
        ] {
            assert!(matches(pattern, text), "{pattern} should match {text}");
        }
        for (pattern, text) in [
            ("data", "Data"),
            ("a?", "a"),
            ("a\\*b", "axb"),
            ("", "a"),
            ("*-1", "a-0"),
            ("ab", "a"),
        ] {
            assert!(!matches(pattern, text), "{pattern} should not match {text}");
        }
    }

    #[test]
    fn pages_follow_each_other_without_gap_or_repetition() {
        let all: Vec<String> = (0..7).map(|n| format!("vol-{n}")).collect();
        let mut request = PageRequest { max_results: Some(3), next_token: None };
        let mut seen = Vec::new();
        loop {
            let page = request.cut(all.clone(), 1_000, Clone::clone).unwrap();
            assert!(page.items.len() <= 3);
            seen.extend(page.items);
            match page.next_token {
                Some(token) => request.next_token = Some(token),
                None => break,
            }
        }
        assert_eq!(seen, all);
    }

    #[test]
    fn a_page_token_that_nobody_gave_out_is_refused() {
        let request = PageRequest { max_results: None, next_token: Some("mine".into()) };
        let refused = request.cut(vec!["a".to_owned()], 10, Clone::clone).unwrap_err();
        assert_eq!(refused.code(), "InvalidNextToken");
    }
}
