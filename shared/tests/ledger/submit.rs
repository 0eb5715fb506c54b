//! `Submit::accept`.

use std::time::Duration;

use shared::domain::{
    Class, Cursor, Estimate, Event, EventType, Interruption, Priority, Status, Usd, UserHash,
};
use shared::ledger::{AcceptOutcome, NewRun};

use crate::fixture::{Fixture, keyed_run, new_run, success};

crate::contract!(
    what_is_accepted_is_committed_with_its_first_event,
    outcomes_are_in_the_order_of_the_batch,
    repeating_an_accept_changes_nothing,
    a_key_is_one_run_per_tenant,
    the_first_of_two_with_the_same_key_wins,
    a_key_is_known_after_its_run_has_ended,
    a_hundred_concurrent_submits_with_one_key_are_one_run,
    concurrent_batches_with_the_same_keys_all_succeed,
    a_poisoned_row_fails_alone,
    a_poisoned_row_alone_is_refused,
    nothing_to_accept_is_nothing_done,
    large_and_strange_content_survives,
    absurd_numbers_are_kept_within_their_columns,
);

async fn what_is_accepted_is_committed_with_its_first_event(f: &Fixture) {
    let run = NewRun {
        user: Some(UserHash::from_digest(&[1, 2, 255])),
        class: Class::Interactive,
        priority: Priority::new(90).unwrap(),
        task_type: "code".to_owned(),
        model: "gpt-x".to_owned(),
        on_interruption: Interruption::Fail,
        deadline: Some(Duration::from_millis(60_001)),
        metadata: Some(r#"{"ticket":7}"#.to_owned()),
        trace_parent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        simulated: true,
        ..keyed_run("acme", "k", b"body")
    };
    let outcomes = f.submit.accept(std::slice::from_ref(&run)).await.unwrap();
    let [AcceptOutcome::Accepted { created_at }] = *outcomes else {
        panic!("{outcomes:?}")
    };

    let record = f.record(run.id).await;
    assert_eq!(
        (record.id, record.kind, &record.tenant),
        (run.id, run.kind, &run.tenant)
    );
    assert_eq!(
        (&record.user, record.class, record.priority),
        (&run.user, run.class, run.priority)
    );
    assert_eq!((&record.task_type, &record.model), (&run.task_type, &run.model));
    assert_eq!(
        (record.on_interruption, record.simulated),
        (run.on_interruption, true)
    );
    assert_eq!(
        (record.status, record.epoch, record.attempts),
        (Status::Queued, 0, 0)
    );
    assert_eq!((record.created_at, record.not_before), (created_at, created_at));
    assert_eq!(
        record.deadline_at,
        Some(created_at.plus(Duration::from_millis(60_001)))
    );
    assert_eq!((record.estimate, &record.metadata), (run.estimate, &run.metadata));
    assert_eq!(
        (
            record.worker,
            record.cancel_at,
            record.claimed_at,
            record.finished_at
        ),
        (None, None, None, None)
    );

    let log = f.whole_log(run.id).await;
    let [queued] = &*log else { panic!("{log:?}") };
    assert_eq!(
        (queued.cursor, queued.kind, queued.at),
        (Cursor::QUEUED, EventType::RunQueued, created_at)
    );
    assert_eq!(queued.data, run.queued_data());
    assert!(matches!(queued.event().unwrap(), Event::RunQueued(data) if data.estimate == run.estimate));
    assert!(f.reader.result(run.id).await.unwrap().is_none());
}

async fn outcomes_are_in_the_order_of_the_batch(f: &Fixture) {
    let earlier = f.accept(keyed_run("acme", "k", b"body")).await;
    // Not in the order of (tenant, key), in which a backend may write them.
    let batch = [
        keyed_run("zeta", "z", b"body"),
        keyed_run("acme", "k", b"other"),
        new_run("beta"),
        keyed_run("acme", "k", b"body"),
        keyed_run("acme", "a", b"body"),
    ];
    let outcomes = f.submit.accept(&batch).await.unwrap();
    let [
        AcceptOutcome::Accepted { .. },
        reused,
        AcceptOutcome::Accepted { .. },
        duplicate,
        AcceptOutcome::Accepted { .. },
    ] = &*outcomes
    else {
        panic!("{outcomes:?}")
    };
    assert_eq!(*reused, AcceptOutcome::KeyReused(earlier));
    assert_eq!(*duplicate, AcceptOutcome::Duplicate(earlier));
    for place in [1, 3] {
        assert!(f.reader.run(batch[place].id).await.unwrap().is_none());
        assert_eq!(f.outline(batch[place].id).await, Vec::<String>::new());
    }
}

async fn repeating_an_accept_changes_nothing(f: &Fixture) {
    let batch = [new_run("acme"), keyed_run("acme", "k", b"body")];
    let first = f.submit.accept(&batch).await.unwrap();
    assert!(matches!(
        *first,
        [AcceptOutcome::Accepted { .. }, AcceptOutcome::Accepted { .. }]
    ));
    let worker = f.worker().await;
    f.claim(worker, batch[0].id).await;
    assert_eq!(f.submit.accept(&batch).await.unwrap(), first);
    assert_eq!(f.record(batch[0].id).await.status, Status::Running);
    assert_eq!(
        f.outline(batch[0].id).await,
        ["0-1 run.queued", "1-1 attempt.started"]
    );
    assert_eq!(f.outline(batch[1].id).await, ["0-1 run.queued"]);
}

async fn a_key_is_one_run_per_tenant(f: &Fixture) {
    let first = f.accept(keyed_run("acme", "k", b"body")).await;
    let duplicate = f.submit.accept(&[keyed_run("acme", "k", b"body")]).await.unwrap();
    assert_eq!(duplicate, [AcceptOutcome::Duplicate(first)]);
    let reused = f
        .submit
        .accept(&[keyed_run("acme", "k", b"other")])
        .await
        .unwrap();
    assert_eq!(reused, [AcceptOutcome::KeyReused(first)]);
    let elsewhere = f.accept(keyed_run("beta", "k", b"body")).await;
    assert_ne!(elsewhere, first);
    // Without a key, equal runs are different runs.
    f.accept(new_run("acme")).await;
    f.accept(new_run("acme")).await;
    assert_eq!(f.count("SELECT count(*) AS n FROM mcp_request").await, 4);
}

async fn the_first_of_two_with_the_same_key_wins(f: &Fixture) {
    let batch = [
        keyed_run("acme", "k", b"body"),
        keyed_run("acme", "k", b"body"),
        keyed_run("acme", "k", b"other"),
    ];
    let outcomes = f.submit.accept(&batch).await.unwrap();
    assert!(
        matches!(outcomes[0], AcceptOutcome::Accepted { .. }),
        "{outcomes:?}"
    );
    assert_eq!(outcomes[1], AcceptOutcome::Duplicate(batch[0].id));
    assert_eq!(outcomes[2], AcceptOutcome::KeyReused(batch[0].id));
}

async fn a_key_is_known_after_its_run_has_ended(f: &Fixture) {
    let (worker, claimed) = f.holder(keyed_run("acme", "k", b"body")).await;
    f.append(worker, success(&claimed, 2)).await;
    let again = f.submit.accept(&[keyed_run("acme", "k", b"body")]).await.unwrap();
    assert_eq!(again, [AcceptOutcome::Duplicate(claimed.id)]);
}

async fn a_hundred_concurrent_submits_with_one_key_are_one_run(f: &Fixture) {
    let submits: Vec<_> = (0..100)
        .map(|_| {
            let submit = f.submit.clone();
            let run = keyed_run("acme", "k", b"body");
            tokio::spawn(async move { (run.id, submit.accept(&[run]).await.unwrap().remove(0)) })
        })
        .collect();
    let mut accepted = Vec::new();
    let mut duplicates = Vec::new();
    for submit in submits {
        match submit.await.unwrap() {
            (id, AcceptOutcome::Accepted { .. }) => accepted.push(id),
            (_, AcceptOutcome::Duplicate(id)) => duplicates.push(id),
            (_, other) => panic!("{other:?}"),
        }
    }
    let [winner] = *accepted else {
        panic!("{accepted:?}")
    };
    assert_eq!(duplicates, vec![winner; 99]);
    assert_eq!(f.count("SELECT count(*) AS n FROM mcp_request").await, 1);
    assert_eq!(f.count("SELECT count(*) AS n FROM mcp_event").await, 1);
}

async fn concurrent_batches_with_the_same_keys_all_succeed(f: &Fixture) {
    let keys: Vec<String> = (0..20).map(|n| format!("k{n}")).collect();
    let submits: Vec<_> = (0..16)
        .map(|n| {
            let submit = f.submit.clone();
            let mut batch: Vec<NewRun> = keys.iter().map(|key| keyed_run("acme", key, b"body")).collect();
            // In opposite orders, as a deadlock would need it.
            if n % 2 == 1 {
                batch.reverse();
            }
            tokio::spawn(async move { submit.accept(&batch).await.unwrap() })
        })
        .collect();
    let mut accepted = 0;
    for submit in submits {
        for outcome in submit.await.unwrap() {
            match outcome {
                AcceptOutcome::Accepted { .. } => accepted += 1,
                AcceptOutcome::Duplicate(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(accepted, keys.len());
    assert_eq!(f.count("SELECT count(*) AS n FROM mcp_request").await, 20);
}

/// A text with NUL: neither database takes it.
fn poisoned() -> NewRun {
    NewRun {
        model: "gpt\0x".to_owned(),
        ..new_run("acme")
    }
}

async fn a_poisoned_row_fails_alone(f: &Fixture) {
    let batch = [
        new_run("acme"),
        poisoned(),
        keyed_run("acme", "k", b"body"),
        new_run("beta"),
    ];
    let outcomes = f.submit.accept(&batch).await.unwrap();
    assert_eq!(outcomes.len(), 4);
    for (place, outcome) in outcomes.iter().enumerate() {
        let known = f.reader.run(batch[place].id).await.unwrap().is_some();
        if place == 1 {
            assert!(
                matches!(outcome, AcceptOutcome::Refused(why) if !why.is_empty()),
                "{outcome:?}"
            );
            assert!(!known);
        } else {
            assert!(matches!(outcome, AcceptOutcome::Accepted { .. }), "{outcome:?}");
            assert!(known);
        }
    }
}

async fn a_poisoned_row_alone_is_refused(f: &Fixture) {
    let outcomes = f.submit.accept(&[poisoned()]).await.unwrap();
    assert!(matches!(&*outcomes, [AcceptOutcome::Refused(_)]), "{outcomes:?}");
    assert_eq!(f.count("SELECT count(*) AS n FROM mcp_request").await, 0);
    assert_eq!(f.count("SELECT count(*) AS n FROM mcp_event").await, 0);
}

async fn nothing_to_accept_is_nothing_done(f: &Fixture) {
    assert_eq!(f.submit.accept(&[]).await.unwrap(), []);
}

async fn large_and_strange_content_survives(f: &Fixture) {
    let strange = format!(
        "NUL \\u0000, quotes \\\" and \\\\, ünïcödé, 😀, {}",
        "x".repeat(3 << 20)
    );
    let spec = format!(r#"{{"model":"auto","messages":[{{"role":"user","content":"{strange}"}}]}}"#);
    let metadata = Some(format!(r#"{{"note":"{}"}}"#, "é\\u0000".repeat(1_000)));
    let run = NewRun {
        spec: spec.clone(),
        metadata: metadata.clone(),
        ..new_run("acme")
    };
    let (_, claimed) = f.holder(run).await;
    assert!(claimed.spec == spec);
    assert_eq!(f.record(claimed.id).await.metadata, metadata);
}

async fn absurd_numbers_are_kept_within_their_columns(f: &Fixture) {
    let estimate = Estimate {
        input_tokens: u32::MAX,
        output_tokens: u32::MAX,
        cost_usd: Some(Usd::from_nanos(i64::MAX)),
    };
    let run = f
        .accept(NewRun {
            estimate,
            deadline: Some(Duration::MAX),
            ..new_run("acme")
        })
        .await;
    let stored = f.record(run).await.estimate;
    let largest = u32::try_from(i32::MAX).unwrap();
    assert_eq!((stored.input_tokens, stored.output_tokens), (largest, largest));
    assert_eq!(stored.cost_usd, estimate.cost_usd);
    let worker = f.worker().await;
    assert!(f.claim(worker, run).await.deadline.is_some());
}
