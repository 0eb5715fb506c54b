//! Opens the WebSocket of a run (RFC 6455) through the HTTP client, so that proxies, certificates, time limits and
//! refusals are the same for both; tungstenite speaks the frames.

use std::time::Duration;

use futures_util::SinkExt;
use reqwest::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use reqwest::{Method, StatusCode, Upgraded};
use shared::domain::{Cursor, RunId};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::error::{Action, Cause, ClientError};
use super::http::Client;

/// The stream of a run.
pub(super) type Socket = WebSocketStream<Upgraded>;

/// From the request to the first frame that could come.
const HANDSHAKE: Duration = Duration::from_secs(15);
/// For saying good-bye.
const FAREWELL: Duration = Duration::from_millis(500);

/// Opens the stream after `after`, or from the start.
pub(super) async fn open(client: &Client, run: RunId, after: Option<Cursor>) -> Result<Socket, ClientError> {
    let action = Action::Stream(run);
    timeout(HANDSHAKE, shake_hands(client, &action, run, after))
        .await
        .unwrap_or_else(|_| {
            let why = format!("no stream within {} s", HANDSHAKE.as_secs());
            Err(client.error(&action, Cause::BrokeOff(why)))
        })
}

async fn shake_hands(
    client: &Client,
    action: &Action,
    run: RunId,
    after: Option<Cursor>,
) -> Result<Socket, ClientError> {
    let key = generate_key();
    let mut request = client
        .request(Method::GET, &["stream", &run.to_string()])
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_VERSION, "13")
        .header(SEC_WEBSOCKET_KEY, &key);
    if let Some(after) = after {
        request = request.query(&[("after", after.to_string())]);
    }
    let response = client.send(action, request).await?;
    let accept = response
        .headers()
        .get(SEC_WEBSOCKET_ACCEPT)
        .map(|value| value.as_bytes().to_owned());
    if response.status() != StatusCode::SWITCHING_PROTOCOLS
        || accept != Some(derive_accept_key(key.as_bytes()).into_bytes())
    {
        let why = format!(
            "no WebSocket at {} (does a proxy in between let them pass?)",
            response.url().path()
        );
        return Err(client.error(action, Cause::NotOurs(why)));
    }
    let upgraded = response
        .upgrade()
        .await
        .map_err(|error| client.broken(action, &error))?;
    Ok(WebSocketStream::from_raw_socket(upgraded, Role::Client, None).await)
}

/// Ends the stream politely; an impolite server is not waited for.
pub(super) async fn close(mut socket: Socket) {
    // Whatever comes of it, the stream has been read to its end.
    let _ = timeout(FAREWELL, SinkExt::close(&mut socket)).await;
}
