//! `Fleet`: what workers tell each other, and people.

use std::time::Duration;

use shared::domain::{
    BreakerNews, BreakerState, FiguresReport, LiveFigures, MAX_REPORT, ModelFigures, NewsState, Timestamp,
    Usd, WorkerId,
};

use crate::fixture::{Fixture, LONG, until};

crate::contract!(
    news_are_heard_by_who_asks,
    the_newest_of_a_breaker_stays_whatever_the_order,
    a_batch_may_name_a_breaker_more_than_once,
    writers_at_the_same_time_agree,
    a_mark_leaves_out_what_is_old,
    old_news_are_forgotten_once_they_hold_nobody_back,
    a_report_is_read_back_and_replaced,
    a_report_goes_with_its_worker,
    a_report_is_bounded,
);

fn news(model: &str, version: u64, writer: u64) -> BreakerNews {
    BreakerNews {
        provider: "openai".to_owned(),
        model: model.to_owned(),
        state: if version.is_multiple_of(2) {
            NewsState::Closed
        } else {
            NewsState::Open
        },
        until: Timestamp::from_millis(1_700_000_000_000),
        level: 3,
        version,
        writer,
    }
}

async fn all(f: &Fixture) -> Vec<BreakerNews> {
    let mut news = f.fleet.breakers(None).await.unwrap().news;
    news.sort_by(|one, other| one.model.cmp(&other.model));
    news
}

async fn news_are_heard_by_who_asks(f: &Fixture) {
    let before = f.fleet.breakers(None).await.unwrap();
    assert!(before.news.is_empty());
    f.fleet.share_breakers(&[]).await.unwrap();
    let told = [news("a", 1, u64::MAX), news("b", u64::from(u32::MAX) + 1, 0)];
    f.fleet.share_breakers(&told).await.unwrap();
    assert_eq!(all(f).await, told);
    let mut heard = f.fleet.breakers(Some(before.mark)).await.unwrap().news;
    heard.sort_by(|one, other| one.model.cmp(&other.model));
    assert_eq!(heard, told);
}

async fn the_newest_of_a_breaker_stays_whatever_the_order(f: &Fixture) {
    // The highest bit of a writer counts as what it is.
    let high = u64::MAX / 2 + 1;
    for told in [
        news("a", 2, 5),
        news("a", 1, 9),
        news("a", 2, high),
        news("a", 2, 7),
        news("a", 2, high),
    ] {
        f.fleet.share_breakers(&[told]).await.unwrap();
    }
    assert_eq!(all(f).await, [news("a", 2, high)]);
    f.fleet.share_breakers(&[news("a", 3, 0)]).await.unwrap();
    assert_eq!(all(f).await, [news("a", 3, 0)]);
}

async fn a_batch_may_name_a_breaker_more_than_once(f: &Fixture) {
    let told = [news("a", 1, 1), news("b", 1, 1), news("a", 3, 1), news("a", 2, 9)];
    f.fleet.share_breakers(&told).await.unwrap();
    assert_eq!(all(f).await, [news("a", 3, 1), news("b", 1, 1)]);
}

async fn writers_at_the_same_time_agree(f: &Fixture) {
    let told = |writer: u64| {
        let mut told: Vec<BreakerNews> = (0..40)
            .map(|model| news(&format!("{model:02}"), writer, writer))
            .collect();
        // Each in another order: whoever locks rows one by one as they come would wait in a circle.
        told.rotate_left(usize::try_from(writer).unwrap() * 9);
        told
    };
    let share = async |writer: u64| {
        for _ in 0..10 {
            f.fleet.share_breakers(&told(writer)).await.unwrap();
        }
    };
    tokio::join!(share(1), share(2), share(3), share(4));
    let kept = all(f).await;
    assert_eq!(kept.len(), 40);
    assert!(
        kept.iter().all(|news| (news.version, news.writer) == (4, 4)),
        "{kept:?}"
    );
}

async fn a_mark_leaves_out_what_is_old(f: &Fixture) {
    f.fleet
        .share_breakers(&[news("old", 1, 1), news("new", 1, 1)])
        .await
        .unwrap();
    let mark = f.fleet.breakers(None).await.unwrap().mark;
    f.sql("UPDATE mcp_breaker SET updated_at = updated_at - 3600000 WHERE model = 'old'")
        .await
        .unwrap();
    let heard = f.fleet.breakers(Some(mark)).await.unwrap();
    assert_eq!(heard.news, [news("new", 1, 1)]);
    assert_eq!(all(f).await.len(), 2);
}

async fn old_news_are_forgotten_once_they_hold_nobody_back(f: &Fixture) {
    let open = BreakerNews {
        until: Timestamp::from_millis(32_503_680_000_000),
        ..news("open", 1, 1)
    };
    f.fleet
        .share_breakers(&[open.clone(), news("over", 1, 1)])
        .await
        .unwrap();
    f.upkeep.forget_workers(LONG).await.unwrap();
    assert_eq!(all(f).await.len(), 2);
    until(async || {
        f.upkeep.forget_workers(Duration::ZERO).await.unwrap();
        all(f).await == [open.clone()]
    })
    .await;
}

fn report(calls: u64) -> FiguresReport {
    FiguresReport {
        providers: vec![LiveFigures {
            provider: "openai".to_owned(),
            keys: 2,
            local: false,
            simulated: false,
        }],
        models: vec![ModelFigures {
            provider: "openai".to_owned(),
            model: "gpt-4o".to_owned(),
            calls,
            failures: 1,
            first_token_ms: Some(250.5),
            tokens_per_second: None,
            error_rate: 0.25,
            in_flight: 3,
            headroom: 1.0,
            breaker: BreakerState::HalfOpen,
            open_until: None,
            cost_usd: Usd::from_nanos(17),
        }],
        more: 0,
    }
}

async fn a_report_is_read_back_and_replaced(f: &Fixture) {
    let worker = f.worker().await;
    f.worker().await;
    assert!(f.reader.reports().await.unwrap().is_empty());
    for calls in [4, 5] {
        f.fleet
            .report_figures(worker, &report(calls).to_json())
            .await
            .unwrap();
        let reports = f.reader.reports().await.unwrap();
        let [read] = reports.as_slice() else {
            panic!("{reports:?}")
        };
        assert_eq!((read.worker, read.name.as_str()), (worker, "host:1"));
        assert_eq!(read.report, report(calls));
        assert!(read.at.millis() > 1_700_000_000_000);
    }
}

async fn a_report_goes_with_its_worker(f: &Fixture) {
    let worker = f.worker().await;
    f.fleet
        .report_figures(worker, &report(1).to_json())
        .await
        .unwrap();
    f.upkeep.reap(worker, 10, false).await.unwrap();
    assert!(f.reader.reports().await.unwrap().is_empty());
    // What it says later is nobody's business.
    f.fleet.report_figures(worker, "{}").await.unwrap();
    f.fleet.report_figures(WorkerId::new(), "{}").await.unwrap();
    assert_eq!(
        f.count("SELECT count(*) AS n FROM mcp_worker WHERE figures = '{}'")
            .await,
        0
    );
    until(async || f.upkeep.forget_workers(Duration::ZERO).await.unwrap() == 1).await;
    assert_eq!(f.count("SELECT count(*) AS n FROM mcp_worker").await, 0);
}

async fn a_report_is_bounded(f: &Fixture) {
    let worker = f.worker().await;
    let most = format!("\"{}\"", "x".repeat(MAX_REPORT - 2));
    f.fleet.report_figures(worker, &most).await.unwrap();
    for bad in [format!("{most} "), "\0".to_owned()] {
        let refused = f.fleet.report_figures(worker, &bad).await;
        assert!(
            refused.is_err_and(|error| !error.is_unavailable()),
            "{} bytes",
            bad.len()
        );
    }
    // And one that is no report is left out.
    assert!(f.reader.reports().await.unwrap().is_empty());
}
