//! The server itself fails: it dies, hangs, refuses, forgets, remembers old things, or has no memory left.

use std::time::Duration;

use super::scene::{Scene, Side};
use crate::stage::redis::Redis;

/// From one of many blows to the next.
const BETWEEN: Duration = Duration::from_millis(200);
/// So many.
const BLOWS: usize = 15;

#[tokio::test(flavor = "multi_thread")]
async fn killed_and_started_again_empty() {
    let redis = Redis::start().await;
    let mut scene = Scene::open(&redis).await;
    scene.goes_on().await;
    scene.redis_may_be_away();
    redis.kill().await;
    scene.notices(Side::Both, false).await;
    // Nobody listens on its port: every connection is refused.
    scene.goes_on().await;
    redis.start_again().await;
    scene.notices(Side::Both, true).await;
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_and_at_once_there_again_empty() {
    let redis = Redis::start().await;
    let mut scene = Scene::open(&redis).await;
    scene.goes_on().await;
    scene.redis_may_be_away();
    for _ in 0..3 {
        redis.kill().await;
        redis.start_again().await;
        scene.goes_on().await;
    }
    scene.notices(Side::Both, true).await;
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn back_with_what_it_knew_long_ago() {
    let redis = Redis::start().await;
    let mut scene = Scene::open(&redis).await;
    scene.goes_on().await;
    // As a replica that was behind when it had to take over: it does not know what it has forgotten.
    redis.save().await;
    scene.goes_on().await;
    scene.redis_may_be_away();
    redis.kill().await;
    redis.start_again().await;
    scene.notices(Side::Both, true).await;
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hanging_and_going_on() {
    let redis = Redis::start().await;
    let mut scene = Scene::open(&redis).await;
    scene.goes_on().await;
    scene.redis_may_be_away();
    redis.freeze();
    scene.notices(Side::Both, false).await;
    scene.goes_on().await;
    // It now carries out whatever was sent to it before.
    redis.thaw();
    scene.notices(Side::Both, true).await;
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn flushed_again_and_again() {
    let redis = Redis::start().await;
    let mut scene = Scene::open(&redis).await;
    scene.goes_on().await;
    for _ in 0..BLOWS {
        redis.flush().await;
        tokio::time::sleep(BETWEEN).await;
    }
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn out_of_memory() {
    let redis = Redis::start().await;
    let mut scene = Scene::open(&redis).await;
    scene.goes_on().await;
    scene.redis_may_be_away();
    redis.starve(true).await;
    scene.goes_on().await;
    redis.starve(false).await;
    scene.notices(Side::Both, true).await;
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_connection_closed_again_and_again() {
    let redis = Redis::start().await;
    let mut scene = Scene::open(&redis).await;
    scene.goes_on().await;
    scene.redis_may_be_away();
    for _ in 0..BLOWS {
        redis.disconnect_everybody().await;
        tokio::time::sleep(BETWEEN).await;
    }
    scene.notices(Side::Both, true).await;
    scene.end().await;
}
