//! Targets: from what discovery knows to what is scraped and how.

use configfile::scrape::{HistogramChoices, ScrapeConfig};
use model::relabel::relabel;
use model::{Labels, LabelsBuilder};
use parking_lot::Mutex;

use discovery::TargetGroup;
use discovery::group::ADDRESS;

const CONVERT_CLASSIC: &str = "__convert_classic_histograms_to_nhcb__";
const ALWAYS_CLASSIC: &str = "__always_scrape_classic_histograms__";
const SCRAPE_NATIVE: &str = "__scrape_native_histograms__";
const SCHEME: &str = "__scheme__";
const METRICS_PATH: &str = "__metrics_path__";
const INTERVAL: &str = "__scrape_interval__";
const TIMEOUT: &str = "__scrape_timeout__";
const PARAM_PREFIX: &str = "__param_";
const META_PREFIX: &str = "__meta_";
const RESERVED_PREFIX: &str = "__";

/// Something to scrape.
#[derive(Debug)]
pub struct Target {
    /// Labels as discovered, before relabelling: they may change while the target stays the same.
    discovered: Mutex<Labels>,
    /// Labels that its series carry.
    pub labels: Labels,
    /// All labels after relabelling, the internal ones too: they identify the target.
    all: Labels,
    /// Where to ask.
    pub url: String,
    /// Milliseconds between scrapes.
    pub interval: i64,
    /// Milliseconds that a scrape may take.
    pub timeout: i64,
    /// What is done with histograms.
    pub histograms: HistogramChoices,
    /// How it fares.
    pub status: Mutex<TargetStatus>,
}

/// How a target fared at its last scrape.
#[derive(Clone, Debug, Default)]
pub struct TargetStatus {
    /// Whether it answered.
    pub health: Health,
    /// Why not.
    pub last_error: String,
    /// When its last scrape started, unix milliseconds.
    pub last_scrape: Option<i64>,
    /// How long it took, seconds.
    pub last_duration: f64,
}

/// Whether a target answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// Not asked yet.
    #[default]
    Unknown,
    /// It does.
    Up,
    /// It does not.
    Down,
}

impl Health {
    /// The word in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Health::Unknown => "unknown",
            Health::Up => "up",
            Health::Down => "down",
        }
    }
}

impl Target {
    /// Labels as discovered last, before relabelling.
    pub fn discovered(&self) -> Labels {
        self.discovered.lock().clone()
    }

    /// Takes over what is known of it since it was discovered anew.
    pub fn rediscover(&self, anew: &Target) {
        *self.discovered.lock() = anew.discovered();
    }

    /// All labels after relabelling, the internal ones too.
    pub fn all(&self) -> &Labels {
        &self.all
    }

    /// Identifies the target: a change of any label or of the URL makes another one.
    pub fn hash(&self) -> u64 {
        identity_hash(&self.all, &self.url)
    }
}

/// FNV-1a of the label hash in decimal (at least 16 digits) and the URL, as upstream computes it.
fn identity_hash(all: &Labels, url: &str) -> u64 {
    let mut hash = Fnv::default();
    hash.write(format!("{:016}", all.stable_hash()).as_bytes());
    hash.write(url.as_bytes());
    hash.0
}

/// FNV-1a, 64 bits.
pub(crate) struct Fnv(pub u64);

impl Default for Fnv {
    fn default() -> Fnv {
        Fnv(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

/// What becomes of a discovered label set.
#[derive(Debug)]
pub enum Outcome {
    /// To be scraped.
    Keep(Box<Target>),
    /// Relabelling dropped it; the labels before that.
    Drop(Labels),
    /// It cannot be scraped, and why.
    Fault(String),
    /// Nothing is left of it.
    Empty,
}

/// Makes targets of a group.
pub fn targets_of(group: &TargetGroup, config: &ScrapeConfig) -> Vec<Outcome> {
    discovered_of(group, config)
        .map(|discovered| resolve(discovered, config))
        .collect()
}

/// The labels of a group's targets before relabelling, in the order of [`targets_of`].
pub fn discovered_of(group: &TargetGroup, config: &ScrapeConfig) -> impl Iterator<Item = Labels> {
    group.targets.iter().map(|own| {
        let mut builder = LabelsBuilder::new(&group.labels);
        for (name, value) in own {
            builder.set(name, value);
        }
        with_defaults(&builder.build(), config)
    })
}

fn resolve(discovered: Labels, config: &ScrapeConfig) -> Outcome {
    let Some(relabelled) = relabel(&discovered, &config.relabel_configs) else {
        return Outcome::Drop(discovered);
    };
    if relabelled.is_empty() {
        return Outcome::Empty;
    }
    match build(discovered, &relabelled, config) {
        Ok(target) => Outcome::Keep(Box::new(target)),
        Err(fault) => Outcome::Fault(fault),
    }
}

/// The job's settings as labels, where discovery gave none.
fn with_defaults(found: &Labels, config: &ScrapeConfig) -> Labels {
    let word = |flag: bool| if flag { "true" } else { "false" }.to_string();
    let mut defaults: Vec<(String, String)> = vec![
        ("job".into(), config.job_name.clone()),
        (
            INTERVAL.into(),
            model::duration::format_duration(config.scrape_interval),
        ),
        (
            TIMEOUT.into(),
            model::duration::format_duration(config.scrape_timeout),
        ),
        (METRICS_PATH.into(), config.metrics_path.clone()),
        (SCHEME.into(), config.scheme.clone()),
        (
            CONVERT_CLASSIC.into(),
            word(config.histograms.convert_classic),
        ),
        (
            ALWAYS_CLASSIC.into(),
            word(config.histograms.always_scrape_classic),
        ),
        (SCRAPE_NATIVE.into(), word(config.histograms.scrape_native)),
    ];
    for (name, values) in &config.params {
        if let Some(first) = values.first() {
            defaults.push((format!("{PARAM_PREFIX}{name}"), first.clone()));
        }
    }
    let mut builder = LabelsBuilder::new(found);
    for (name, value) in defaults {
        if found.get(&name).is_none() {
            builder.set(name, value);
        }
    }
    builder.build()
}

fn build(discovered: Labels, relabelled: &Labels, config: &ScrapeConfig) -> Result<Target, String> {
    let address = relabelled.get(ADDRESS).unwrap_or("");
    if address.is_empty() {
        return Err("no address".into());
    }
    // A newcomer of 3.16. To ask somebody else instead would be worse than not to ask.
    if relabelled
        .get("__unix_socket__")
        .is_some_and(|path| !path.is_empty())
    {
        return Err("__unix_socket__ is not part of this build".into());
    }
    if address.contains('/') {
        return Err(format!("{address:?} is not a valid hostname"));
    }
    let (interval, timeout) = times(relabelled)?;
    let histograms = histograms_of(relabelled, config)?;
    let mut all = LabelsBuilder::new(relabelled);
    for (name, _) in relabelled {
        if name.starts_with(META_PREFIX) {
            all.del(name);
        }
    }
    if relabelled.get("instance").is_none() {
        all.set("instance", address);
    }
    let all = all.build();
    let labels = all.filtered(|name| !name.starts_with(RESERVED_PREFIX));
    let url = url_of(&all, config);
    let status = Mutex::default();
    Ok(Target {
        discovered: Mutex::new(discovered),
        labels,
        all,
        url,
        interval,
        timeout,
        histograms,
        status,
    })
}

/// The job's choices, or what relabelling made of them.
fn histograms_of(labels: &Labels, config: &ScrapeConfig) -> Result<HistogramChoices, String> {
    let choice = |label: &str, what: &str, default: bool| match labels.get(label) {
        None => Ok(default),
        // The words that Go takes for a bool.
        Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
        Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
        Some(other) => Err(format!(
            "error parsing {what}: strconv.ParseBool: parsing {other:?}: invalid syntax"
        )),
    };
    let of_job = config.histograms;
    let (convert, always) = (of_job.convert_classic, of_job.always_scrape_classic);
    let convert_what = "convert classic histograms to nhcb";
    let always_what = "always scrape classic histograms";
    Ok(HistogramChoices {
        convert_classic: choice(CONVERT_CLASSIC, convert_what, convert)?,
        always_scrape_classic: choice(ALWAYS_CLASSIC, always_what, always)?,
        scrape_native: choice(
            SCRAPE_NATIVE,
            "scrape native histograms",
            of_job.scrape_native,
        )?,
    })
}

fn times(labels: &Labels) -> Result<(i64, i64), String> {
    let parse = |label: &str, what: &str| {
        let text = labels.get(label).unwrap_or("");
        let ms = model::duration::parse_duration(text)
            .map_err(|e| format!("error parsing scrape {what}: {e}"))?;
        if ms == 0 {
            Err(format!("scrape {what} cannot be 0"))
        } else {
            Ok((ms, text))
        }
    };
    let (interval, interval_text) = parse(INTERVAL, "interval")?;
    let (timeout, timeout_text) = parse(TIMEOUT, "timeout")?;
    if timeout > interval {
        return Err(format!(
            "scrape timeout cannot be greater than scrape interval ({timeout_text:?} > {interval_text:?})"
        ));
    }
    Ok((interval, timeout))
}

/// `scheme://address/path?params`, parameters in order of their names; a `__param_x` label replaces the first value.
fn url_of(all: &Labels, config: &ScrapeConfig) -> String {
    let mut params: Vec<(&str, Vec<&str>)> = config
        .params
        .iter()
        .map(|(name, values)| (name.as_str(), values.iter().map(String::as_str).collect()))
        .collect();
    for (label, value) in all {
        let Some(name) = label.strip_prefix(PARAM_PREFIX) else {
            continue;
        };
        match params.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) if !values.is_empty() => values[0] = value,
            Some((_, values)) => values.push(value),
            None => params.push((name, vec![value])),
        }
    }
    params.sort();
    let query: Vec<String> = params
        .iter()
        .flat_map(|(name, values)| {
            values
                .iter()
                .map(move |value| format!("{}={}", escape(name), escape(value)))
        })
        .collect();
    let path = escape_but(all.get(METRICS_PATH).unwrap_or(""), IN_PATHS);
    let slash = if path.is_empty() || path.starts_with('/') {
        ""
    } else {
        "/"
    };
    let mut url = format!(
        "{}://{}{slash}{path}",
        all.get(SCHEME).unwrap_or("http"),
        escape_but(all.get(ADDRESS).unwrap_or(""), IN_HOSTS),
    );
    if !query.is_empty() {
        url.push('?');
        url.push_str(&query.join("&"));
    }
    url
}

/// What Go leaves as it is in the host of a URL.
const IN_HOSTS: &[u8] = b"!$&'()*+,;=:[]<>\"";
/// What Go leaves as it is in the path of a URL. A question mark is not among them: a path brings no parameters.
const IN_PATHS: &[u8] = b"!$&'()*+,;=:@/[]";

/// Escapes all but letters, digits, `-_.~` and `kept`.
fn escape_but(text: &str, kept: &[u8]) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) || kept.contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Query escaping as Go's `url.QueryEscape`.
fn escape(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte));
            }
            b' ' => out.push('+'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
#[path = "target/tests.rs"]
mod tests;
