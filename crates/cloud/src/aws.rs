//! `sigv4`: keys and region as Amazon's own libraries find them.

mod container;
mod instance;
mod key_answer;
mod profile;
mod region;
mod source;
mod sts;

use std::pin::Pin;

use configfile::sigv4::Sigv4Config;
use serde_json::Value;
use signing::aws_v4::Keys;

use self::key_answer::read_keys;
use self::source::Source;
use crate::cached::{Cached, Lease};
use crate::outside_program::run;
use crate::token_request::{TokenServers, text_of};
use crate::world::{World, read_text};

/// Keys that do not end are looked up anew after this time, in milliseconds: whoever changed a file expects that.
const LASTING: i64 = 5 * 60_000;

/// Amazon's Managed Service for Prometheus.
const SERVICE: &str = "aps";

/// Finds keys and region.
pub struct AwsIdentity {
    config: Sigv4Config,
    world: World,
    servers: TokenServers,
    keys: Cached<Keys>,
    region: Cached<String>,
}

/// A future that calls its own kind.
type Fetching<'a> = Pin<Box<dyn Future<Output = Result<Lease<Keys>, String>> + Send + 'a>>;

impl AwsIdentity {
    /// Checks what can be known without asking anybody.
    pub fn new(config: &Sigv4Config, world: &World) -> Result<AwsIdentity, String> {
        source::find(config, world)?;
        region::configured(config, world)?;
        Ok(AwsIdentity {
            config: config.clone(),
            world: world.clone(),
            servers: TokenServers::new(world)?,
            keys: Cached::default(),
            region: Cached::default(),
        })
    }

    /// The service that requests are signed for.
    pub fn service(&self) -> &str {
        match self.config.service_name.as_str() {
            "" => SERVICE,
            name => name,
        }
    }

    /// The region that requests are signed for.
    pub async fn region(&self) -> Result<String, String> {
        let fetch =
            || async {
                let found = match region::configured(&self.config, &self.world)? {
                Some(region) => region,
                None => instance::region(&self.servers, &self.world).await.map_err(|e| {
                    format!("region not configured in sigv4 or in default credentials chain: {e}")
                })?,
            };
                // A machine does not move.
                Ok(Lease {
                    value: found,
                    renew_at: i64::MAX,
                    until: i64::MAX,
                })
            };
        self.region.get(&self.world, fetch).await
    }

    /// Keys that are good now.
    pub async fn keys(&self) -> Result<Keys, String> {
        let fetch = || async {
            let source = source::find(&self.config, &self.world)?;
            self.fetch(&source)
                .await
                .map_err(|e| format!("could not get SigV4 credentials: {e}"))
        };
        self.keys.get(&self.world, fetch).await
    }

    fn fetch<'a>(&'a self, source: &'a Source) -> Fetching<'a> {
        Box::pin(async move {
            let (servers, world) = (&self.servers, &self.world);
            match source {
                Source::Keys(keys) => Ok(lease(keys.clone(), world.now(), None)),
                Source::Container(place) => container::keys(servers, world, place).await,
                Source::Instance => instance::keys(servers, world).await,
                Source::Program(line) => {
                    let said = run("sh", &["-c", line]).await?;
                    let object: Value = serde_json::from_slice(&said)
                        .map_err(|_| "credential_process: its answer is no JSON".to_string())?;
                    let object = object.as_object().cloned().unwrap_or_default();
                    if object.get("Version").and_then(Value::as_i64) != Some(1) {
                        return Err("credential_process: its answer is not of version 1".into());
                    }
                    let token = text_of(&object, "SessionToken").to_string();
                    read_keys(&object, &token, world.now())
                        .map_err(|e| format!("credential_process: {e}"))
                }
                Source::WebIdentity { token_file, role } => {
                    let token = read_text(token_file, "web identity token")?;
                    let place = self.sts().await?;
                    sts::with_web_identity(servers, world, &place, role, &token).await
                }
                Source::Role { base, role } => {
                    let keys = self.fetch(base).await?.value;
                    let place = self.sts().await?;
                    sts::with_keys(servers, world, &place, role, &keys).await
                }
            }
        })
    }

    async fn sts(&self) -> Result<sts::Place, String> {
        let region = self.region().await?;
        Ok(sts::Place::of(
            &self.world,
            region,
            self.config.use_fips_sts_endpoint,
        ))
    }
}

/// Keys that end are renewed a quarter of their time before, at most five minutes.
fn lease(value: Keys, now: i64, until: Option<i64>) -> Lease<Keys> {
    match until {
        Some(until) => Lease {
            value,
            renew_at: until - ((until - now) / 4).clamp(0, LASTING),
            until,
        },
        None => Lease {
            value,
            renew_at: now + LASTING,
            until: i64::MAX,
        },
    }
}
