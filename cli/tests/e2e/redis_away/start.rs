//! What a process refuses to start with: never a silent fall-back to another mode, and never a word of a password.

use crate::stage::redis::Redis;
use crate::stage::{Mode, Stage};

const ROLES: [&str; 2] = ["api", "worker"];

#[tokio::test(flavor = "multi_thread")]
async fn redis_without_a_database_is_no_installation() {
    let stage = Stage::empty(Mode::Redis, &[]).await;
    for role in ROLES {
        let ended = stage
            .command(&[role])
            .with(&[("DATABASE_URL", "")])
            .finish()
            .await;
        assert_eq!(ended.code(), Some(2), "{role}: {ended}");
        assert!(
            ended.stderr.contains("DATABASE_URL is not set"),
            "{role}: {ended}"
        );
    }
    // `up` keeps everything in its data folder, and says so instead of leaving Redis aside.
    let embedded = Stage::empty(Mode::Embedded, &[]).await;
    let ended = embedded
        .api_command(&[("REDIS_URL", stage.namespace().url())])
        .finish()
        .await;
    assert_eq!(ended.code(), Some(2), "{ended}");
    assert!(ended.stderr.contains("REDIS_URL"), "{ended}");
    embedded.abandon().await;
    stage.abandon().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_does_not_answer_is_an_error() {
    let stage = Stage::empty(Mode::Redis, &[]).await;
    let hanging = Redis::start().await;
    hanging.freeze();
    for url in ["redis://127.0.0.1:1", &hanging.url()] {
        for role in ROLES {
            let ended = stage.command(&[role]).with(&[("REDIS_URL", url)]).finish().await;
            assert_eq!(ended.code(), Some(1), "{role}: {ended}");
            assert!(ended.stderr.contains("REDIS_URL"), "{role}: {ended}");
            assert!(!ended.stderr.contains(hanging.password()), "{role}: {ended}");
        }
    }
    stage.abandon().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_is_one_that_does_not_let_in() {
    let mut stage = Stage::empty(Mode::Redis, &[]).await;
    let redis = Redis::start().await;
    let wrong = "a-wrong-password-0123456789";
    let address = format!("127.0.0.1:{}", redis.port());
    for url in [
        format!("redis://{address}"),
        format!("redis://:{wrong}@{address}"),
        format!("redis://default:{wrong}@{address}"),
        format!("redis://nobody:{}@{address}", redis.password()),
    ] {
        for role in ROLES {
            let ended = stage.command(&[role]).with(&[("REDIS_URL", &url)]).finish().await;
            assert_eq!(ended.code(), Some(1), "{role}: {ended}");
            assert!(ended.stderr.contains("REDIS_URL"), "{role}: {ended}");
            for secret in [wrong, redis.password()] {
                assert!(!ended.stderr.contains(secret), "{role}: {ended}");
                assert!(!ended.stdout.contains(secret), "{role}: {ended}");
            }
        }
    }
    // With the right one, in both ways to write it, it starts.
    for user in ["", "default"] {
        let url = format!("redis://{user}:{}@{address}", redis.password());
        let api = stage.api_command(&[("REDIS_URL", &url)]).start();
        stage.add_api(api).await;
    }
    stage.abandon().await;
}
