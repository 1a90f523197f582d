//! The region, as far as it can be known without asking.

use configfile::sigv4::Sigv4Config;

use super::profile::Profiles;
use crate::world::World;

/// The section's region, that of the environment, or that of the profile.
pub fn configured(config: &Sigv4Config, world: &World) -> Result<Option<String>, String> {
    let named = Some(config.region.clone()).filter(|region| !region.is_empty());
    let named = named
        .or_else(|| world.variable("AWS_REGION"))
        .or_else(|| world.variable("AWS_DEFAULT_REGION"));
    let found = match named {
        Some(region) => Some(region),
        None => {
            let profiles = Profiles::load(world)?;
            let (name, _) = super::source::profile_name(config, world);
            profiles.get(&name).and_then(|p| p.get("region").cloned())
        }
    };
    if let Some(region) = &found {
        check(region)?;
    }
    Ok(found)
}

/// A region is part of host names: nothing else may hide in it.
pub fn check(region: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if region.is_empty() || !region.chars().all(plain) {
        return Err(format!("{region:?} is no region"));
    }
    Ok(())
}
