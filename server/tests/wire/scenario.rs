//! Scenario files: what a test consists of, as data.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::kind::Kind;

/// One file of scenarios that share a configuration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScenarioFile {
    /// What the file covers, for the reader.
    #[serde(rename = "about")]
    _about: String,
    /// Server configuration, merged over the base configuration.
    #[serde(default)]
    config: Value,
    /// Applies to scenarios that do not say it themselves.
    #[serde(default)]
    pending: Option<String>,
    /// Applies to scenarios that do not say it themselves.
    #[serde(default)]
    over: Vec<String>,
    /// Applies to all scenarios.
    #[serde(default)]
    ours: bool,
    scenarios: Vec<Scenario>,
}

/// One test: steps over named connections against a server with a given configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    pub name: String,
    /// Ids of the feature rows this scenario proves.
    pub rows: Vec<String>,
    /// Merged over the file's configuration; after loading it holds the complete fragment.
    #[serde(default)]
    pub config: Value,
    /// Regular expressions for WARN and ERROR lines the server may log.
    #[serde(default)]
    pub allow_log: Vec<String>,
    /// Runs on a server process of its own.
    #[serde(default)]
    pub isolated: bool,
    /// Why the reference server answers differently. Steps marked `only: reference` and
    /// `only: ours` hold both behaviours; without such steps the scenario must fail there.
    #[serde(default)]
    pub differs: Option<String>,
    /// The server must not start with this configuration.
    #[serde(default)]
    pub refused: bool,
    /// What the server of this repository lacks for it; the scenario is ignored there until it is asked for by
    /// `--include-ignored`.
    #[serde(default)]
    pub pending: Option<String>,
    /// It is about something the reference does not have, and ignored there.
    #[serde(default)]
    pub ours: bool,
    /// Transports the scenario is repeated over; each is switched on, is the one of steps that name none, and stands
    /// behind the scenario's name.
    #[serde(default)]
    over: Option<Vec<String>>,
    /// The one of `over`.
    #[serde(skip)]
    transport: Option<String>,
    #[serde(default)]
    pub steps: Vec<Map<String, Value>>,
}

impl Scenario {
    /// Transport of steps that name none.
    pub fn transport(&self) -> Result<Kind, String> {
        self.transport.as_deref().map_or(Ok(Kind::default()), Kind::named)
    }

    /// The name without the transport it is repeated over.
    pub fn base_name(&self) -> &str {
        self.name.split('@').next().unwrap_or_default()
    }

    /// The scenario once for each transport it is repeated over, or as it is.
    fn repeated(self) -> Vec<Self> {
        let Some(transports) = self.over.clone().filter(|transports| !transports.is_empty()) else {
            return vec![self];
        };
        let over = |transport: String| {
            let switched_on = Kind::named(&transport).map_or(Value::Null, Kind::switched_on);
            Self {
                name: format!("{}@{transport}", self.name),
                config: merged(&switched_on, &self.config),
                transport: Some(transport),
                ..self.clone()
            }
        };
        transports.into_iter().map(over).collect()
    }

    /// Whether single steps tell the two behaviours apart.
    pub fn has_branches(&self) -> bool {
        fn branches(steps: &[Map<String, Value>]) -> bool {
            steps.iter().any(|step| {
                step.contains_key("only")
                    || step.get("steps").and_then(Value::as_array).is_some_and(|inner| {
                        inner.iter().filter_map(Value::as_object).any(|step| step.contains_key("only"))
                    })
            })
        }
        branches(&self.steps)
    }
}

/// Reads every scenario file of a directory, in name order.
pub fn load_all(directory: &Path) -> Result<Vec<Scenario>, String> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(directory)
        .map_err(|e| format!("read {}: {e}", directory.display()))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    paths.sort();
    let mut scenarios = Vec::new();
    for path in paths {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).map_err(|e| format!("read {}: {e}", path.display()))?;
        let file: ScenarioFile =
            serde_saphyr::from_str_with_options(&text, serde_saphyr::options! { strict_booleans: true })
                .map_err(|e| format!("parse {}: {e}", path.display()))?;
        for mut scenario in file.scenarios {
            scenario.config = merged(&file.config, &scenario.config);
            scenario.name = format!("{stem}::{}", scenario.name);
            scenario.ours |= file.ours;
            scenario.pending = scenario.pending.or_else(|| file.pending.clone());
            scenario.over = scenario.over.or_else(|| Some(file.over.clone()));
            scenarios.extend(scenario.repeated());
        }
    }
    Ok(scenarios)
}

/// Lays `over` on `base`: objects are merged key by key, everything else is replaced.
pub fn merged(base: &Value, over: &Value) -> Value {
    match (base, over) {
        (base, Value::Null) => base.clone(),
        (Value::Object(base), Value::Object(over)) => {
            let mut result = base.clone();
            for (key, value) in over {
                let value = match result.get(key) {
                    Some(existing) => merged(existing, value),
                    None => value.clone(),
                };
                result.insert(key.clone(), value);
            }
            Value::Object(result)
        }
        (_, over) => over.clone(),
    }
}
