//! The API's description and two ways to read it: Swagger UI and ReDoc. Everything is compiled in; the pages may load
//! nothing from any other host, and their Content-Security-Policy holds them to it.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;
use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderName, StatusCode};
use utoipa_swagger_ui::Config;

use crate::problem::{Code, Problem};

/// `npm pack redoc@2.5.4`, `bundles/redoc.standalone.js`, unchanged.
const REDOC: &[u8] = include_bytes!("../../assets/redoc/redoc.standalone.js");

/// ReDoc finds the element by its name and reads the document's address from it. Addresses are relative, so that the
/// page also works behind a proxy that puts it under a path.
const REDOC_PAGE: &str = r#"<!DOCTYPE html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>Model Control Plane API</title>
    <link rel="icon" href="data:,">
  </head>
  <body style="margin: 0">
    <redoc spec-url="openapi.json"></redoc>
    <script src="redoc/redoc.standalone.js"></script>
  </body>
</html>
"#;

/// Both pages set styles in place and show images they carry themselves; ReDoc searches in a worker it makes from its
/// own text. Nothing else, and nothing from elsewhere: ReDoc's picture of its maker stays out, too.
const POLICY: &str = "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data:; font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; object-src 'none'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const PAGE_HEADERS: [(HeaderName, &str); 3] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
];
/// The files change with the program only.
const AN_HOUR: (HeaderName, &str) = (CACHE_CONTROL, "public, max-age=3600");

/// The pages and the document they show. Open to everybody: it says how to ask, and nothing about what is here.
pub(crate) fn router<S: Clone + Send + Sync + 'static>(openapi_json: String) -> Router<S> {
    let document = Bytes::from(openapi_json);
    // `none` keeps Swagger UI from sending the document to a validator on the Internet.
    let swagger = Config::from("../openapi.json")
        .validator_url("none")
        .persist_authorization(false);
    let swagger = get(swagger_file).with_state(Arc::new(swagger));
    Router::new()
        .route("/openapi.json", get(move || async { ([(CONTENT_TYPE, "application/json")], document) }))
        // The page's own addresses are relative to the folder.
        .route("/docs", get(|| async { Redirect::permanent("docs/") }))
        .route("/docs/", swagger.clone())
        .route("/docs/{*file}", swagger)
        .route("/redoc", get(|| async { (PAGE_HEADERS, Html(REDOC_PAGE)) }))
        .route("/redoc/redoc.standalone.js", get(redoc_script))
}

async fn redoc_script() -> impl IntoResponse {
    (
        [(CONTENT_TYPE, "text/javascript; charset=utf-8"), AN_HOUR],
        PAGE_HEADERS,
        REDOC,
    )
}

async fn swagger_file(
    file: Option<Path<String>>,
    State(config): State<Arc<Config<'static>>>,
) -> Result<Response, Problem> {
    let name = file.map(|Path(name)| name).unwrap_or_default();
    let found = utoipa_swagger_ui::serve(&name, config).map_err(|error| Problem::internal(&error))?;
    let file = found.ok_or_else(|| Problem::new(Code::NotFound))?;
    Ok((
        StatusCode::OK,
        PAGE_HEADERS,
        [(CONTENT_TYPE, file.content_type)],
        [AN_HOUR],
        file.bytes.into_owned(),
    )
        .into_response())
}
