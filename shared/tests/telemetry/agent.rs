//! A DogStatsD agent: a UDP socket, and what its lines say.

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::time::Duration;

/// A line of a datagram: `name:value|type|#tag:value,...`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) kind: String,
    pub(crate) tags: BTreeMap<String, String>,
}

pub(crate) struct Agent(UdpSocket);

impl Agent {
    pub(crate) fn listen() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        Self(socket)
    }

    pub(crate) fn port(&self) -> String {
        self.0.local_addr().unwrap().port().to_string()
    }

    /// The lines of the next datagram.
    pub(crate) fn next(&self) -> Vec<Line> {
        self.receive().expect("no datagram came")
    }

    /// The lines of all datagrams that have come.
    pub(crate) fn all(&self) -> Vec<Line> {
        self.0.set_nonblocking(true).unwrap();
        std::iter::from_fn(|| self.receive()).flatten().collect()
    }

    fn receive(&self) -> Option<Vec<Line>> {
        let mut datagram = [0; 65_536];
        let length = self.0.recv(&mut datagram).ok()?;
        assert!(
            length <= 1432,
            "a datagram of {length} bytes is cut up on its way"
        );
        let text = std::str::from_utf8(&datagram[..length]).unwrap();
        Some(text.lines().map(parse).collect())
    }
}

fn parse(line: &str) -> Line {
    let mut parts = line.split('|');
    let (name, value) = parts.next().unwrap().split_once(':').unwrap();
    let kind = parts.next().unwrap();
    let tags = parts.next().map(|tags| tags.strip_prefix('#').unwrap());
    assert_eq!(parts.next(), None, "{line}");
    let pair = |tag: &str| {
        let (name, value) = tag.split_once(':').unwrap();
        (name.to_owned(), value.to_owned())
    };
    Line {
        name: name.to_owned(),
        value: value.parse().unwrap(),
        kind: kind.to_owned(),
        tags: tags
            .into_iter()
            .flat_map(|tags| tags.split(','))
            .map(pair)
            .collect(),
    }
}
