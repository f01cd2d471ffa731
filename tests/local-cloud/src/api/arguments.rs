//! How operations read what they are asked: values of the right kind, and nothing left over. An operation gets at the
//! world only through [`Call::world`], which refuses a request that has parameters nobody read.

use std::str::FromStr;

use crate::query::Params;
use crate::world::{ApiError, Filter, PageRequest, Tags, World};

/// One request to one world.
pub(super) struct Call<'a> {
    params: &'a Params,
    world: &'a mut World,
}

impl<'a> Call<'a> {
    pub(super) fn new(params: &'a Params, world: &'a mut World) -> Self {
        Self { params, world }
    }

    /// What is asked.
    pub(super) fn params(&self) -> &'a Params {
        self.params
    }

    /// The world, once everything that was asked has been read.
    pub(super) fn world(&mut self) -> Result<&mut World, ApiError> {
        match self.params.unread().into_iter().next() {
            Some(name) => Err(ApiError::UnknownParameter(name)),
            None => Ok(self.world),
        }
    }
}

/// Typed reads of parameters.
pub(super) trait Arguments {
    /// A text that may be absent.
    fn optional(&self, name: &str) -> Option<String>;
    /// A text that must be there.
    fn required(&self, name: &str) -> Result<String, ApiError>;
    /// A number that may be absent.
    fn number<N: FromStr>(&self, name: &str) -> Result<Option<N>, ApiError>;
    /// `true` or `false`, or absent.
    fn flag(&self, name: &str) -> Result<Option<bool>, ApiError>;
    /// Tags: `prefix.1.Key` and `prefix.1.Value`.
    fn tags(&self, prefix: &str) -> Result<Tags, ApiError>;
    /// EC2's filters: `Filter.1.Name` and `Filter.1.Value.1`.
    fn ec2_filters(&self) -> Result<Vec<Filter>, ApiError>;
    /// Auto Scaling's filters: `Filters.member.1.Name` and `Filters.member.1.Values.member.1`.
    fn scaling_filters(&self) -> Result<Vec<Filter>, ApiError>;
    /// EC2's page: `MaxResults`, from `least` to 1,000, which doesn't go with ids, and `NextToken`.
    fn ec2_page(&self, least: usize, ids: &[String]) -> Result<PageRequest, ApiError>;
    /// Auto Scaling's page: `MaxRecords`, from 1 to `most`, and `NextToken`.
    fn scaling_page(&self, usual: usize, most: usize) -> Result<PageRequest, ApiError>;
    /// Refuses what nobody can act on: a parameter that is accepted only with one value.
    fn only(&self, name: &str, accepted: &[&str]) -> Result<(), ApiError>;
}

impl Arguments for Params {
    fn optional(&self, name: &str) -> Option<String> {
        self.get(name).map(str::to_owned)
    }

    fn required(&self, name: &str) -> Result<String, ApiError> {
        match self.get(name) {
            Some(value) if !value.is_empty() => Ok(value.to_owned()),
            _ => Err(ApiError::MissingParameter(name.to_owned())),
        }
    }

    fn number<N: FromStr>(&self, name: &str) -> Result<Option<N>, ApiError> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        value.parse().map(Some).map_err(|_| invalid(name, value))
    }

    fn flag(&self, name: &str) -> Result<Option<bool>, ApiError> {
        match self.get(name) {
            None => Ok(None),
            Some(value) if value.eq_ignore_ascii_case("true") => Ok(Some(true)),
            Some(value) if value.eq_ignore_ascii_case("false") => Ok(Some(false)),
            Some(value) => Err(invalid(name, value)),
        }
    }

    fn tags(&self, prefix: &str) -> Result<Tags, ApiError> {
        let mut tags = Tags::new();
        for tag in self.structs(prefix) {
            let key = tag.required("Key")?;
            if tags.insert(key.clone(), tag.optional("Value").unwrap_or_default()).is_some() {
                return Err(ApiError::InvalidParameterValue(format!(
                    "Duplicate tag key '{key}' specified."
                )));
            }
        }
        Ok(tags)
    }

    fn ec2_filters(&self) -> Result<Vec<Filter>, ApiError> {
        filters(&self.structs("Filter"), "Value")
    }

    fn scaling_filters(&self) -> Result<Vec<Filter>, ApiError> {
        filters(&self.structs("Filters"), "Values")
    }

    fn ec2_page(&self, least: usize, ids: &[String]) -> Result<PageRequest, ApiError> {
        let max_results: Option<usize> = self.number("MaxResults")?;
        match max_results {
            Some(_) if !ids.is_empty() => {
                return Err(ApiError::InvalidParameterCombination(
                    "The parameter MaxResults cannot be used with resource IDs in the same request"
                        .to_owned(),
                ));
            }
            Some(most) if most < least => {
                return Err(ApiError::InvalidParameterValue(format!(
                    "Value ( {most} ) for parameter maxResults is invalid. Expecting a value greater than \
                     {least}."
                )));
            }
            Some(most) if most > 1_000 => {
                return Err(ApiError::InvalidParameterValue(format!(
                    "Value ( {most} ) for parameter maxResults is invalid. Expecting a value smaller than \
                     1000."
                )));
            }
            _ => {}
        }
        Ok(PageRequest { max_results, next_token: token(self) })
    }

    fn scaling_page(&self, usual: usize, most: usize) -> Result<PageRequest, ApiError> {
        let asked: Option<usize> = self.number("MaxRecords")?;
        if asked.is_some_and(|asked| asked == 0 || asked > most) {
            return Err(ApiError::Validation(format!(
                "The value of MaxRecords must be between 1 and {most}"
            )));
        }
        Ok(PageRequest { max_results: asked.or(Some(usual)), next_token: token(self) })
    }

    fn only(&self, name: &str, accepted: &[&str]) -> Result<(), ApiError> {
        match self.get(name) {
            Some(value) if !accepted.contains(&value) => Err(invalid(name, value)),
            _ => Ok(()),
        }
    }
}

/// The refusal of a value that cannot be read.
pub(super) fn invalid(name: &str, value: &str) -> ApiError {
    ApiError::InvalidParameterValue(format!("Value ({value}) for parameter {name} is invalid."))
}

fn filters(given: &[Params], values: &str) -> Result<Vec<Filter>, ApiError> {
    given
        .iter()
        .map(|filter| Ok(Filter { name: filter.required("Name")?, values: filter.list(values) }))
        .collect()
}

fn token(params: &Params) -> Option<String> {
    params.optional("NextToken").filter(|token| !token.is_empty())
}
