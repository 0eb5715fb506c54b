//! The network between processes and Redis fails, for all of them or for one side only.

use super::scene::{Scene, Side};
use crate::stage::proxy::{Proxy, Weather};
use crate::stage::redis::Redis;

/// Redis, and the ways of APIs and workers to it.
async fn open() -> (Redis, Proxy, Proxy, Scene) {
    let redis = Redis::start().await;
    let (apis, workers) = (Proxy::to(redis.port()).await, Proxy::to(redis.port()).await);
    let (of_apis, of_workers) = (apis.through(&redis.url()), workers.through(&redis.url()));
    let scene = Scene::by_way_of(&redis, &of_apis, &of_workers).await;
    (redis, apis, workers, scene)
}

/// This weather for these sides, and fair again.
async fn storm(side: Side, weather: Weather) {
    let (_redis, apis, workers, mut scene) = open().await;
    let ways = match side {
        Side::Apis => vec![&apis],
        Side::Workers => vec![&workers],
        Side::Both => vec![&apis, &workers],
    };
    scene.goes_on().await;
    scene.redis_may_be_away();
    for way in &ways {
        way.set(weather);
    }
    scene.notices(side, false).await;
    scene.goes_on().await;
    for way in &ways {
        way.set(Weather::Fair);
    }
    scene.notices(Side::Both, true).await;
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_reaches_it() {
    storm(Side::Both, Weather::PARTITION).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_apis_do_not_reach_it() {
    storm(Side::Apis, Weather::PARTITION).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_workers_do_not_reach_it() {
    storm(Side::Workers, Weather::PARTITION).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_is_refused() {
    storm(Side::Both, Weather::Refuses).await;
}

/// It does what it is asked, and nobody hears of it.
#[tokio::test(flavor = "multi_thread")]
async fn its_answers_are_lost() {
    let weather = Weather::Loses {
        to_server: false,
        to_client: true,
    };
    storm(Side::Both, weather).await;
}

/// Published messages still come, and no question arrives.
#[tokio::test(flavor = "multi_thread")]
async fn questions_to_it_are_lost() {
    let weather = Weather::Loses {
        to_server: true,
        to_client: false,
    };
    storm(Side::Both, weather).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_cut_again_and_again() {
    let (_redis, apis, workers, mut scene) = open().await;
    scene.goes_on().await;
    scene.redis_may_be_away();
    for _ in 0..3 {
        apis.cut();
        workers.cut();
        scene.goes_on().await;
    }
    scene.notices(Side::Both, true).await;
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn published_messages_are_dropped_at_random() {
    let (_redis, apis, workers, mut scene) = open().await;
    for way in [&apis, &workers] {
        way.set(Weather::DropsMessages { percent: 30 });
    }
    for _ in 0..3 {
        scene.goes_on().await;
    }
    assert!(apis.dropped() > 0, "nothing was dropped");
    scene.end().await;
}
