//! The pages that show the API. Nothing in them may come from another host.

use reqwest::Response;

use crate::server::Server;
use crate::stage::Stage;

/// Every address a page or script loads something from, by the attributes that make a browser load.
fn loaded(html: &str) -> Vec<&str> {
    ["src=\"", "href=\"", "spec-url=\""]
        .iter()
        .flat_map(|attribute| html.split(attribute).skip(1))
        .map(|rest| rest.split('"').next().unwrap())
        .collect()
}

fn assert_keeps_to_itself(page: &str, response: &Response) {
    let policy = response.headers()["content-security-policy"].to_str().unwrap();
    let mut directives = policy.split(';').map(str::trim);
    assert_eq!(directives.next(), Some("default-src 'self'"), "{page}");
    for directive in directives {
        let (name, sources) = directive.split_once(' ').unwrap();
        for source in sources.split(' ') {
            let inside = ["'self'", "'none'", "data:", "blob:"].contains(&source);
            assert!(
                inside || (name, source) == ("style-src", "'unsafe-inline'"),
                "{page}: {directive}"
            );
        }
    }
}

#[tokio::test]
async fn pages_load_from_here_alone_and_everything_they_load_is_here() {
    let stage = Stage::open().await;
    // Open to everybody: a page cannot bring a key.
    let server = Server::start_with_keys(&stage, &["acme:acme-0123456789ab"]).await;
    for (path, least) in [("/docs", 5), ("/redoc", 3)] {
        let response = server.get(path, &[]).await;
        assert_eq!(response.status(), 200, "{path}");
        assert_keeps_to_itself(path, &response);
        let base = response.url().clone();
        let html = response.text().await.unwrap();
        let addresses = loaded(&html);
        assert!(addresses.len() >= least, "{addresses:?}");
        assert!(!html.contains("//"), "{path} names another host:\n{html}");
        for address in addresses
            .into_iter()
            .filter(|address| !address.starts_with("data:"))
        {
            let url = base.join(address).unwrap();
            assert_eq!(url.host_str(), Some("127.0.0.1"), "{address}");
            let loaded = server.get(url.path(), &[]).await;
            assert_eq!(loaded.status(), 200, "{url}");
        }
    }
    let start = server
        .get("/docs/swagger-initializer.js", &[])
        .await
        .text()
        .await
        .unwrap();
    assert!(
        start.contains("../openapi.json") && start.contains(r#""validatorUrl": "none""#),
        "{start}"
    );
    assert!(!start.contains("petstore"), "{start}");
    assert_eq!(
        server.refusal("/docs/nothing.js", &[]).await,
        (404, "not_found".to_owned())
    );
    server.stop().await;
}

#[tokio::test]
async fn the_document_served_is_the_one_that_is_committed() {
    let stage = Stage::open().await;
    let server = Server::start(&stage).await;
    let response = server.get("/openapi.json", &[]).await;
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(response.text().await.unwrap(), api::openapi_json());
    server.stop().await;
}
