//! What an engine can do here, beyond what every kernel can.
//!
//! Invariant: a feature's bit and name are those of the C header.

/// Kernel features that the library uses if it finds them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features(pub u32);

impl Features {
    /// The kernel works off completions only when the loop asks (6.1).
    pub const DEFER_TASKRUN: Features = Features(1);
    /// Completions do not interrupt the loop's thread (5.19).
    pub const COOP_TASKRUN: Features = Features(2);
    /// The kernel picks receive buffers from a ring (5.19).
    pub const BUFFER_RING: Features = Features(4);
    /// An idle loop does not count as waiting for a disk (6.15).
    pub const NO_IOWAIT: Features = Features(8);

    /// A receive goes on by itself up to a number of bytes (6.17).
    pub const MULTISHOT: Features = Features(16);

    /// A thread without a ring can send a completion to one (6.13).
    pub const SEND_MSG_RING: Features = Features(32);

    /// A send that does not wait completes silently when all of it went, and a part of it is counted (6.1).
    pub const SILENT_SENDS: Features = Features(64);

    const NAMES: [(&str, Features); 7] = [
        ("defer_taskrun", Features::DEFER_TASKRUN),
        ("coop_taskrun", Features::COOP_TASKRUN),
        ("buffer_ring", Features::BUFFER_RING),
        ("no_iowait", Features::NO_IOWAIT),
        ("multishot", Features::MULTISHOT),
        ("send_msg_ring", Features::SEND_MSG_RING),
        ("silent_sends", Features::SILENT_SENDS),
    ];

    /// All features except those that the environment variable IOURINGNET_FEATURES_OFF names.
    pub fn wanted() -> Features {
        let off = std::env::var("IOURINGNET_FEATURES_OFF").unwrap_or_default();
        let off = Features::parse(&off);
        Features(!off.0)
    }

    fn parse(list: &str) -> Features {
        let find = |name: &str| Features::NAMES.iter().find(|(known, _)| *known == name.trim());
        let bits = list.split(',').filter_map(find).fold(0, |bits, (_, feature)| bits | feature.0);
        Features(bits)
    }

    /// Whether `other` is among these.
    pub fn has(self, other: Features) -> bool {
        self.0 & other.0 == other.0
    }

    /// The names of these, for people.
    pub fn names(self) -> String {
        let found = Features::NAMES.iter().filter(|(_, feature)| self.has(*feature));
        found.map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_features_are_read_and_written() {
        let off = Features::parse("buffer_ring, no_iowait,nonsense,");
        assert_eq!(off.0, Features::BUFFER_RING.0 | Features::NO_IOWAIT.0);
        assert_eq!(off.names(), "buffer_ring, no_iowait");
    }

    #[test]
    fn the_header_has_every_feature() {
        let header = include_str!("../../include/iouringnet.h");
        for (name, feature) in Features::NAMES {
            let line = format!("\n#define IOURINGNET_FEATURE_{} {}\n", name.to_uppercase(), feature.0);
            assert!(header.contains(&line), "{line}");
        }
    }
}
