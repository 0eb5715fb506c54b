//! A second provider, asked while the first has not begun to answer.

use shared::config::RoutingConfig;
use shared::domain::{CallOutcome, CostUnknown, Event, EventType};
use simulator::Simulator;

use crate::stage::{File, Setup, Stage, Told, simulator, soon, text};

/// Enough calls to know how soon the first usually begins.
const LEARNING: u32 = 24;

/// A first provider of which it is known how soon it begins, and which says nothing from now on where `stalls`.
async fn learned(first: &Simulator, second: &Simulator, hedge: bool, stalls: bool) -> Stage {
    let stall = if stalls {
        format!(",fault=stall_headers,skip={LEARNING}")
    } else {
        String::new()
    };
    let script = format!("sim-fast:tokens=4{stall}");
    let file = File::default()
        .provider("slow", &first.base_url())
        .provider("fast", &second.base_url())
        .model("slow", &script, "first")
        .model("fast", "sim-fast:tokens=4", "second")
        .chain();
    let mut setup = Setup::new(&file);
    setup.routing = RoutingConfig {
        hedge,
        ..RoutingConfig::default()
    };
    let stage = Stage::with(setup).await;
    for _ in 0..LEARNING {
        stage.play().await;
    }
    stage
}

fn hedges(told: &Told) -> Vec<bool> {
    let routes = told.events(EventType::RouteSelected).into_iter();
    routes
        .map(|event| matches!(event, Event::RouteSelected(route) if route.hedge))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_token_wins_and_the_loser_is_dropped_and_accounted() {
    let (first, second) = (simulator().await, simulator().await);
    let stage = learned(&first, &second, true, true).await;
    let told = stage.play().await;
    assert_eq!(told.text(), text(4));
    assert_eq!(
        (told.routes(), hedges(&told)),
        (vec!["slow".to_owned(), "fast".to_owned()], vec![false, true])
    );
    assert_eq!(told.result.result.provider.as_deref(), Some("fast"));
    let lost = told
        .calls
        .iter()
        .find(|one| one.call.outcome == CallOutcome::Hedged)
        .expect("the loser");
    assert_eq!(
        (&*lost.call.provider, lost.call.cost),
        ("slow", Err(CostUnknown::NoUsage))
    );
    assert!(
        told.calls
            .iter()
            .any(|one| one.call.outcome == CallOutcome::Succeeded && &*one.call.provider == "fast")
    );
    // Nobody is kept on the line.
    soon("the loser's end", first.wait_for(|stats| stats.open == 0)).await;
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_asked_twice_unless_that_was_wanted() {
    let (first, second) = (simulator().await, simulator().await);
    let stage = learned(&first, &second, false, false).await;
    let told = stage.play().await;
    assert_eq!(
        (told.routes(), hedges(&told)),
        (vec!["slow".to_owned()], vec![false])
    );
    assert_eq!(second.stats().requests, 0);
    stage.close().await;
}
