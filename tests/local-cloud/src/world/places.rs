//! Where things are: the region's zones, its default VPC with one subnet for each zone, and one image.

use super::World;
use super::errors::ApiError;
use super::filters::{Filter, Filtered, Page, PageRequest, check_ec2, passes};
use super::tags::Tags;

/// The id of the region's only VPC.
pub const DEFAULT_VPC: &str = "vpc-0d5f1b0c7a9e83421";

/// The image that describes show. Any other `ami-…` can be launched as well.
pub const IMAGE: &str = "ami-0a1b2c3d4e5f60718";

/// An availability zone with its default subnet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The zone's name, as in `eu-central-1a`.
    pub zone: String,
    /// The zone's id, as in `euc1-az1`.
    pub zone_id: String,
    /// Its default subnet.
    pub subnet: String,
    /// That subnet's addresses.
    pub cidr: String,
    no_tags: Tags,
}

impl Filtered for Place {
    const NAMES: &'static [&'static str] = &[
        "availability-zone",
        "cidr-block",
        "default-for-az",
        "region-name",
        "state",
        "subnet-id",
        "vpc-id",
        "zone-id",
        "zone-name",
    ];

    fn values_of(&self, name: &str) -> Vec<String> {
        vec![match name {
            "availability-zone" | "zone-name" => self.zone.clone(),
            "cidr-block" => self.cidr.clone(),
            "default-for-az" => "true".to_owned(),
            "region-name" => {
                self.zone.trim_end_matches(|it: char| it.is_ascii_lowercase()).to_owned()
            }
            "state" => "available".to_owned(),
            "subnet-id" => self.subnet.clone(),
            "vpc-id" => DEFAULT_VPC.to_owned(),
            _ => self.zone_id.clone(),
        }]
    }

    fn tags(&self) -> &Tags {
        &self.no_tags
    }
}

impl World {
    /// The zones and their subnets, in order.
    pub fn places(&self) -> Vec<Place> {
        let zones = self.config.zones.iter().enumerate();
        let short = short_region(&self.config.region);
        zones
            .map(|(index, zone)| Place {
                zone: zone.clone(),
                zone_id: format!("{short}-az{}", index + 1),
                subnet: format!("subnet-0{:016x}", 0x5ab7_0000_u64 + index as u64),
                cidr: format!("172.31.{}.0/20", index * 16),
                no_tags: Tags::new(),
            })
            .collect()
    }

    /// `DescribeAvailabilityZones`.
    pub fn describe_zones(
        &self,
        names: &[String],
        ids: &[String],
        filters: &[Filter],
    ) -> Result<Vec<Place>, ApiError> {
        check_ec2::<Place>(filters)?;
        for name in names {
            self.check_zone(name)?;
        }
        let wanted = |place: &Place| {
            (names.is_empty() || names.contains(&place.zone))
                && (ids.is_empty() || ids.contains(&place.zone_id))
        };
        let places = self.places().into_iter();
        Ok(places.filter(|place| wanted(place) && passes(place, filters)).collect())
    }

    /// `DescribeSubnets`.
    pub fn describe_subnets(
        &self,
        ids: &[String],
        filters: &[Filter],
        page: &PageRequest,
    ) -> Result<Page<Place>, ApiError> {
        check_ec2::<Place>(filters)?;
        for id in ids {
            self.zone_of_subnet(id)?;
        }
        let wanted = |place: &Place| ids.is_empty() || ids.contains(&place.subnet);
        let found = self
            .places()
            .into_iter()
            .filter(|place| wanted(place) && passes(place, filters))
            .collect();
        page.cut(found, self.config.page_limit, |place: &Place| place.subnet.clone())
    }

    /// Refuses a zone that the region does not have.
    pub(super) fn check_zone(&self, zone: &str) -> Result<(), ApiError> {
        if self.config.zones.iter().any(|known| known == zone) {
            return Ok(());
        }
        Err(ApiError::InvalidParameterValue(format!("Invalid availability zone: [{zone}]")))
    }

    /// The zone that a subnet lies in.
    pub(super) fn zone_of_subnet(&self, subnet: &str) -> Result<String, ApiError> {
        let mut places = self.places().into_iter();
        places
            .find(|place| place.subnet == subnet)
            .map(|place| place.zone)
            .ok_or_else(|| ApiError::SubnetNotFound(subnet.to_owned()))
    }

    /// The default subnet of a zone.
    pub(super) fn subnet_of_zone(&self, zone: &str) -> Result<String, ApiError> {
        self.check_zone(zone)?;
        let place = self.places().into_iter().find(|place| place.zone == zone);
        place.map(|place| place.subnet).ok_or_else(|| ApiError::SubnetNotFound(String::new()))
    }

    /// The zone and subnet where an instance is to go.
    pub(super) fn place(
        &self,
        zone: Option<&str>,
        subnet: Option<&str>,
    ) -> Result<(String, String), ApiError> {
        match (zone, subnet) {
            (wanted, Some(subnet)) => {
                let zone = self.zone_of_subnet(subnet)?;
                if wanted.is_some_and(|wanted| wanted != zone) {
                    return Err(ApiError::InvalidParameterValue(format!(
                        "The availability zone of subnet '{subnet}' is {zone}"
                    )));
                }
                Ok((zone, subnet.to_owned()))
            }
            (Some(zone), None) => Ok((zone.to_owned(), self.subnet_of_zone(zone)?)),
            (None, None) => {
                let zone = self.config.zones.first().cloned().unwrap_or_default();
                let subnet = self.subnet_of_zone(&zone)?;
                Ok((zone, subnet))
            }
        }
    }
}

/// Refuses what is no image id. Every other image exists here.
pub(super) fn check_image_id(id: &str) -> Result<(), ApiError> {
    let hex = id.strip_prefix("ami-").unwrap_or_default();
    if hex.is_empty() || !hex.chars().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(ApiError::ImageMalformed(id.to_owned()));
    }
    Ok(())
}

/// `eu-central-1` as zone ids begin: `euc1`.
fn short_region(region: &str) -> String {
    let mut parts = region.split('-');
    let area = parts.next().unwrap_or_default();
    let side = parts.next().and_then(|it| it.chars().next());
    let number = parts.next().unwrap_or_default();
    format!("{area}{}{number}", side.map(String::from).unwrap_or_default())
}
