//! From what a driver says of itself to a profile.

use wgpu_types::{AdapterInfo, DeviceType};

use crate::{Profile, adreno, apple, desktop, mali, powervr, software, xclipse};

/// The profile that fits an adapter, and why.
#[derive(Clone, Debug)]
pub struct Detection {
    /// The profile.
    pub profile: &'static Profile,
    /// What decided, in words.
    pub reason: String,
}

/// There is no such profile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no device profile {name:?}; there are {known}")]
pub struct UnknownProfile {
    /// What was asked for.
    pub name: String,
    /// Every name.
    pub known: String,
}

type Select = fn(&str) -> Option<&'static Profile>;

/// In the order in which they are asked; each looks for its own words in the name.
static FAMILIES: [(Select, &[Profile]); 7] = [
    (software::select, &software::PROFILES),
    (adreno::select, &adreno::PROFILES),
    (mali::select, &mali::PROFILES),
    (xclipse::select, &xclipse::PROFILES),
    (powervr::select, &powervr::PROFILES),
    (apple::select, &apple::PROFILES),
    (desktop::select, &desktop::PROFILES),
];

/// Every profile.
pub fn profiles() -> impl Iterator<Item = &'static Profile> {
    FAMILIES.iter().flat_map(|(_, list)| list.iter())
}

/// The profile with this name.
///
/// # Errors
/// When there is none; the error lists them.
pub fn by_name(name: &str) -> Result<&'static Profile, UnknownProfile> {
    profiles().find(|p| p.name == name).ok_or_else(|| {
        let known: Vec<_> = profiles().map(|p| p.name).collect();
        UnknownProfile { name: name.to_owned(), known: known.join(", ") }
    })
}

/// Finds the profile of an adapter: by its name, else by its maker's PCI id, else the cautious one.
#[must_use]
pub fn detect(info: &AdapterInfo) -> Detection {
    let name = info.name.to_ascii_lowercase();
    if let Some(profile) = FAMILIES.iter().find_map(|(select, _)| select(&name)) {
        return Detection { profile, reason: format!("its name is {:?}", info.name) };
    }
    if info.device_type == DeviceType::Cpu {
        let reason = format!("{:?} is a CPU", info.name);
        return Detection { profile: software::fallback(), reason };
    }
    match by_vendor(info.vendor) {
        Some(profile) => Detection {
            profile,
            reason: format!("its maker's id is {:#x} (name {:?})", info.vendor, info.name),
        },
        None => {
            let reason = format!("neither name {:?} nor maker {:#x} is known", info.name, info.vendor);
            Detection { profile: desktop::unknown(), reason }
        }
    }
}

/// PCI and Khronos vendor ids; the most cautious profile of each.
fn by_vendor(vendor: u32) -> Option<&'static Profile> {
    Some(match vendor {
        0x5143 => adreno::fallback(),
        0x13b5 => mali::fallback(),
        0x144d => xclipse::fallback(),
        0x1010 => powervr::fallback(),
        0x106b => apple::fallback(),
        0x10de => desktop::nvidia(),
        0x1002 | 0x1022 => desktop::amd(),
        0x8086 => desktop::intel(),
        _ => return None,
    })
}

/// The first whole number after `word`, whatever stands between them.
pub(crate) fn number_after(name: &str, word: &str) -> Option<u32> {
    let rest = &name[name.find(word)? + word.len()..];
    let digits = rest.find(|c: char| c.is_ascii_digit())?;
    let rest = &rest[digits..];
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}
