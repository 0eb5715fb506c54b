//! Every call has its row, whatever became of it.

use serde_json::json;
use shared::domain::{CallOutcome, CostUnknown, EventType, Interruption, Status, Usd};
use shared::ledger::AccountedCall;

use crate::stage::{File, Stage, simulator, soon};

fn one(calls: &[AccountedCall]) -> &AccountedCall {
    let [call] = calls else { panic!("{calls:?}") };
    call
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_accounted_by_the_catalogs_prices() {
    let provider = simulator().await;
    let file = File::default()
        .provider("a", &provider.base_url())
        .model("a", "sim-fast:tokens=4", "m");
    let stage = Stage::open(&file).await;
    let told = stage.play().await;
    let row = one(&told.calls);
    let tokens = row.call.tokens;
    let (input, output) = (tokens.input.expect("input"), tokens.output.expect("output"));
    assert_eq!(output, 4);
    // 1 and 2 dollars per million tokens.
    let cost = i64::try_from(input + 2 * output).unwrap() * 1_000;
    assert_eq!(row.call.cost, Ok(Usd::from_nanos(cost)));
    assert_eq!(told.result.result.cost, Some(Usd::from_nanos(cost)));
    assert_eq!(
        (row.epoch, row.call.call, row.call.key, row.call.outcome),
        (1, 1, None, CallOutcome::Succeeded)
    );
    assert!(
        row.call
            .first_token
            .is_some_and(|first| first <= row.call.duration)
    );
    assert!(row.call.provider_request_id.is_some());
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_known_is_said_to_be_unknown() {
    let provider = simulator().await;
    let mut unpriced = File::default().provider("a", &provider.base_url());
    unpriced.0.push_str(
        "[[models]]\nprovider = \"a\"\nname = \"sim-fast:tokens=4\"\naliases = [\"m\"]\ncapabilities = [\"chat\"]\n",
    );
    let stage = Stage::open(&unpriced).await;
    let told = stage.play().await;
    assert_eq!(one(&told.calls).call.cost, Err(CostUnknown::NoPrice));
    assert_eq!(told.result.result.cost, None);
    stage.close().await;

    let file = File::default().provider("a", &provider.base_url()).model(
        "a",
        "sim-fast:tokens=4,fault=no_usage",
        "m",
    );
    let stage = Stage::open(&file).await;
    assert_eq!(
        one(&stage.play().await.calls).call.cost,
        Err(CostUnknown::NoUsage)
    );
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_call_is_accounted_in_the_runs_last_commit() {
    let provider = simulator().await;
    let file = File::default().provider("a", &provider.base_url()).model(
        "a",
        "sim-fast:tokens=4,fault=stall,after=2",
        "m",
    );
    let stage = Stage::open(&file).await;
    let run = stage.submit(Interruption::Restart, json!({})).await;
    let mut watcher = stage.watch(run).await;
    while soon("output", watcher.next()).await.expect("an entry").kind != EventType::OutputDelta {}
    stage.place.ledger.submit.cancel(run, "client").await.unwrap();
    let told = stage.told(run).await;
    assert_eq!(told.result.result.status, Status::Cancelled);
    let row = one(&told.calls);
    assert_eq!(
        (row.call.outcome, row.call.cost),
        (CallOutcome::Cancelled, Err(CostUnknown::NoUsage))
    );
    soon("the call's end", provider.wait_for(|stats| stats.open == 0)).await;
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_told_to_stop_accounts_what_it_gives_back() {
    let provider = simulator().await;
    let file = File::default().provider("a", &provider.base_url()).model(
        "a",
        "sim-fast:tokens=4,fault=stall,after=2",
        "m",
    );
    let stage = Stage::open(&file).await;
    let run = stage.submit(Interruption::Restart, json!({})).await;
    let mut watcher = stage.watch(run).await;
    while soon("output", watcher.next()).await.expect("an entry").kind != EventType::OutputDelta {}
    stage.working.shutdown.hard.cancel();
    let place = stage.close_keeping_runs().await;
    let calls = place.ledger.reader.calls(run).await.unwrap();
    assert_eq!(one(&calls).call.outcome, CallOutcome::Cancelled);
}
