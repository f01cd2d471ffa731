//! EC2's tag operations, and tags as other operations read and write them.

use std::collections::BTreeMap;

use crate::query::Params;
use crate::world::{ApiError, TagDeletion, Tags};
use crate::xml::Xml;

use super::arguments::{Arguments as _, Call, invalid};

pub(super) fn create_tags(call: &mut Call<'_>, xml: &mut Xml) -> Result<(), ApiError> {
    let resources = call.params().list("ResourceId");
    let tags = call.params().tags("Tag")?;
    needed("ResourceId", resources.is_empty())?;
    needed("Tag", tags.is_empty())?;
    call.world()?.create_tags(&resources, &tags)?;
    xml.text("return", true);
    Ok(())
}

pub(super) fn delete_tags(call: &mut Call<'_>, xml: &mut Xml) -> Result<(), ApiError> {
    let resources = call.params().list("ResourceId");
    let mut deletions = Vec::new();
    for tag in call.params().structs("Tag") {
        deletions.push(TagDeletion { key: tag.required("Key")?, value: tag.optional("Value") });
    }
    needed("ResourceId", resources.is_empty())?;
    needed("Tag", deletions.is_empty())?;
    call.world()?.delete_tags(&resources, &deletions)?;
    xml.text("return", true);
    Ok(())
}

pub(super) fn describe_tags(call: &mut Call<'_>, xml: &mut Xml) -> Result<(), ApiError> {
    let filters = call.params().ec2_filters()?;
    let page = call.params().ec2_page(5, &[])?;
    let found = call.world()?.describe_tags(&filters, &page)?;
    xml.element("tagSet", |xml| {
        for tag in &found.items {
            xml.element("item", |xml| {
                xml.text("resourceId", &tag.resource_id)
                    .text("resourceType", tag.resource_type)
                    .text("key", &tag.key)
                    .text("value", &tag.value);
            });
        }
    });
    xml.optional("nextToken", found.next_token);
    Ok(())
}

/// `TagSpecification.1.ResourceType` with its tags, by the types that the operation can tag.
pub(super) fn specified_tags(
    params: &Params,
    types: &[&str],
) -> Result<BTreeMap<String, Tags>, ApiError> {
    let mut found = BTreeMap::new();
    for specification in params.structs("TagSpecification") {
        let resource_type = specification.required("ResourceType")?;
        if !types.contains(&resource_type.as_str()) {
            return Err(invalid("TagSpecification.ResourceType", &resource_type));
        }
        let tags: &mut Tags = found.entry(resource_type).or_default();
        tags.extend(specification.tags("Tag")?);
    }
    Ok(found)
}

/// `<tagSet>` with its items.
pub(super) fn write_tags(xml: &mut Xml, tags: &Tags) {
    xml.element("tagSet", |xml| {
        for (key, value) in tags {
            xml.element("item", |xml| {
                xml.text("key", key).text("value", value);
            });
        }
    });
}

fn needed(name: &str, absent: bool) -> Result<(), ApiError> {
    if absent { Err(ApiError::MissingParameter(name.to_owned())) } else { Ok(()) }
}
