//! The schema itself repeats the state machine: what no code of ours would write, the database refuses.

use crate::fixture::{Fixture, new_run, success};

crate::contract!(
    a_queued_run_cannot_look_like_another_state,
    a_running_run_cannot_look_like_another_state,
    an_ended_run_cannot_look_like_another_state,
    columns_of_a_run_keep_to_their_values,
    a_log_cannot_be_rewritten_in_place,
    results_say_how_it_ended,
    workers_keep_to_their_states,
    calls_keep_to_their_values,
    a_run_may_go_on_from_a_broken_answer,
);

/// Each must be refused by a CHECK, and not for another reason.
async fn refuses(f: &Fixture, statements: &[&str]) {
    for statement in statements {
        let error = f.sql(statement).await.expect_err(statement).to_string();
        assert!(
            error.to_lowercase().contains("check constraint"),
            "{statement}: {error}"
        );
    }
}

async fn a_queued_run_cannot_look_like_another_state(f: &Fixture) {
    f.accept(new_run("acme")).await;
    refuses(
        f,
        &[
            "UPDATE mcp_request SET status = 'running'",
            "UPDATE mcp_request SET status = 'succeeded'",
            "UPDATE mcp_request SET status = 'failed'",
            "UPDATE mcp_request SET status = 'cancelled'",
            "UPDATE mcp_request SET worker_id = id",
            "UPDATE mcp_request SET finished_at = 1",
        ],
    )
    .await;
}

async fn a_running_run_cannot_look_like_another_state(f: &Fixture) {
    f.holder(new_run("acme")).await;
    refuses(
        f,
        &[
            "UPDATE mcp_request SET worker_id = NULL",
            "UPDATE mcp_request SET status = 'queued'",
            "UPDATE mcp_request SET finished_at = 1",
            "UPDATE mcp_request SET epoch = 0",
            "UPDATE mcp_request SET attempts = 0",
            "UPDATE mcp_request SET claimed_at = NULL",
            "UPDATE mcp_request SET status = 'succeeded', finished_at = 1",
        ],
    )
    .await;
}

async fn an_ended_run_cannot_look_like_another_state(f: &Fixture) {
    let (worker, claimed) = f.holder(new_run("acme")).await;
    f.append(worker, success(&claimed, 2)).await;
    refuses(
        f,
        &[
            "UPDATE mcp_request SET status = 'queued'",
            "UPDATE mcp_request SET finished_at = NULL",
            "UPDATE mcp_request SET worker_id = id",
        ],
    )
    .await;
}

async fn columns_of_a_run_keep_to_their_values(f: &Fixture) {
    f.accept(new_run("acme")).await;
    refuses(
        f,
        &[
            "UPDATE mcp_request SET kind = 'dance'",
            "UPDATE mcp_request SET tenant = ''",
            "UPDATE mcp_request SET class = 'urgent'",
            "UPDATE mcp_request SET priority = 101",
            "UPDATE mcp_request SET priority = -1",
            "UPDATE mcp_request SET on_interruption = 'shrug'",
            "UPDATE mcp_request SET status = 'paused'",
            "UPDATE mcp_request SET epoch = -1",
            "UPDATE mcp_request SET attempts = -1",
            "UPDATE mcp_request SET retries = -1",
            "UPDATE mcp_request SET crashes = -1",
            "UPDATE mcp_request SET idempotency_key = 'k'",
            "UPDATE mcp_request SET cancel_at = 1",
            "UPDATE mcp_request SET cancel_by = 'client'",
            "UPDATE mcp_request SET estimated_input_tokens = -1",
            "UPDATE mcp_request SET estimated_output_tokens = -1",
        ],
    )
    .await;
    // The same statement with fitting values is taken.
    f.sql("UPDATE mcp_request SET class = 'batch', priority = 0, cancel_at = NULL, cancel_by = NULL")
        .await
        .unwrap();
}

async fn a_log_cannot_be_rewritten_in_place(f: &Fixture) {
    f.holder(new_run("acme")).await;
    refuses(
        f,
        &["UPDATE mcp_event SET seq = 0", "UPDATE mcp_event SET epoch = -1"],
    )
    .await;
    let again = "INSERT INTO mcp_event (run_id, epoch, seq, type, at, data) \
                 SELECT run_id, epoch, seq, 'run.failed', at, data FROM mcp_event";
    let error = f
        .sql(again)
        .await
        .expect_err("an address is taken once")
        .to_string();
    assert!(error.to_lowercase().contains("unique constraint"), "{error}");
}

async fn results_say_how_it_ended(f: &Fixture) {
    let (worker, claimed) = f.holder(new_run("acme")).await;
    f.append(worker, success(&claimed, 2)).await;
    refuses(
        f,
        &[
            "UPDATE mcp_result SET status = 'running'",
            "UPDATE mcp_result SET status = 'failed'",
            "UPDATE mcp_result SET error_code = 'internal'",
            "UPDATE mcp_result SET answer = NULL",
            "UPDATE mcp_result SET finish_reason = NULL",
        ],
    )
    .await;
}

async fn workers_keep_to_their_states(f: &Fixture) {
    f.worker().await;
    refuses(
        f,
        &[
            "UPDATE mcp_worker SET status = 'undead'",
            "UPDATE mcp_worker SET slots = 0",
            "UPDATE mcp_worker SET figures = '{}'",
            "UPDATE mcp_worker SET figures_at = 1",
        ],
    )
    .await;
}

async fn calls_keep_to_their_values(f: &Fixture) {
    f.holder(new_run("acme")).await;
    f.sql(
        "INSERT INTO mcp_usage (run_id, epoch, call, tenant, simulated, provider, model, outcome, cost_nanousd, \
         estimated, duration_ms, started_at) \
         SELECT id, 1, 1, tenant, simulated, 'openai', 'gpt', 'succeeded', 5, simulated, 1, 1 FROM mcp_request",
    )
    .await
    .unwrap();
    refuses(
        f,
        &[
            "UPDATE mcp_usage SET epoch = 0",
            "UPDATE mcp_usage SET call = 0",
            "UPDATE mcp_usage SET tenant = ''",
            "UPDATE mcp_usage SET provider = ''",
            "UPDATE mcp_usage SET key_index = -1",
            "UPDATE mcp_usage SET outcome = 'shrugged'",
            "UPDATE mcp_usage SET outcome = 'failed'",
            "UPDATE mcp_usage SET error_code = 'internal'",
            "UPDATE mcp_usage SET input_tokens = -1",
            "UPDATE mcp_usage SET output_tokens = -1",
            "UPDATE mcp_usage SET cached_input_tokens = -1",
            "UPDATE mcp_usage SET cache_write_tokens = -1",
            "UPDATE mcp_usage SET reasoning_tokens = -1",
            "UPDATE mcp_usage SET cost_nanousd = -1",
            "UPDATE mcp_usage SET cost_nanousd = NULL",
            "UPDATE mcp_usage SET cost_unknown = 'no_price'",
            "UPDATE mcp_usage SET cost_nanousd = NULL, cost_unknown = 'lazy'",
            "UPDATE mcp_usage SET first_token_ms = -1",
            "UPDATE mcp_usage SET duration_ms = -1",
        ],
    )
    .await;
}

async fn a_run_may_go_on_from_a_broken_answer(f: &Fixture) {
    f.accept(new_run("acme")).await;
    f.sql("UPDATE mcp_request SET on_interruption = 'continue'")
        .await
        .unwrap();
}
