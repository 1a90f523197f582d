//! The files that Amazon's tools share: profiles with their fields.

use std::collections::HashMap;

use crate::world::World;

/// Fields by name, names in small letters.
pub type Profile = HashMap<String, String>;

/// All profiles, those of the credentials file laid over those of the configuration file.
#[derive(Debug, Default)]
pub struct Profiles(HashMap<String, Profile>);

impl Profiles {
    /// Reads both files where they are; a file that is not there has no profiles.
    pub fn load(world: &World) -> Result<Profiles, String> {
        let home = world.variable("HOME").unwrap_or_default();
        let path = |variable: &str, default: &str| {
            let named = world.variable(variable);
            let path = named.unwrap_or_else(|| format!("~/.aws/{default}"));
            match path.strip_prefix("~/") {
                Some(below) => format!("{home}/{below}"),
                None => path,
            }
        };
        let read = |path: String| match std::fs::read_to_string(&path) {
            Ok(text) => Ok(text),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
            Err(e) => Err(format!("unable to read shared config {path}: {e}")),
        };
        Ok(Profiles::parse(
            &read(path("AWS_CONFIG_FILE", "config"))?,
            &read(path("AWS_SHARED_CREDENTIALS_FILE", "credentials"))?,
        ))
    }

    /// Reads the text of both files. What is no field is passed over, as those do who share the files.
    pub fn parse(config: &str, credentials: &str) -> Profiles {
        let mut profiles = Profiles::default();
        profiles.add(config, |section| match section.strip_prefix("profile") {
            Some(name) if name.starts_with(char::is_whitespace) => Some(name.trim()),
            _ => (section == "default").then_some(section),
        });
        profiles.add(credentials, Some);
        profiles
    }

    fn add<'a>(&mut self, text: &'a str, name: impl Fn(&'a str) -> Option<&'a str>) {
        let mut current: Option<&mut Profile> = None;
        for line in text.lines() {
            // Indented lines belong to the field above, of which none is asked for.
            if line.starts_with([' ', '\t', '#', ';']) {
                continue;
            }
            let comment = [" #", " ;", "\t#", "\t;"]
                .iter()
                .filter_map(|start| line.find(start))
                .min();
            let line = line[..comment.unwrap_or(line.len())].trim();
            if let Some(section) = line.strip_prefix('[') {
                let section = section.split(']').next().unwrap_or("").trim();
                current = name(section).map(|name| self.0.entry(name.into()).or_default());
            } else if let (Some(profile), Some((field, value))) =
                (&mut current, line.split_once('='))
            {
                profile.insert(field.trim().to_ascii_lowercase(), value.trim().into());
            }
        }
    }

    /// A profile's fields.
    pub fn get(&self, name: &str) -> Option<&Profile> {
        self.0.get(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_files() {
        let config = "[default]\nregion = eu-west-1\ns3 =\n  region = no\n# a comment\n[profile dev] ; why\nrole_arn=arn:x # y\nREGION = a\n[other]\nregion = no\n[profiles]\nx = y\n";
        let credentials =
            "[dev]\naws_access_key_id = a\naws_secret_access_key = b#c=\nregion = b\nnonsense\n";
        let profiles = Profiles::parse(config, credentials);
        let get =
            |profile: &str, field: &str| profiles.get(profile)?.get(field).map(String::as_str);
        assert_eq!(get("default", "region"), Some("eu-west-1"));
        assert_eq!(get("dev", "role_arn"), Some("arn:x"));
        assert_eq!(get("dev", "aws_secret_access_key"), Some("b#c="));
        assert_eq!(get("dev", "region"), Some("b"));
        assert!(profiles.get("other").is_none());
        assert!(profiles.get("profiles").is_none());
    }

    #[test]
    fn mutated_files_never_panic() {
        let text = "[default]\nregion = é # x\n[profile a ] ;\n k = v\nrole_arn==\n[\n]=\n";
        let mut random = env::random::Random::from_seed(7);
        for _ in 0..5_000 {
            let mut bytes = text.as_bytes().to_vec();
            for _ in 0..1 + random.below(6) {
                let at = random.below(bytes.len() as u64) as usize;
                bytes[at] = b"[]=#; \tp\n\xc3"[random.below(10) as usize];
            }
            let mutated = String::from_utf8_lossy(&bytes);
            let profiles = Profiles::parse(&mutated, &mutated);
            let _ = profiles.get("default");
        }
    }
}
