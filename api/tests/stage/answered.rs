//! Answers of the past: a run that has ended, and the calls it took. Also used by the tests inside the crate.

use std::time::Duration;

use shared::domain::{
    Answer, CallOutcome, CallTokens, Class, CostUnknown, Cursor, Estimate, Event, Interruption, Kind,
    LogEntry, Priority, RunId, RunSucceeded, Status, UsageRecord, WorkerId,
};
use shared::ledger::{Ledger, NewRun, NewWorker, RunResult, Then, Write, WriteOutcome};

/// A run of this task type has ended, after calls whose answers had so many tokens.
pub(crate) async fn answered(ledger: &Ledger, task_type: &str, tokens: &[u64]) {
    let worker = NewWorker {
        id: WorkerId::new(),
        name: "past".to_owned(),
        slots: 1,
    };
    let lease = Duration::from_secs(3_600);
    ledger.execute.register(&worker, lease).await.unwrap();
    let run = new_run(task_type);
    ledger.submit.accept(std::slice::from_ref(&run)).await.unwrap();
    let mut claimed = ledger.execute.claim(worker.id, &[run.id], None).await.unwrap();
    let claimed = claimed.pop().unwrap();
    let end = Event::RunSucceeded(RunSucceeded {
        finish_reason: "stop".to_owned(),
        provider_metadata: serde_json::Map::new(),
    });
    let entry = LogEntry {
        cursor: Cursor::new(claimed.epoch, 2),
        kind: end.kind(),
        at: shared::clock::now(),
        data: end.to_data(false),
    };
    let result = RunResult {
        answer: Some(serde_json::to_string(&Answer::default()).unwrap()),
        finish_reason: Some("stop".to_owned()),
        ..RunResult::without_answer(Status::Succeeded, None)
    };
    let write = Write {
        run: run.id,
        epoch: claimed.epoch,
        entries: vec![entry],
        usage: (1..)
            .zip(tokens)
            .map(|(place, tokens)| call(place, *tokens))
            .collect(),
        then: Then::Settle(Box::new(result)),
    };
    let outcomes = ledger.execute.append(worker.id, &[write]).await.unwrap();
    assert_eq!(outcomes, [WriteOutcome::Committed]);
}

fn new_run(task_type: &str) -> NewRun {
    NewRun {
        id: RunId::new(),
        kind: Kind::Chat,
        tenant: "local".parse().unwrap(),
        user: None,
        class: Class::Standard,
        priority: Priority::default(),
        task_type: task_type.to_owned(),
        model: "auto".to_owned(),
        on_interruption: Interruption::Restart,
        deadline: None,
        idempotency: None,
        estimate: Estimate {
            input_tokens: 1,
            output_tokens: 1,
            cost_usd: None,
        },
        spec: r#"{"model":"auto","messages":[{"role":"user","content":"Hello"}]}"#.to_owned(),
        metadata: None,
        trace_parent: None,
        simulated: false,
    }
}

fn call(place: u32, tokens: u64) -> UsageRecord {
    UsageRecord {
        call: place,
        provider: "openai".into(),
        model: "m".into(),
        key: None,
        outcome: CallOutcome::Succeeded,
        error: None,
        tokens: CallTokens {
            output: Some(tokens),
            ..CallTokens::default()
        },
        cost: Err(CostUnknown::NoPrice),
        estimated: false,
        first_token: None,
        duration: Duration::ZERO,
        provider_request_id: None,
        started_at: shared::clock::now(),
    }
}
