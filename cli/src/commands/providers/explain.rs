//! `mcpctl providers explain`: who would be chosen for a model, by the router itself, over the keys of this environment.
//! Its figures are those of a worker that has just begun; what the workers have learned stands beside them, and breakers
//! that they hold open are open here as well.

use clap::Args;
use serde_json::json;
use shared::clock;
use shared::domain::{BreakerNews, BreakerState, NewsState, Policy};
use worker::roster::Roster;
use worker::routing::need::Need;
use worker::routing::report::{CandidateReport, RouteReport};

use super::here::{Here, fleet};
use crate::args::{Format, OutputArgs, ServerArgs};
use crate::client::{FleetModel, FleetView};
use crate::commands::begin;
use crate::exit::CliError;
use crate::output::Table;
use crate::roles::start;

#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// A model's name, an alias, or `auto`
    #[arg(value_name = "MODEL")]
    model: String,
    /// How candidates are weighed: balanced, cheapest, fastest, quality or local_first
    #[arg(long, value_name = "POLICY", default_value_t)]
    policy: Policy,
    /// What the prompt is for; `auto` goes by it
    #[arg(long, value_name = "TYPE", default_value = "chat")]
    task_type: String,
    /// The provider to prefer
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    /// Prefer providers that run beside us
    #[arg(long)]
    prefer_local: bool,
    #[command(flatten)]
    pub(super) output: OutputArgs,
    #[command(flatten)]
    server: ServerArgs,
}

pub(super) async fn run(args: ExplainArgs) -> Result<(), CliError> {
    let (client, mut screen) = begin(&args.server, args.output)?;
    let here = Here::read()?;
    let roster = Roster::new(&here.parts)
        .map_err(|error| start::broken("a provider cannot be used", error, "correct the environment"))?;
    let fleet = fleet(&client, &mut screen).await?.unwrap_or_default();
    let router = roster.router();
    let (now, wall) = (router.now(), clock::now());
    for news in open_breakers(&fleet) {
        router.hear(&news, now, wall);
    }
    let need = Need {
        policy: args.policy,
        task_type: args.task_type,
        provider_hint: args.provider,
        prefer_local: args.prefer_local,
        ..Need::plain(&args.model)
    };
    let report = router.explain(&need, now);
    match screen.format {
        Format::Json => {
            let all = json!({ "report": report, "fleet": fleet });
            screen.json(&all.to_string()).await?;
        }
        Format::Text => {
            screen.line(&report.why).await?;
            if !report.candidates.is_empty() {
                screen.line(&table(&report, &fleet)).await?;
            }
            if report.more > 0 {
                screen
                    .note(&format!("and {} more that were passed over", report.more))
                    .await?;
            }
        }
    }
    if report
        .candidates
        .iter()
        .any(|candidate| candidate.score.is_some())
    {
        return Ok(());
    }
    Err(start::broken(
        "nobody here can answer",
        report.why,
        "mcpctl providers list    (shows which keys are missing)",
    ))
}

/// What the workers would tell each other about the breakers that are open.
fn open_breakers(fleet: &FleetView) -> impl Iterator<Item = BreakerNews> {
    let open = fleet
        .models
        .iter()
        .filter(|model| model.breaker == BreakerState::Open);
    open.filter_map(|model| {
        Some(BreakerNews {
            provider: model.provider.clone(),
            model: model.model.clone(),
            state: NewsState::Open,
            until: model.open_until?,
            level: 0,
            version: 1,
            writer: 0,
        })
    })
}

fn table(report: &RouteReport, fleet: &FleetView) -> String {
    let mut table = Table::default();
    table.row([
        "PROVIDER",
        "MODEL",
        "SCORE",
        "COST",
        "TIER",
        "BREAKER",
        "FIRST TOKEN",
        "TOKENS/S",
        "ERRORS",
        "WHY NOT",
    ]);
    for candidate in &report.candidates {
        let seen = fleet
            .models
            .iter()
            .find(|seen| seen.provider == *candidate.provider && seen.model == *candidate.model);
        row(&mut table, candidate, seen);
    }
    table.text()
}

fn row(table: &mut Table, candidate: &CandidateReport, seen: Option<&FleetModel>) {
    let unknown = || "-".to_owned();
    let figures = &candidate.figures;
    let cost = figures.cost_usd.map(|cost| format!("${:.6}", cost.dollars()));
    table.row([
        &candidate.provider,
        &candidate.model,
        &candidate
            .score
            .map_or_else(unknown, |score| format!("{score:.3}")),
        &cost.unwrap_or_else(|| "unknown".to_owned()),
        &figures.quality.map_or_else(unknown, |tier| tier.to_string()),
        figures.breaker.as_str(),
        &seen
            .and_then(|seen| seen.first_token_ms)
            .map_or_else(unknown, |millis| format!("{millis:.0} ms")),
        &seen
            .and_then(|seen| seen.tokens_per_second)
            .map_or_else(unknown, |speed| format!("{speed:.0}")),
        &seen.map_or_else(unknown, |seen| format!("{:.1} %", seen.error_rate * 100.0)),
        candidate.passed_over.unwrap_or_default(),
    ]);
}
