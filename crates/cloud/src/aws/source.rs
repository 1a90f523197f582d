//! Where keys come from: the first of the places that Amazon's libraries look at.

use configfile::Secret;
use configfile::sigv4::Sigv4Config;
use signing::aws_v4::Keys;

use super::container;
use super::profile::{Profile, Profiles};
use crate::world::World;

/// Seconds that a role is taken on for, where nothing else is said.
const ROLE_SECONDS: u32 = 900;

/// A place with keys.
#[derive(Debug)]
pub enum Source {
    /// Here they are.
    Keys(Keys),
    /// A role for whoever has the token of a file.
    WebIdentity {
        /// The file.
        token_file: String,
        /// The role.
        role: Role,
    },
    /// A server beside the container.
    Container(String),
    /// The machine's metadata service.
    Instance,
    /// What a command line writes.
    Program(String),
    /// A role for whoever has other keys.
    Role {
        /// The other keys.
        base: Box<Source>,
        /// The role.
        role: Role,
    },
}

/// A role to take on.
#[derive(Clone, Debug)]
pub struct Role {
    /// Its full name.
    pub arn: String,
    /// What its owner wants to be told; may be empty.
    pub external_id: String,
    /// What the session is called.
    pub session: String,
    /// How long it lasts; the role's own time where there is none.
    pub seconds: Option<u32>,
}

/// The profile's name, and whether somebody asked for it.
pub fn profile_name(config: &Sigv4Config, world: &World) -> (String, bool) {
    let named = Some(config.profile.clone()).filter(|name| !name.is_empty());
    let named = named
        .or_else(|| world.variable("AWS_PROFILE"))
        .or_else(|| world.variable("AWS_DEFAULT_PROFILE"));
    match named {
        Some(name) => (name, true),
        None => ("default".into(), false),
    }
}

/// The place that counts now; files are read, nobody is asked.
pub fn find(config: &Sigv4Config, world: &World) -> Result<Source, String> {
    let base = find_base(config, world)?;
    if config.role_arn.is_empty() {
        return Ok(base);
    }
    Ok(Source::Role {
        base: Box::new(base),
        role: Role {
            arn: config.role_arn.clone(),
            external_id: config.external_id.clone(),
            session: session_name(world),
            seconds: Some(ROLE_SECONDS),
        },
    })
}

fn find_base(config: &Sigv4Config, world: &World) -> Result<Source, String> {
    if !config.access_key.is_empty() {
        return Ok(Source::Keys(Keys {
            access_key: config.access_key.clone(),
            secret_key: config.secret_key.clone(),
            session_token: Secret::default(),
        }));
    }
    // A profile that somebody asked for has to be there even where the environment has keys.
    let profiles = Profiles::load(world)?;
    let (name, asked_for) = profile_name(config, world);
    if asked_for && profiles.get(&name).is_none() {
        return Err(format!("failed to get shared config profile, {name}"));
    }
    if config.profile.is_empty() {
        if let Some(keys) = keys_of_environment(world) {
            return Ok(Source::Keys(keys));
        }
        if let Some(token_file) = world.variable("AWS_WEB_IDENTITY_TOKEN_FILE") {
            let arn = world
                .variable("AWS_ROLE_ARN")
                .ok_or("AWS_WEB_IDENTITY_TOKEN_FILE is set and AWS_ROLE_ARN is not")?;
            return Ok(Source::WebIdentity {
                token_file,
                role: Role {
                    arn,
                    external_id: String::new(),
                    session: session_name(world),
                    seconds: None,
                },
            });
        }
    }
    of_profile(world, &profiles, &name, &mut Vec::new())
}

fn session_name(world: &World) -> String {
    let named = world.variable("AWS_ROLE_SESSION_NAME");
    named.unwrap_or_else(|| format!("prometheus-{}", world.now()))
}

fn keys_of_environment(world: &World) -> Option<Keys> {
    let either = |a: &str, b: &str| world.variable(a).or_else(|| world.variable(b));
    Some(Keys {
        access_key: either("AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY")?,
        secret_key: Secret::new(either("AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY")?),
        session_token: Secret::new(world.variable("AWS_SESSION_TOKEN").unwrap_or_default()),
    })
}

fn keys_of_profile(profile: &Profile) -> Option<Keys> {
    let get = |name: &str| profile.get(name).filter(|value| !value.is_empty());
    Some(Keys {
        access_key: get("aws_access_key_id")?.clone(),
        secret_key: Secret::new(get("aws_secret_access_key")?),
        session_token: Secret::new(get("aws_session_token").cloned().unwrap_or_default()),
    })
}

fn of_profile(
    world: &World,
    profiles: &Profiles,
    name: &str,
    seen: &mut Vec<String>,
) -> Result<Source, String> {
    let none = Profile::new();
    let profile = profiles.get(name).unwrap_or(&none);
    let get = |field: &str| profile.get(field).filter(|value| !value.is_empty());
    let wrong = |what: String| Err(format!("profile {name}: {what}"));
    if seen.iter().any(|known| known == name) {
        return wrong("its source_profile leads back to it".into());
    }
    seen.push(name.to_string());
    let role = || {
        let arn = get("role_arn")?.clone();
        let seconds = get("duration_seconds").and_then(|text| text.parse().ok());
        Some(Role {
            arn,
            external_id: get("external_id").cloned().unwrap_or_default(),
            session: get("role_session_name")
                .cloned()
                .unwrap_or_else(|| session_name(world)),
            seconds,
        })
    };
    let base = if let Some(source) = get("source_profile") {
        match (source == name, keys_of_profile(profile)) {
            (true, Some(keys)) => Source::Keys(keys),
            (true, None) => return wrong("it is its own source_profile and has no keys".into()),
            _ if profiles.get(source).is_none() => {
                return wrong(format!("its source_profile {source} is not there"));
            }
            _ => of_profile(world, profiles, source, seen)?,
        }
    } else if let Some(keys) = keys_of_profile(profile) {
        Source::Keys(keys)
    } else if let Some(source) = get("credential_source") {
        match source.to_ascii_lowercase().as_str() {
            "ec2instancemetadata" => Source::Instance,
            "environment" => match keys_of_environment(world) {
                Some(keys) => Source::Keys(keys),
                None => return wrong("credential_source: the environment has no keys".into()),
            },
            "ecscontainer" => match container::place(world)? {
                Some(place) => Source::Container(place),
                None => {
                    return wrong("credential_source: EcsContainer was specified as the credential_source, but 'AWS_CONTAINER_CREDENTIALS_RELATIVE_URI' or AWS_CONTAINER_CREDENTIALS_FULL_URI' was not set".into());
                }
            },
            _ => return wrong(format!("invalid credential_source {source:?}")),
        }
    } else if let Some(token_file) = get("web_identity_token_file") {
        let Some(role) = role() else {
            return wrong("web_identity_token_file needs role_arn".into());
        };
        return Ok(Source::WebIdentity {
            token_file: token_file.clone(),
            role,
        });
    } else if profile.keys().any(|field| field.starts_with("sso_")) {
        return wrong(
            "this build lacks single sign-on (sso_*): use keys or credential_process".into(),
        );
    } else if let Some(line) = get("credential_process") {
        Source::Program(line.clone())
    } else if let Some(place) = container::place(world)? {
        Source::Container(place)
    } else {
        Source::Instance
    };
    let Some(role) = role() else {
        return Ok(base);
    };
    if get("mfa_serial").is_some() {
        return wrong("mfa_serial: nobody is there to be asked for a code".into());
    }
    Ok(Source::Role {
        base: Box::new(base),
        role: Role {
            seconds: Some(role.seconds.unwrap_or(ROLE_SECONDS)),
            ..role
        },
    })
}
