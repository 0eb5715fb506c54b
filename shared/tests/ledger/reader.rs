//! `Reader`: what everybody else reads, the same on every backend.

use shared::domain::{Class, RequeueReason, RunId, Status, UserHash};
use shared::ledger::{NewRun, RunFilter};

use crate::fixture::{Fixture, LONG, new_run, requeue, success, tenant};

crate::contract!(
    what_is_not_there_is_none,
    a_listing_is_newest_first_in_pages,
    a_listing_keeps_to_its_filter,
    queued_runs_are_counted_up_to_a_bound,
    the_overview_counts_each_class,
    the_ledger_answers_a_ping,
);

async fn what_is_not_there_is_none(f: &Fixture) {
    assert!(f.reader.run(RunId::new()).await.unwrap().is_none());
    let run = f.accept(new_run("acme")).await;
    assert!(f.reader.result(run).await.unwrap().is_none());
}

async fn a_listing_is_newest_first_in_pages(f: &Fixture) {
    let mut runs = f.accept_many("acme", 5).await;
    runs.reverse();
    let filter = RunFilter::default();
    let mut listed = Vec::new();
    let mut before = None;
    for expected in [2, 2, 1] {
        let page = f.reader.list(&filter, before, 2).await.unwrap();
        assert_eq!(page.runs.len(), expected);
        listed.extend(page.runs.iter().map(|run| run.id));
        before = page.next;
    }
    assert_eq!((listed, before), (runs, None));
    let exactly = f.reader.list(&filter, None, 5).await.unwrap();
    assert_eq!((exactly.runs.len(), exactly.next), (5, None));
}

async fn a_listing_keeps_to_its_filter(f: &Fixture) {
    let user = UserHash::from_digest(&[7]);
    let plain = f.accept(new_run("acme")).await;
    let of_user = f
        .accept(NewRun {
            user: Some(user.clone()),
            ..new_run("acme")
        })
        .await;
    let batch = f
        .accept(NewRun {
            class: Class::Batch,
            ..new_run("acme")
        })
        .await;
    let code = f
        .accept(NewRun {
            task_type: "code".to_owned(),
            ..new_run("acme")
        })
        .await;
    let elsewhere = f.accept(new_run("beta")).await;
    let worker = f.worker().await;
    f.claim(worker, plain).await;
    let acme = || RunFilter {
        tenant: Some(tenant("acme")),
        ..RunFilter::default()
    };
    for (filter, expected) in [
        (RunFilter::default(), vec![elsewhere, code, batch, of_user, plain]),
        (acme(), vec![code, batch, of_user, plain]),
        (
            RunFilter {
                user: Some(user),
                ..acme()
            },
            vec![of_user],
        ),
        (
            RunFilter {
                class: Some(Class::Batch),
                ..acme()
            },
            vec![batch],
        ),
        (
            RunFilter {
                task_type: Some("code".to_owned()),
                ..acme()
            },
            vec![code],
        ),
        (
            RunFilter {
                status: Some(Status::Running),
                ..RunFilter::default()
            },
            vec![plain],
        ),
        (
            RunFilter {
                status: Some(Status::Running),
                class: Some(Class::Batch),
                ..acme()
            },
            vec![],
        ),
    ] {
        let page = f.reader.list(&filter, None, 10).await.unwrap();
        assert_eq!(
            page.runs.iter().map(|run| run.id).collect::<Vec<_>>(),
            expected,
            "{filter:?}"
        );
    }
}

async fn queued_runs_are_counted_up_to_a_bound(f: &Fixture) {
    f.accept_many("acme", 5).await;
    f.accept(NewRun {
        class: Class::Batch,
        ..new_run("beta")
    })
    .await;
    f.holder(new_run("beta")).await;
    assert_eq!(f.reader.queued(None, 100).await.unwrap(), 6);
    assert_eq!(f.reader.queued(None, 3).await.unwrap(), 3);
    assert_eq!(f.reader.queued(Some(&tenant("acme")), 100).await.unwrap(), 5);
    assert_eq!(f.reader.queued(Some(&tenant("beta")), 100).await.unwrap(), 1);
    assert_eq!(f.reader.queued(Some(&tenant("nobody")), 100).await.unwrap(), 0);
}

async fn the_overview_counts_each_class(f: &Fixture) {
    let (worker, delayed) = f.holder(new_run("acme")).await;
    f.append(
        worker,
        requeue(
            &delayed,
            2,
            RequeueReason::ProviderFailed,
            delayed.started.at.plus(LONG),
        ),
    )
    .await;
    let (_, ended) = f.holder(new_run("acme")).await;
    let ended_by = f.record(ended.id).await.worker.expect("it is held");
    f.append(ended_by, success(&ended, 2)).await;
    let (holder, _) = f.holder(new_run("acme")).await;
    f.accept_many("acme", 2).await;
    let overview = f.reader.overview().await.unwrap();
    let classes: Vec<Class> = overview.classes.iter().map(|class| class.class).collect();
    assert_eq!(classes, Class::ALL);
    let standard = &overview.classes[1];
    assert_eq!((standard.ready, standard.running, standard.delayed), (2, 1, 1));
    assert!(standard.oldest_ready_age_ms.is_some());
    let batch = &overview.classes[2];
    assert_eq!(
        (
            batch.ready,
            batch.running,
            batch.delayed,
            batch.oldest_ready_age_ms
        ),
        (0, 0, 0, None)
    );
    let running = |id| {
        overview
            .workers
            .iter()
            .find(|record| record.id == id)
            .map(|record| record.running)
    };
    assert_eq!(
        (overview.workers.len(), running(holder), running(worker)),
        (3, Some(1), Some(0))
    );
}

async fn the_ledger_answers_a_ping(f: &Fixture) {
    f.reader.ping().await.unwrap();
    let status = f.reader.pool_status();
    assert!(
        status.size >= 1 && status.size <= status.max && status.idle <= status.size,
        "{status:?}"
    );
}
