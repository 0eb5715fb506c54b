//! A changed file is taken without a restart; a bad or missing one changes nothing.

use std::path::Path;
use std::time::{Duration, SystemTime};

use futures_util::FutureExt;
use shared::catalog::{Catalog, CatalogHandle, CatalogReloader, Reload};
use tokio_util::sync::CancellationToken;

/// Bounds a wait for what must happen; its length decides nothing.
const DEADLINE: Duration = Duration::from_secs(30);

/// Writes the file with a time of its own, so that the test does not depend on how fine the clock of the disk is.
fn write(path: &Path, text: &str, second: u64) {
    std::fs::write(path, text).unwrap();
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + second))
        .unwrap();
}

fn title(handle: &CatalogHandle) -> String {
    handle.current().provider("groq").unwrap().title.clone()
}

#[test]
fn good_bad_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.toml");
    write(&path, "[providers.groq]\ntitle = 'one'", 1);
    let (handle, mut reloader) = CatalogReloader::open(Catalog::built_in(), path.clone()).unwrap();
    assert_eq!(title(&handle), "one");
    assert_eq!(reloader.look(), Reload::Unchanged);

    write(&path, "[providers.groq]\ntitle = 'two'", 2);
    assert_eq!(reloader.look(), Reload::Taken);
    assert_eq!(title(&handle), "two");

    write(&path, "[providers.groq]\ntitle = 3", 3);
    let Reload::Refused(error) = reloader.look() else {
        panic!("a bad file was taken")
    };
    assert_eq!(error.line, Some(2), "{error}");
    assert_eq!(title(&handle), "two");
    assert_eq!(reloader.look(), Reload::Unchanged, "it is said once");

    std::fs::remove_file(&path).unwrap();
    assert!(matches!(reloader.look(), Reload::Refused(_)));
    assert_eq!(reloader.look(), Reload::Unchanged, "it is said once");
    assert_eq!(title(&handle), "two");

    // What the file no longer says is as it was compiled in.
    write(&path, "", 4);
    assert_eq!(reloader.look(), Reload::Taken);
    assert_eq!(title(&handle), "Groq");
}

#[test]
fn a_change_of_length_or_of_time_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.toml");
    write(&path, "[providers.groq]\ntitle = 'one'", 1);
    let (handle, mut reloader) = CatalogReloader::open(Catalog::built_in(), path.clone()).unwrap();
    write(&path, "[providers.groq]\ntitle = 'longer'", 1);
    assert_eq!(reloader.look(), Reload::Taken);
    write(&path, "[providers.groq]\ntitle = 'newest'", 2);
    assert_eq!(reloader.look(), Reload::Taken);
    assert_eq!(title(&handle), "newest");
}

#[test]
fn at_the_start_a_bad_file_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.toml");
    assert!(CatalogReloader::open(Catalog::built_in(), path.clone()).is_err());
    write(&path, "nonsense", 1);
    let error = CatalogReloader::open(Catalog::built_in(), path).unwrap_err();
    assert_eq!(error.line, Some(1), "{error}");
}

#[tokio::test]
async fn who_waits_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.toml");
    write(&path, "", 1);
    let (mut handle, reloader) = CatalogReloader::open(Catalog::built_in(), path.clone()).unwrap();
    let ended = CancellationToken::new();
    let task = tokio::spawn(reloader.run(ended.clone()));
    write(&path, "[providers.groq]\ntitle = 'new'", 2);
    tokio::time::timeout(DEADLINE, handle.changed()).await.unwrap();
    assert_eq!(title(&handle), "new");
    ended.cancel();
    tokio::time::timeout(DEADLINE, task).await.unwrap().unwrap();
    // The one who could bring another is gone: nobody is woken for nothing.
    assert!(handle.changed().now_or_never().is_none());
}
