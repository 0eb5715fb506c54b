//! The network between a cluster and its database, for campaigns in which it loses what is sent.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// Passes connections on to a server.
pub(crate) struct Wire {
    address: SocketAddr,
    cut: Arc<Notify>,
}

impl Wire {
    /// To the server of this URL.
    pub(crate) async fn to(server: &url::Url) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let host = server.host_str().expect("a host").to_owned();
        let port = server.port().unwrap_or(5432);
        let cut = Arc::<Notify>::default();
        let cuts = Arc::clone(&cut);
        let _passing = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let (host, cuts) = (host.clone(), Arc::clone(&cuts));
                tokio::spawn(async move {
                    let cut = cuts.notified();
                    let mut server = TcpStream::connect((host, port))
                        .await
                        .expect("the server answers");
                    for socket in [&client, &server] {
                        socket.set_nodelay(true).expect("an open socket");
                    }
                    let lost = tokio::select! {
                        _ = copy_bidirectional(&mut client, &mut server) => false,
                        () = cut => true,
                    };
                    if lost {
                        // Both ends stay open, and nobody will ever hear of the other again.
                        std::future::pending::<()>().await;
                    }
                });
            }
        });
        Self { address, cut }
    }

    /// The same URL by way of this wire.
    pub(crate) fn through(&self, server: &url::Url) -> String {
        let mut url = server.clone();
        url.set_ip_host(self.address.ip()).expect("a host");
        url.set_port(Some(self.address.port())).expect("a port");
        url.into()
    }

    /// From now on every connection there is loses what is sent, as after a fail-over or behind a forgetful firewall.
    /// New ones work.
    pub(crate) fn lose_connections(&self) {
        self.cut.notify_waiters();
    }
}
