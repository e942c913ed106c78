//! The closed set of layers a box is made of.
//!
//! A *layer* is one independent mechanism. Its name is used, unchanged, in the
//! report, in a policy's `degrade` list and by `--degrade`.

use std::fmt;
use std::str::FromStr;

macro_rules! layers {
    ($($variant:ident $name:literal $what:literal),+ $(,)?) => {
        /// One independent protection mechanism of a box.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Layer { $(#[doc = $what] $variant),+ }

        impl Layer {
            /// Every layer, in the order in which reports list them.
            pub const ALL: &'static [Layer] = &[$(Layer::$variant),+];

            /// The name used in reports, policies and options.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Layer::$variant => $name),+ }
            }

            /// What the layer does, in a few words.
            #[must_use]
            pub const fn what(self) -> &'static str {
                match self { $(Layer::$variant => $what),+ }
            }
        }
    };
}

layers! {
    UserNs "user_ns" "own user namespace; host ids 0 are never mapped, and no further one can be made",
    MountNs "mount_ns" "own mount namespace holding exactly the planned mounts",
    PidNs "pid_ns" "own process ids; nothing outside can be named or signalled",
    NetNs "net_ns" "own, empty network stack",
    IpcNs "ipc_ns" "own System V objects and message queues",
    UtsNs "uts_ns" "own host and domain name",
    CgroupNs "cgroup_ns" "own view of the cgroup tree",
    Root "root" "pivot_root into an immutable file system",
    Capabilities "capabilities" "all five capability sets empty, securebits locked",
    NoNewPrivs "no_new_privs" "no program can gain privileges",
    Landlock "landlock" "every right and scope the kernel knows, granted by path only",
    Seccomp "seccomp" "an allow-list of system calls",
    Cgroup "cgroup" "limits on memory, processes and CPU of the whole box",
    Rlimits "rlimits" "limits of each process",
    Descriptors "descriptors" "three pipes and nothing else is inherited",
    Keyring "keyring" "a fresh session keyring, or no keyring call at all",
    Proc "proc" "process information of the box only, or none",
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The name is not that of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownLayer(pub String);

impl fmt::Display for UnknownLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown layer '{}'; the layers are", self.0)?;
        for (i, layer) in Layer::ALL.iter().enumerate() {
            write!(f, "{}{layer}", if i == 0 { " " } else { ", " })?;
        }
        Ok(())
    }
}

impl std::error::Error for UnknownLayer {}

impl FromStr for Layer {
    type Err = UnknownLayer;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.iter().copied().find(|l| l.name() == name).ok_or_else(|| UnknownLayer(name.to_owned()))
    }
}

impl serde::Serialize for Layer {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.name())
    }
}

impl<'de> serde::Deserialize<'de> for Layer {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let name: &str = serde::Deserialize::deserialize(d)?;
        name.parse().map_err(serde::de::Error::custom)
    }
}
