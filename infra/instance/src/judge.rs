//! What may be done with a disk: the one decision here that can destroy data. A pure function of what was seen and
//! what was allowed.

use crate::config::Filesystem;
use crate::disks::Known;
use crate::identity::Permission;
use crate::probe::Content;

/// What is done with a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It has a filesystem: check it, and mount it.
    Mount { kind: Filesystem, uuid: String },
    /// It is blank, and may be formatted.
    Format,
    /// Neither; nothing is changed, and a person must look.
    Refuse(String),
}

/// What is done with the disk that is known so, holds this, and may be formatted or not.
pub(crate) fn judge(known: &Known, content: &Content, permission: Permission) -> Verdict {
    match content {
        Content::Filesystem { kind, uuid } => {
            match [Filesystem::Ext4, Filesystem::Xfs].into_iter().find(|it| it.name() == kind) {
                Some(kind) => Verdict::Mount { kind, uuid: uuid.clone() },
                None => Verdict::Refuse(format!("it holds {kind}; only ext4 and xfs are mounted")),
            }
        }
        Content::Other(what) => {
            Verdict::Refuse(format!("it holds {what}, and no filesystem over the whole of it"))
        }
        Content::Blank => match (known, permission) {
            (Known::Serial(_), Permission::Granted) => Verdict::Format,
            (Known::Serial(_), Permission::None) => Verdict::Refuse(
                "it reads blank, and the control plane does not say that it may be formatted: it was adopted, comes from a snapshot, or was in service before. If there is no data to save, format it by hand, or, where it was created blank, have it allowed again: stateful-asg allow-format SLOT".to_owned(),
            ),
            (Known::Device(_), _) => Verdict::Refuse(
                "it reads blank, and what is known by a device name only is never formatted. Format it by hand, or allow instance tags in the metadata".to_owned(),
            ),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents() -> Vec<Content> {
        let filesystem = |kind: &str| {
            let (kind, uuid) = (kind.to_owned(), "1234".to_owned());
            Content::Filesystem { kind, uuid }
        };
        vec![
            filesystem("ext4"),
            filesystem("xfs"),
            filesystem("btrfs"),
            filesystem("ext3"),
            Content::Other("a partition table (gpt)".to_owned()),
            Content::Blank,
        ]
    }

    #[test]
    fn only_what_is_blank_known_by_its_serial_and_allowed_is_formatted() {
        let serial = Known::Serial("vol-00000001".to_owned());
        let device = Known::Device("/dev/sdf".to_owned());
        for content in contents() {
            for known in [&serial, &device] {
                for permission in [Permission::Granted, Permission::None] {
                    let formats = judge(known, &content, permission) == Verdict::Format;
                    let may = content == Content::Blank
                        && *known == serial
                        && permission == Permission::Granted;
                    assert_eq!(formats, may, "{known:?} {content:?} {permission:?}");
                }
            }
        }
    }

    #[test]
    fn a_filesystem_is_mounted_as_what_it_is_and_only_ext4_and_xfs_are() {
        let known = Known::Serial("vol-00000001".to_owned());
        let verdicts = contents().into_iter().map(|it| judge(&known, &it, Permission::None));
        let mounts = verdicts.map(|it| matches!(it, Verdict::Mount { .. })).collect::<Vec<_>>();
        assert_eq!(mounts, [true, true, false, false, false, false]);
    }
}
