//! Tags on EC2 resources: limits, reserved keys, and the three tag operations.

use std::collections::{BTreeMap, BTreeSet};

use super::World;
use super::errors::ApiError;
use super::filters::{Filter, Filtered, Page, PageRequest, check_ec2, passes};

/// Tags by key.
pub type Tags = BTreeMap<String, String>;

const TAGS_PER_RESOURCE: usize = 50;

/// One tag of one resource, as `DescribeTags` lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagDescription {
    /// The resource that has the tag.
    pub resource_id: String,
    /// `instance`, `volume` or `launch-template`.
    pub resource_type: &'static str,
    /// The tag's key.
    pub key: String,
    /// The tag's value.
    pub value: String,
}

/// A tag as the filters of `DescribeTags` see it.
struct Listed {
    tag: TagDescription,
    alone: Tags,
}

impl Filtered for Listed {
    const NAMES: &'static [&'static str] = &["key", "resource-id", "resource-type", "value"];

    fn values_of(&self, name: &str) -> Vec<String> {
        vec![match name {
            "key" => self.tag.key.clone(),
            "resource-id" => self.tag.resource_id.clone(),
            "resource-type" => self.tag.resource_type.to_owned(),
            _ => self.tag.value.clone(),
        }]
    }

    fn tags(&self) -> &Tags {
        &self.alone
    }
}

/// A deletion of one tag: with a value, only if that is the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagDeletion {
    /// The tag's key.
    pub key: String,
    /// The value that it must have.
    pub value: Option<String>,
}

/// Refuses tags that a caller may not set.
pub(super) fn check_tags(tags: &Tags) -> Result<(), ApiError> {
    for (key, value) in tags {
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(ApiError::InvalidParameterValue(
                "Tag keys starting with 'aws:' are reserved for internal use".to_owned(),
            ));
        }
        if key.is_empty() || key.chars().count() > 128 {
            return Err(ApiError::InvalidParameterValue(format!(
                "Tag key '{key}' must have between 1 and 128 characters"
            )));
        }
        if value.chars().count() > 256 {
            return Err(ApiError::InvalidParameterValue(format!(
                "Tag value of key '{key}' exceeds the maximum length of 256 characters"
            )));
        }
    }
    check_number(tags.keys())
}

/// Refuses more tags than a resource can have. Those of AWS do not count ("Tag your Amazon EC2 resources", tag restrictions).
fn check_number<'a>(keys: impl Iterator<Item = &'a String>) -> Result<(), ApiError> {
    let counted: BTreeSet<&String> = keys.filter(|key| !key.starts_with("aws:")).collect();
    if counted.len() > TAGS_PER_RESOURCE { Err(ApiError::TagLimitExceeded) } else { Ok(()) }
}

impl World {
    /// `CreateTags`: sets tags on several resources, all or none.
    pub fn create_tags(&mut self, resources: &[String], tags: &Tags) -> Result<(), ApiError> {
        check_tags(tags)?;
        for resource in resources {
            check_number(self.tags_of(resource)?.keys().chain(tags.keys()))?;
        }
        for resource in resources {
            self.change_tags(resource, |existing| existing.extend(tags.clone()));
        }
        Ok(())
    }

    /// `DeleteTags`: removes tags; those that are not there, or have another value, are left alone.
    pub fn delete_tags(
        &mut self,
        resources: &[String],
        deletions: &[TagDeletion],
    ) -> Result<(), ApiError> {
        for resource in resources {
            self.tags_of(resource)?;
        }
        for resource in resources {
            self.change_tags(resource, |tags| {
                for deletion in deletions {
                    let found = tags.get(&deletion.key);
                    if found.is_some() && deletion.value.as_ref().is_none_or(|it| found == Some(it))
                    {
                        tags.remove(&deletion.key);
                    }
                }
            });
        }
        Ok(())
    }

    /// `DescribeTags`.
    pub fn describe_tags(
        &self,
        filters: &[Filter],
        page: &PageRequest,
    ) -> Result<Page<TagDescription>, ApiError> {
        check_ec2::<Listed>(filters)?;
        let volumes = self.volumes.all_shown(self.now).into_iter();
        let volumes = volumes.map(|volume| (&volume.id, "volume", &volume.tags));
        let instances = self.instances.all_shown(self.now).into_iter();
        let instances = instances.map(|instance| (&instance.id, "instance", &instance.tags));
        let snapshots = self.snapshots.values().map(|it| (&it.id, "snapshot", &it.tags));
        let templates = self.templates.values().map(|it| (&it.id, "launch-template", &it.tags));
        let mut listed: Vec<TagDescription> = volumes
            .chain(instances)
            .chain(snapshots)
            .chain(templates)
            .flat_map(|(id, resource_type, tags)| {
                tags.iter().map(move |(key, value)| TagDescription {
                    resource_id: id.clone(),
                    resource_type,
                    key: key.clone(),
                    value: value.clone(),
                })
            })
            .map(|tag| Listed { alone: Tags::from([(tag.key.clone(), tag.value.clone())]), tag })
            .filter(|listed| passes(listed, filters))
            .map(|listed| listed.tag)
            .collect();
        let order = |tag: &TagDescription| format!("{} {}", tag.resource_id, tag.key);
        listed.sort_by_key(order);
        page.cut(listed, self.config.page_limit, order)
    }

    fn tags_of(&self, resource: &str) -> Result<&Tags, ApiError> {
        if resource.starts_with("vol-") {
            let volume = self.volumes.get(resource);
            volume.map(|it| &it.tags).ok_or_else(|| ApiError::VolumeNotFound(resource.to_owned()))
        } else if resource.starts_with("i-") {
            let instance = self.instances.get(resource);
            instance
                .map(|it| &it.tags)
                .ok_or_else(|| ApiError::InstanceNotFound(vec![resource.to_owned()]))
        } else if resource.starts_with("snap-") {
            self.snapshot(resource).map(|it| &it.tags)
        } else if resource.starts_with("lt-") {
            let template = self.templates.get(resource);
            template
                .map(|it| &it.tags)
                .ok_or_else(|| ApiError::TemplateIdNotFound(resource.to_owned()))
        } else {
            Err(ApiError::InvalidId(resource.to_owned()))
        }
    }

    fn change_tags(&mut self, resource: &str, change: impl FnOnce(&mut Tags)) {
        if let Some(volume) = self.volumes.get_mut(resource, self.now) {
            change(&mut volume.tags);
        } else if let Some(instance) = self.instances.get_mut(resource, self.now) {
            change(&mut instance.tags);
        } else if let Some(snapshot) = self.snapshots.get_mut(resource) {
            change(&mut snapshot.tags);
        } else if let Some(template) = self.templates.get_mut(resource) {
            change(&mut template.tags);
        }
    }
}
