//! Launch templates, so far as groups and `RunInstances` need them: numbered versions of a specification.

use volume_pool::Timestamp;

use super::World;
use super::errors::ApiError;
use super::filters::{Filter, Filtered, Page, PageRequest, check_ec2, passes};
use super::launches::LaunchSpecification;
use super::tags::{Tags, check_tags};

/// A launch template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaunchTemplate {
    /// Its id.
    pub id: String,
    /// Its name, unique in the region.
    pub name: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// Its tags.
    pub tags: Tags,
    /// The version that `$Default` stands for.
    pub default_version: u64,
    /// Its versions, the first one first.
    pub versions: Vec<TemplateVersion>,
}

/// One version of a launch template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateVersion {
    /// Its number, from 1.
    pub number: u64,
    /// What its author says of it.
    pub description: Option<String>,
    /// When it was created.
    pub created_at: Timestamp,
    /// What instances are made from.
    pub specification: LaunchSpecification,
}

/// How a launch template is named in a request: by its id or its name, and a version that may be `$Latest` or
/// `$Default`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TemplateReference {
    /// By id.
    pub id: Option<String>,
    /// By name.
    pub name: Option<String>,
    /// A number, `$Latest` or `$Default`, which is also meant by nothing.
    pub version: Option<String>,
}

impl LaunchTemplate {
    /// The number of the latest version.
    pub fn latest_version(&self) -> u64 {
        self.versions.last().map_or(0, |version| version.number)
    }

    /// A version by what a reference calls it.
    pub fn version(&self, wanted: Option<&str>) -> Result<&TemplateVersion, ApiError> {
        let number = match wanted {
            None | Some("$Default") => Some(self.default_version),
            Some("$Latest") => Some(self.latest_version()),
            Some(number) => number.parse().ok(),
        };
        self.versions.iter().find(|version| Some(version.number) == number).ok_or_else(|| {
            ApiError::TemplateVersionNotFound {
                template: self.id.clone(),
                version: wanted.unwrap_or_default().to_owned(),
            }
        })
    }
}

impl Filtered for LaunchTemplate {
    const NAMES: &'static [&'static str] = &["create-time", "launch-template-name"];

    fn values_of(&self, name: &str) -> Vec<String> {
        vec![match name {
            "create-time" => self.created_at.to_string(),
            _ => self.name.clone(),
        }]
    }

    fn tags(&self) -> &Tags {
        &self.tags
    }
}

impl World {
    /// `CreateLaunchTemplate`.
    pub fn create_launch_template(
        &mut self,
        name: &str,
        description: Option<String>,
        specification: LaunchSpecification,
        tags: Tags,
    ) -> Result<LaunchTemplate, ApiError> {
        check_tags(&tags)?;
        check_specification(&specification)?;
        if self.templates.values().any(|template| template.name == name) {
            return Err(ApiError::TemplateNameExists);
        }
        let id = self.new_id("lt");
        let created_at = self.now;
        let first = TemplateVersion { number: 1, description, created_at, specification };
        let template = LaunchTemplate {
            id: id.clone(),
            name: name.to_owned(),
            created_at,
            tags,
            default_version: 1,
            versions: vec![first],
        };
        self.templates.insert(id, template.clone());
        Ok(template)
    }

    /// `CreateLaunchTemplateVersion`, from scratch (no source version).
    pub fn create_launch_template_version(
        &mut self,
        reference: &TemplateReference,
        description: Option<String>,
        specification: LaunchSpecification,
    ) -> Result<(LaunchTemplate, TemplateVersion), ApiError> {
        check_specification(&specification)?;
        let id = self.template(reference)?.id.clone();
        let created_at = self.now;
        let Some(template) = self.templates.get_mut(&id) else {
            return Err(ApiError::TemplateIdNotFound(id));
        };
        let number = template.latest_version() + 1;
        let version = TemplateVersion { number, description, created_at, specification };
        template.versions.push(version.clone());
        Ok((template.clone(), version))
    }

    /// `DeleteLaunchTemplate`.
    pub fn delete_launch_template(
        &mut self,
        reference: &TemplateReference,
    ) -> Result<LaunchTemplate, ApiError> {
        let template = self.template(reference)?.clone();
        self.templates.remove(&template.id);
        Ok(template)
    }

    /// `DescribeLaunchTemplates`.
    pub fn describe_launch_templates(
        &self,
        ids: &[String],
        names: &[String],
        filters: &[Filter],
        page: &PageRequest,
    ) -> Result<Page<LaunchTemplate>, ApiError> {
        check_ec2::<LaunchTemplate>(filters)?;
        for id in ids {
            self.template(&TemplateReference { id: Some(id.clone()), ..Default::default() })?;
        }
        for name in names {
            self.template(&TemplateReference { name: Some(name.clone()), ..Default::default() })?;
        }
        let all = ids.is_empty() && names.is_empty();
        let found = self
            .templates
            .values()
            .filter(|it| all || ids.contains(&it.id) || names.contains(&it.name))
            .filter(|it| passes(*it, filters))
            .cloned()
            .collect();
        page.cut(found, self.config.page_limit, |it: &LaunchTemplate| it.id.clone())
    }

    /// The template version that a call with this client token has created.
    pub fn template_version_of_token(
        &self,
        token: &str,
    ) -> Option<(LaunchTemplate, TemplateVersion)> {
        let (id, number) = self.template_tokens.get(token)?;
        let template = self.templates.get(id)?;
        let version = template.versions.iter().find(|version| version.number == *number)?;
        Some((template.clone(), version.clone()))
    }

    /// Takes down which version a call with this client token has created.
    pub fn remember_template_token(&mut self, token: String, template: &str, number: u64) {
        self.template_tokens.insert(token, (template.to_owned(), number));
    }

    /// The template that a reference names.
    pub fn template(&self, reference: &TemplateReference) -> Result<&LaunchTemplate, ApiError> {
        match (&reference.id, &reference.name) {
            (Some(_), Some(_)) => Err(ApiError::InvalidParameterCombination(
                "The request must contain either a launch template ID or a launch template name, but not both."
                    .to_owned(),
            )),
            (Some(id), None) => {
                self.templates.get(id).ok_or_else(|| ApiError::TemplateIdNotFound(id.clone()))
            }
            (None, Some(name)) => self
                .templates
                .values()
                .find(|template| template.name == *name)
                .ok_or(ApiError::TemplateNameNotFound),
            (None, None) => Err(ApiError::MissingParameter("LaunchTemplateId".to_owned())),
        }
    }
}

fn check_specification(specification: &LaunchSpecification) -> Result<(), ApiError> {
    check_tags(&specification.instance_tags)?;
    check_tags(&specification.volume_tags)?;
    for device in &specification.block_devices {
        super::attachments::check_device(&device.device)?;
    }
    match &specification.image_id {
        Some(image) => super::places::check_image_id(image),
        None => Ok(()),
    }
}
