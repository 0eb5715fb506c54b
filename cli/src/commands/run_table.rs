//! Runs as people read them: one in full, or many in lines.

use super::summary::{dollars, tokens};
use crate::client::RunView;
use crate::output::{SIMULATED, Table};

/// Everything about one run.
pub(super) fn of_one(run: &RunView) -> String {
    let mut table = Table::default();
    table.row(["run", &run.request_id.to_string()]);
    if run.simulated {
        table.row(["", SIMULATED]);
    }
    table.row(["status", run.status.as_str()]);
    table.row(["kind", &run.kind]);
    let priority = run
        .priority
        .map(|priority| format!(" (priority {priority})"))
        .unwrap_or_default();
    table.row(["class", &format!("{}{priority}", run.class)]);
    let mut optional = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            table.row([name, value]);
        }
    };
    optional("task type", run.task_type.as_deref());
    optional("model", run.model.as_deref());
    optional("tenant", run.tenant.as_deref());
    optional("attempts", Some(&run.attempts.to_string()));
    optional("if interrupted", run.on_interruption.as_deref());
    optional("created", Some(&run.created_at));
    optional("started", run.started_at.as_deref());
    optional("finished", run.finished_at.as_deref());
    optional("not before", run.not_before.as_deref());
    optional("deadline", run.deadline_at.as_deref());
    optional("cancel asked", run.cancel_requested_at.as_deref());
    optional("estimate", run.estimated_tokens.map(tokens).as_deref());
    optional("estimated cost", Some(&dollars(run.estimated_cost_usd.as_ref())));
    table.text()
}

/// A line each, under a heading.
pub(super) fn of_many(runs: &[RunView], tenants: bool) -> String {
    let mut table = Table::default();
    let tenant = |run: &RunView| run.tenant.clone().unwrap_or_default();
    let heading = if tenants { "TENANT" } else { "" };
    table.row(["ID", "STATUS", "CLASS", "TYPE", "MODEL", "CREATED", heading, ""]);
    for run in runs {
        table.row([
            &run.request_id.to_string(),
            run.status.as_str(),
            &run.class,
            run.task_type.as_deref().unwrap_or("-"),
            run.model.as_deref().unwrap_or("-"),
            &run.created_at,
            &if tenants { tenant(run) } else { String::new() },
            if run.simulated { SIMULATED } else { "" },
        ]);
    }
    table.text()
}
