//! The user's file changes while runs go on.

use std::time::Duration;

use serde_json::json;
use shared::catalog::Reload;
use shared::domain::{EventType, Interruption};

use crate::stage::{File, Setup, Stage, on_disk, simulator, soon, text};

#[tokio::test(flavor = "multi_thread")]
async fn running_calls_end_where_they_began_and_the_next_go_where_the_file_says() {
    let (a, b) = (simulator().await, simulator().await);
    let before = File::default()
        .provider("a", &a.base_url())
        .model("a", "sim-fast:tokens=40,pace=10ms", "m");
    let after = File::default()
        .provider("b", &b.base_url())
        .model("b", "sim-fast:tokens=4", "m");
    let folder = tempfile::tempdir().unwrap();
    let (path, handle, mut reloader) = on_disk(&folder, &before);
    let stage = Stage::with(Setup {
        catalog: handle,
        ..Setup::new(&before)
    })
    .await;
    let run = stage.submit(Interruption::Fail, json!({})).await;
    let mut watcher = stage.watch(run).await;
    while soon("output", watcher.next()).await.expect("an entry").kind != EventType::OutputDelta {}

    std::fs::write(&path, &after.0).unwrap();
    assert_eq!(reloader.look(), Reload::Taken);
    soon("the new catalog", async {
        while stage.working.roster.member_names() != ["b"] {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(stage.play().await.routes(), ["b"]);
    let told = stage.told(run).await;
    assert_eq!((told.text(), told.routes()), (text(40), vec!["a".to_owned()]));

    std::fs::write(&path, "[providers.b]\nbase_url = 7\n").unwrap();
    let Reload::Refused(error) = reloader.look() else {
        panic!("taken")
    };
    assert_eq!(error.line, Some(2), "{error}");
    assert_eq!(stage.play().await.routes(), ["b"]);
    stage.close().await;
}
