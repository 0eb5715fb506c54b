//! Ctrl-C, and readers that leave.

use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::Child;
use tokio::time::timeout;

use crate::program::{Ended, mcpctl};
use crate::server::{Connection, RUN, Server, hello};

async fn interrupt(child: &Child) {
    let pid = child.id().unwrap().to_string();
    assert!(
        tokio::process::Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .await
            .unwrap()
            .success()
    );
}

async fn end(child: Child) -> Ended {
    Ended::of(
        timeout(Duration::from_secs(60), child.wait_with_output())
            .await
            .expect("it ends")
            .unwrap(),
    )
}

#[tokio::test]
async fn ctrl_c_detaches_and_says_how_to_go_on() {
    let server = Server::start()
        .await
        .log(&hello())
        .connections(&[Connection::Held(5)]);
    let mut child = mcpctl(&server.url(), &["submit", "Hello", "--follow"])
        .spawn()
        .unwrap();
    let mut text = [0; 6];
    child
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut text)
        .await
        .unwrap();
    assert_eq!(&text, b"Hello ", "printed before the run has ended");
    interrupt(&child).await;
    let ended = end(child).await;
    assert_eq!(ended.code, 130, "{ended:?}");
    assert!(ended.stderr.contains("the run goes on"), "{ended:?}");
    assert!(
        ended.stderr.contains(&format!("mcpctl tail {RUN} --after 1-4")),
        "{ended:?}"
    );
}

#[tokio::test]
async fn a_reader_that_leaves_is_no_error() {
    let server = Server::start()
        .await
        .log(&hello())
        .connections(&[Connection::Held(5), Connection::Held(5)]);
    for args in [&["tail", RUN][..], &["tail", RUN, "-o", "json"]] {
        let mut child = mcpctl(&server.url(), args).spawn().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        stdout.read_u8().await.unwrap();
        drop(stdout);
        server.go();
        let ended = end(child).await;
        assert_eq!(ended.code, 0, "{ended:?}");
        assert!(
            !ended.stderr.contains("error") && !ended.stderr.contains("panic"),
            "{ended:?}"
        );
    }
}
