//! A cluster of three servers, and a server behind TLS.

use std::process::{Command, Stdio};
use std::sync::Arc;

use redis::TlsCertificates;
use sessile::{Context, Protocol, SessionCache};
use sessile_redis::Tier;
use testkit::free_port;

use crate::node::{Node, SOON, ring, wait};
use crate::server::{Server, is_there};

const ONCE: Protocol = Protocol::TLS1_3;
const MANY: Protocol = Protocol::TLS1_2;

/// Three servers, each with a third of the slots.
struct Cluster {
    servers: Vec<Server>,
    _directory: tempfile::TempDir,
}

impl Cluster {
    fn start() -> Option<Self> {
        if !is_there("redis-cli") {
            eprintln!("skipped: redis-cli is not installed");
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let options = |number: usize| {
            // The port of the nodes' own talk: as a rule 10 000 above the first, which can be
            // beyond the last there is.
            let bus = free_port();
            [
                "--cluster-enabled".into(),
                "yes".into(),
                "--cluster-port".into(),
                bus.to_string(),
                "--cluster-node-timeout".into(),
                "30000".into(),
                "--cluster-require-full-coverage".into(),
                "no".into(),
                "--dir".into(),
                directory.path().to_str().unwrap().into(),
                "--cluster-config-file".into(),
                format!("nodes-{number}.conf"),
            ]
        };
        let start = |number| Server::start_with(options(number).to_vec());
        let servers: Vec<_> = (0..3).map(start).collect::<Option<_>>()?;
        let addresses = servers.iter().map(|server| format!("127.0.0.1:{}", server.port()));
        let created = Command::new("redis-cli")
            .args(["--cluster", "create"])
            .args(addresses)
            .args(["--cluster-replicas", "0", "--cluster-yes"])
            .stdout(Stdio::null())
            .status();
        assert!(created.unwrap().success());
        let cluster = Self { servers, _directory: directory };
        wait("all nodes agree", || {
            cluster.servers.iter().all(|server| {
                let info: String =
                    redis::cmd("CLUSTER").arg("INFO").query(&mut server.connection()).unwrap();
                info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")
            })
        });
        Some(cluster)
    }

    fn node(&self) -> Node {
        let cache = Arc::new(SessionCache::new(10_000).unwrap());
        let tier = Tier::builder(ring()).publish(true).response_timeout(SOON);
        // One of them tells where the others are.
        let tier = tier.attach_cluster(&cache, [self.servers[0].address()]).unwrap();
        let node = Node { cache, tier };
        node.wait_until_up();
        wait("it listens", || node.tier.stats().is_listening);
        node
    }

    fn lengths(&self) -> Vec<usize> {
        self.servers.iter().map(Server::len).collect()
    }
}

#[test]
fn nodes_share_sessions_through_a_cluster() {
    let Some(cluster) = Cluster::start() else { return };
    let (node, other) = (cluster.node(), cluster.node());
    for number in 0..300 {
        node.add(number, ONCE);
        node.add(1000 + number, MANY);
    }
    node.settle();
    let lengths = cluster.lengths();
    assert!(lengths.iter().all(|length| *length > 100), "{lengths:?}");
    assert_eq!(lengths.iter().sum::<usize>(), 600);
    wait("they were heard", || other.tier.stats().received == 300);
    for number in 0..300 {
        assert!(other.fetch(number) && other.take(number));
        assert!(!other.fetch(number));
        assert!(other.get(1000 + number));
    }
    let view = node.cache.view(Context::NONE).protocol(MANY);
    for number in 0..300 {
        assert!(view.remove_id(&crate::node::id(1000 + number)));
    }
    node.settle();
    assert_eq!(cluster.lengths(), [0; 3]);
    wait("they ended", || other.tier.stats().withdrawn == 300);
}

#[test]
fn a_cluster_without_one_of_its_servers_serves_the_rest() {
    let Some(mut cluster) = Cluster::start() else { return };
    let (node, other) = (cluster.node(), cluster.node());
    (0..300).for_each(|number| node.add(number, ONCE));
    node.settle();
    let lost = cluster.servers[2].len();
    cluster.servers[2].kill();
    let is_taken = |number: &u64| {
        // It asks at random whether any is left, and can be told for a moment that none is.
        let mut is_found = false;
        wait("it is asked", || {
            let before = other.tier.stats().unavailable;
            is_found = other.fetch(*number);
            other.tier.stats().unavailable == before
        });
        is_found && other.take(*number)
    };
    let found = (0..300).filter(is_taken).count();
    println!("{found} found, {lost} lost; {:?}", other.tier.stats());
    assert_eq!(found, 300 - lost);
    for number in 0..300 {
        assert!(!other.take(number), "once");
    }
}

#[test]
fn slots_that_moved_are_followed() {
    let Some(cluster) = Cluster::start() else { return };
    let (node, other) = (cluster.node(), cluster.node());
    (0..300).for_each(|number| node.add(number, ONCE));
    node.settle();
    let before = cluster.lengths();
    let of = |server: &Server| -> String {
        redis::cmd("CLUSTER").arg("MYID").query(&mut server.connection()).unwrap()
    };
    let moved = Command::new("redis-cli")
        .args(["--cluster", "reshard", &format!("127.0.0.1:{}", cluster.servers[0].port())])
        .args(["--cluster-from", &of(&cluster.servers[0]), "--cluster-to"])
        .args([&of(&cluster.servers[1]), "--cluster-slots", "2000", "--cluster-yes"])
        .stdout(Stdio::null())
        .status();
    assert!(moved.unwrap().success());
    let after = cluster.lengths();
    assert!(after[0] < before[0] && after.iter().sum::<usize>() == 300, "{before:?}, {after:?}");
    // Each asks where the values were.
    (300..600).for_each(|number| node.add(number, ONCE));
    node.settle();
    for number in 0..600 {
        assert!(other.fetch(number) && other.take(number), "{number}");
    }
    assert_eq!(cluster.lengths(), [0; 3]);
    let [node, other] = [node, other].map(|node| node.tier.stats());
    assert_eq!((node.refused_writes, other.unanswered), (0, 0), "{node:?}, {other:?}");
}

/// A certificate for 127.0.0.1 that signed itself, as files for the server and as the client's
/// authority.
fn certified(directory: &std::path::Path) -> (Vec<String>, Vec<u8>) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let file = |name: &str, text: String| {
        let path = directory.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let certificate = made.cert.pem();
    let key = file("key.pem", made.signing_key.serialize_pem());
    let path = file("cert.pem", certificate.clone());
    let options = ["--tls-cert-file", &path, "--tls-key-file", &key, "--tls-ca-cert-file", &path];
    let options = options.into_iter().chain(["--tls-auth-clients", "no"]);
    (options.map(str::to_owned).collect(), certificate.into_bytes())
}

#[test]
fn nodes_share_sessions_through_a_server_behind_tls() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let directory = tempfile::tempdir().unwrap();
    let (mut options, authority) = certified(directory.path());
    let port = free_port();
    options.extend(["--tls-port".to_owned(), port.to_string()]);
    let Some(server) = Server::start_with(options) else { return };
    let node = |authority: Option<Vec<u8>>| {
        let cache = Arc::new(SessionCache::new(1000).unwrap());
        let certificates = TlsCertificates { client_tls: None, root_cert: authority };
        let address = format!("rediss://127.0.0.1:{port}/");
        let client = redis::Client::build_with_tls(address, certificates).unwrap();
        let tier = Tier::builder(ring()).publish(true).response_timeout(SOON);
        let tier = tier.attach_client(&cache, client).unwrap();
        Node { cache, tier }
    };
    let (node, other, stranger) =
        (node(Some(authority.clone())), node(Some(authority)), node(None));
    node.wait_until_up();
    other.wait_until_up();
    wait("it listens", || other.tier.stats().is_listening);
    node.add(1, ONCE);
    node.add(2, MANY);
    node.settle();
    assert_eq!(server.len(), 2);
    assert!(other.fetch(1) && other.take(1) && !node.fetch(1));
    wait("it was heard", || other.get(2));
    assert!(!stranger.tier.stats().is_up, "its authorities do not know the server");
}
