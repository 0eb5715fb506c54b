//! The network between processes and their Redis, for campaigns in which it is bad.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::{ports, resp};

/// What the network does to connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weather {
    /// It carries everything.
    Fair,
    /// It takes connections and what is sent over them, and loses it in one direction or in both. A connection that
    /// has lost something never recovers, and nobody is told; once the weather is fair, new ones work.
    Loses { to_server: bool, to_client: bool },
    /// Connections break, and new ones are refused.
    Refuses,
    /// So many of a hundred published messages do not arrive. Everything else does.
    DropsMessages { percent: u32 },
}

impl Weather {
    /// In neither direction does anything arrive.
    pub(crate) const PARTITION: Self = Self::Loses {
        to_server: true,
        to_client: true,
    };
}

/// A way to one server.
pub(crate) struct Proxy {
    address: SocketAddr,
    weather: watch::Sender<Weather>,
    cuts: watch::Sender<()>,
    dropped: Arc<AtomicU64>,
}

impl Proxy {
    /// To a server on this port of this machine.
    pub(crate) async fn to(server: u16) -> Self {
        let (listener, address) = listen().await;
        let proxy = Self {
            address,
            weather: watch::Sender::new(Weather::Fair),
            cuts: watch::Sender::new(()),
            dropped: Arc::default(),
        };
        let link = Link {
            weather: proxy.weather.subscribe(),
            cuts: proxy.cuts.subscribe(),
            dropped: Arc::clone(&proxy.dropped),
        };
        let _accepting = tokio::spawn(accept(listener, address, server, link));
        proxy
    }

    /// The same URL by way of this proxy.
    pub(crate) fn through(&self, server: &str) -> String {
        let mut url = url::Url::parse(server).expect("a URL");
        url.set_port(Some(self.address.port())).expect("a port");
        url.into()
    }

    /// From now on.
    pub(crate) fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }

    /// Breaks every connection there is; new ones work.
    pub(crate) fn cut(&self) {
        self.cuts.send_replace(());
    }

    /// How many published messages were dropped so far.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// What a connection has to know.
#[derive(Clone)]
struct Link {
    weather: watch::Receiver<Weather>,
    cuts: watch::Receiver<()>,
    dropped: Arc<AtomicU64>,
}

impl Link {
    /// Returns when connections are refused, or are not. Never once the proxy has gone.
    async fn refuses(&mut self, refuses: bool) {
        let reached = |weather: &Weather| (*weather == Weather::Refuses) == refuses;
        if self.weather.wait_for(reached).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Returns when connections of now are to break.
    async fn broken(mut self) {
        let mut cuts = self.cuts.clone();
        tokio::select! {
            _ = cuts.changed() => {}
            () = self.refuses(true) => {}
        }
    }
}

/// On a port that the kernel gives to nobody else while it is refused.
async fn listen() -> (TcpListener, SocketAddr) {
    loop {
        let address = SocketAddr::from(([127, 0, 0, 1], ports::next()));
        if let Ok(listener) = TcpListener::bind(address).await {
            return (listener, address);
        }
    }
}

async fn accept(listener: TcpListener, address: SocketAddr, server: u16, mut link: Link) {
    let mut listener = Some(listener);
    for number in 0_u64.. {
        let open = match listener.take() {
            Some(open) => open,
            None => TcpListener::bind(address).await.expect("our port"),
        };
        tokio::select! {
            accepted = open.accept() => {
                let (client, _) = accepted.expect("a connection");
                tokio::spawn(carry(client, server, number, link.clone()));
                listener = Some(open);
            }
            () = link.refuses(true) => {
                drop(open);
                link.refuses(false).await;
            }
        }
    }
}

/// One connection, until one end closes it or it breaks.
async fn carry(client: TcpStream, server: u16, number: u64, mut link: Link) {
    link.cuts.mark_unchanged();
    // A server that is not there refuses: so does this.
    let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else {
        return;
    };
    for socket in [&client, &server] {
        socket.set_nodelay(true).expect("an open socket");
    }
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let (there, back) = (link.clone(), link.clone());
    tokio::select! {
        _ = async { tokio::join!(requests(from_client, to_server, there), answers(from_server, to_client, back, number)) } => {}
        () = link.broken() => {}
    }
}

/// From the client to the server.
async fn requests(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, link: Link) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        if matches!(*link.weather.borrow(), Weather::Loses { to_server: true, .. }) {
            return lose(from).await;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

/// From the server to the client, frame by frame.
async fn answers(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, link: Link, number: u64) {
    let mut dice = StdRng::seed_from_u64(number);
    let mut buffer = vec![0; 64 * 1024];
    let mut waiting = Vec::new();
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        waiting.extend_from_slice(&buffer[..read]);
        let weather = *link.weather.borrow();
        if matches!(weather, Weather::Loses { to_client: true, .. }) {
            return lose(from).await;
        }
        let mut carried = Vec::new();
        while let Some(length) = resp::frame(&waiting) {
            let rest = waiting.split_off(length);
            let frame = std::mem::replace(&mut waiting, rest);
            match weather {
                Weather::DropsMessages { percent }
                    if resp::is_message(&frame) && dice.random_range(0..100) < percent =>
                {
                    link.dropped.fetch_add(1, Ordering::Relaxed);
                }
                _ => carried.extend(frame),
            }
        }
        if to.write_all(&carried).await.is_err() {
            return;
        }
    }
}

/// Takes what comes and says nothing to anybody any more, not even that the other end has gone.
async fn lose(mut from: OwnedReadHalf) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(1..) = from.read(&mut buffer).await {}
    std::future::pending::<()>().await;
}
