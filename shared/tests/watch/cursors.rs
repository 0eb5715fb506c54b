//! Where one may begin: after an entry that the run's log has, or before all of them.

use shared::domain::Cursor;
use shared::watch::WatchError;

use crate::life::Life;
use crate::stage::{Stage, to_the_end};

crate::contract!(every_cursor_of_the_log_is_known, no_other_cursor_is_known);

async fn every_cursor_of_the_log_is_known(s: &Stage<'_>) {
    let life = Life::whole(s).await;
    for entry in s.whole_log(life.run).await {
        assert!(
            s.watch.open(life.run, entry.cursor).await.is_ok(),
            "{}",
            entry.cursor
        );
    }
    assert_eq!(
        to_the_end(&mut s.open(life.run, Cursor::START).await).await.len(),
        22
    );
}

async fn no_other_cursor_is_known(s: &Stage<'_>) {
    let life = Life::whole(s).await;
    let mut other = Life::running(s).await;
    other.write(&["x"; 20]).await;
    // The log has 0-1, 1-1 to 1-5, nothing of epoch 2, 3-1 to 3-12, 4-1, 5-1 to 5-3.
    let outline = s.outline(life.run).await;
    assert!(outline.iter().all(|line| !line.starts_with("2-")), "{outline:?}");
    for (epoch, seq) in [
        (0, 2),
        (1, 0),
        (1, 6),
        (1, 20),
        (2, 0),
        (2, 1),
        (3, 0),
        (3, 13),
        (4, 2),
        (5, 0),
        (5, 4),
        (6, 0),
        (6, 1),
        (i32::MAX.unsigned_abs(), 1),
        (5, i32::MAX.unsigned_abs()),
    ] {
        let cursor = Cursor::new(epoch, seq);
        let refused = s.watch.open(life.run, cursor).await.err();
        assert!(
            matches!(refused, Some(WatchError::UnknownCursor(unknown)) if unknown == cursor),
            "{cursor}: {refused:?}"
        );
    }
}
