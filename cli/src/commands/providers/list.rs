//! `mcpctl providers list`: the catalog's providers, and which of them can be called from here and by the workers.

use std::collections::HashMap;

use clap::Args;
use serde_json::{Value, json};
use shared::catalog::{Absent, LiveProvider, Provider};
use shared::domain::BreakerState;

use super::here::{Here, fleet};
use crate::args::{Format, OutputArgs, ServerArgs};
use crate::client::FleetView;
use crate::commands::begin;
use crate::exit::CliError;
use crate::output::Table;

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Only providers that can be called, from here or by a worker
    #[arg(long)]
    live: bool,
    #[command(flatten)]
    pub(super) output: OutputArgs,
    #[command(flatten)]
    server: ServerArgs,
}

/// One line of the list.
struct Line<'a> {
    provider: &'a Provider,
    models: usize,
    live: Option<&'a LiveProvider>,
    absent: Option<&'a Absent>,
    workers: Option<u32>,
    open: usize,
}

pub(super) async fn run(args: ListArgs) -> Result<(), CliError> {
    let (client, mut screen) = begin(&args.server, args.output)?;
    let here = Here::read()?;
    let fleet = fleet(&client, &mut screen).await?;
    let mut lines = lines(&here, fleet.as_ref());
    if args.live {
        lines.retain(|line| line.live.is_some() || line.workers.is_some_and(|workers| workers > 0));
    }
    match screen.format {
        Format::Json => {
            let providers: Vec<Value> = lines.iter().map(Line::json).collect();
            let all = json!({ "providers": providers, "fleet": fleet });
            screen.json(&all.to_string()).await?;
        }
        Format::Text if lines.is_empty() => {
            screen
                .note("no provider can be called: set the key of one, such as OPENAI_API_KEY; `mcpctl providers list` shows all")
                .await?;
        }
        Format::Text => screen.line(&table(&lines)).await?,
    }
    Ok(())
}

fn lines<'a>(here: &'a Here, fleet: Option<&FleetView>) -> Vec<Line<'a>> {
    let mut models: HashMap<&str, usize> = HashMap::new();
    for model in here.catalog.models() {
        *models.entry(&model.provider).or_default() += 1;
    }
    let line = |provider: &'a std::sync::Arc<Provider>| {
        let name = &*provider.name;
        let seen = |fleet: &FleetView| {
            let seen = fleet.providers.iter().find(|seen| seen.provider == name);
            seen.map_or(0, |seen| seen.workers)
        };
        let open = fleet.map_or(0, |fleet| {
            let of_it = fleet.models.iter().filter(|model| model.provider == name);
            of_it
                .filter(|model| model.breaker != BreakerState::Closed)
                .count()
        });
        Line {
            provider,
            models: models.get(name).copied().unwrap_or(0),
            live: here
                .liveness
                .live
                .iter()
                .find(|live| *live.provider.name == *name),
            absent: here
                .liveness
                .absent
                .iter()
                .find(|absent| *absent.provider == *name),
            workers: fleet.map(seen),
            open,
        }
    };
    here.catalog.providers().iter().map(line).collect()
}

impl Line<'_> {
    fn json(&self) -> Value {
        json!({
            "name": *self.provider.name,
            "title": self.provider.title,
            "dialect": self.provider.dialect,
            "local": self.provider.local,
            "models": self.models,
            "live": self.live.is_some(),
            "base_url": self.live.map(|live| &live.base_url),
            "keys": self.live.map(LiveProvider::key_count),
            "key_env": self.live.and_then(|live| live.key_env.as_deref()),
            "why_not": self.absent.map(|absent| absent.why.to_string()),
            "workers": self.workers,
            "breakers_not_closed": self.open,
        })
    }

    /// Whether it can be called from here, in words.
    fn state(&self) -> String {
        match (self.live, self.absent) {
            (Some(live), _) => match (&live.key_env, live.key_count()) {
                (Some(variable), 1) => format!("key in {variable}"),
                (Some(variable), keys) => format!("{keys} keys in {variable}"),
                (None, _) => "needs no key".to_owned(),
            },
            (None, Some(absent)) => absent.why.to_string(),
            (None, None) => String::new(),
        }
    }
}

fn table(lines: &[Line<'_>]) -> String {
    let mut table = Table::default();
    let fleet = lines.iter().any(|line| line.workers.is_some());
    let heading = if fleet { ["WORKERS", "BREAKERS"] } else { ["", ""] };
    table.row([
        "NAME", "DIALECT", "MODELS", "LIVE", heading[0], heading[1], "HERE",
    ]);
    for line in lines {
        let breakers = match (line.workers, line.open) {
            (None | Some(0), _) => String::new(),
            (Some(_), 0) => "closed".to_owned(),
            (Some(_), open) => format!("{open} not closed"),
        };
        table.row([
            &line.provider.name,
            line.provider.dialect.as_str(),
            &line.models.to_string(),
            if line.live.is_some() { "yes" } else { "-" },
            &line
                .workers
                .map(|workers| workers.to_string())
                .unwrap_or_default(),
            &breakers,
            &line.state(),
        ]);
    }
    table.text()
}
