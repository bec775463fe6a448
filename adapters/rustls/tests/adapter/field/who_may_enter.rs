//! Every combination of two configurations, clients, versions, stores and revocations, against a
//! table of who may enter, who may resume, and how often early data are accepted.

use std::sync::Arc;

use rustls::HandshakeKind::{Full, Resumed};
use rustls::{ClientConfig, HandshakeKind, ServerConfig, SupportedProtocolVersion};
use sessile::{Context, ManualClock};
use sessile_rustls::{ClientStore, ServerStore};

use super::tier::{Answer, cache_with_tier};
use crate::support::{BOTH, Pair, Site, first_flight, replay, try_shake};

/// How often a recorded first flight is played.
const PLAYS: usize = 3;

/// How clients are authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rules {
    Anonymous,
    /// A certificate is required.
    Mutual,
}

/// What the client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Offer {
    /// It visits for the first time.
    Nothing,
    /// It has visited, and offers the session.
    Session,
    /// It also sends early data, where it may.
    EarlyData,
}

/// What is behind the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tier {
    None,
    Present,
    /// The cache has lost what the tier has.
    Alone,
}

/// When the context that made the session is revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Revoked {
    Never,
    BeforeTheHandles,
    /// After the handles were made, and before the session was.
    BeforeTheSession,
    AfterTheSession,
    /// And the configurations got new handles.
    AfterTheSessionWithNewHandles,
}

#[derive(Clone, Copy, Debug)]
struct Case {
    version: &'static SupportedProtocolVersion,
    made_by: Rules,
    visited: Rules,
    has_same_name: bool,
    offer: Offer,
    has_certificate: bool,
    is_reusable: bool,
    tier: Tier,
    revoked: Revoked,
}

fn cases() -> Vec<Case> {
    let rules = [Rules::Anonymous, Rules::Mutual];
    let offers = [Offer::Nothing, Offer::Session, Offer::EarlyData];
    let tiers = [Tier::None, Tier::Present, Tier::Alone];
    let revoked = [
        Revoked::Never,
        Revoked::BeforeTheHandles,
        Revoked::BeforeTheSession,
        Revoked::AfterTheSession,
        Revoked::AfterTheSessionWithNewHandles,
    ];
    let mut cases = Vec::new();
    for (version, made_by, visited) in triples(BOTH, rules, rules) {
        for (has_same_name, offer, has_certificate) in triples([true, false], offers, [true, false])
        {
            for (is_reusable, tier, revoked) in triples([true, false], tiers, revoked) {
                cases.push(Case {
                    version,
                    made_by,
                    visited,
                    has_same_name,
                    offer,
                    has_certificate,
                    is_reusable,
                    tier,
                    revoked,
                });
            }
        }
    }
    cases
}

fn triples<A: Copy, B: Copy, C: Copy, const K: usize, const L: usize, const M: usize>(
    a: [A; K],
    b: [B; L],
    c: [C; M],
) -> impl Iterator<Item = (A, B, C)> {
    a.into_iter()
        .flat_map(move |a| b.into_iter().flat_map(move |b| c.into_iter().map(move |c| (a, b, c))))
}

/// What the client is let do, and how often.
#[derive(Debug, PartialEq)]
struct Outcome {
    /// `None` if it was refused.
    entered: Option<HandshakeKind>,
    /// Of all plays of its first flight.
    resumed: usize,
    early_data: usize,
}

/// The table.
impl Case {
    fn outcome_by_the_rules(&self) -> Outcome {
        let has_session =
            self.offer != Offer::Nothing && self.may_enter(self.made_by) && self.is_stored();
        let may_resume = has_session && self.is_of_visited() && !self.is_revoked_for_visited();
        let entered = match may_resume {
            true => Some(Resumed),
            false => self.may_enter(self.visited).then_some(Full),
        };
        let is_tls13 = self.version == BOTH[1];
        let is_once = is_tls13 && !self.is_reusable && self.tier == Tier::None;
        let resumed = match may_resume {
            true if is_once => 1,
            true => PLAYS,
            false => 0,
        };
        let is_original = !self.is_reusable && self.tier != Tier::Alone;
        let accepts = may_resume && self.offer == Offer::EarlyData && is_tls13 && is_original;
        Outcome { entered, resumed, early_data: usize::from(accepts) }
    }

    /// Without a session.
    fn may_enter(&self, rules: Rules) -> bool {
        rules == Rules::Anonymous || self.has_certificate
    }

    fn is_stored(&self) -> bool {
        self.revoked != Revoked::BeforeTheSession
    }

    /// Whether the session belongs to the configuration that is visited.
    fn is_of_visited(&self) -> bool {
        self.has_same_name || self.made_by == self.visited
    }

    fn is_revoked_for_visited(&self) -> bool {
        matches!(self.revoked, Revoked::AfterTheSession | Revoked::AfterTheSessionWithNewHandles)
    }
}

/// Configurations with keys and certificates, made once.
struct World {
    /// By (version, rules).
    servers: Vec<ServerConfig>,
    /// Without and with a certificate.
    clients: [ClientConfig; 2],
}

impl World {
    fn new() -> Self {
        let (site, person) = (Site::new(&["localhost"]), Site::new(&["person"]));
        let nothing = || ServerStore::new(1).unwrap().for_context(Context::NONE);
        let server = |version, rules| {
            let person = (rules == Rules::Mutual).then_some(&person);
            let mut server = site.server_for(version, nothing(), person);
            server.max_early_data_size = 1000;
            server.send_tls13_tickets = 1;
            server
        };
        let servers = BOTH
            .into_iter()
            .flat_map(|version| {
                [Rules::Anonymous, Rules::Mutual].map(|rules| server(version, rules))
            })
            .collect();
        let clients = [site.client_of(None), site.client_of(Some(&person))];
        Self { servers, clients }
    }
}

/// One case under way.
struct Trial<'w> {
    case: Case,
    world: &'w World,
    store: ServerStore,
    clock: Arc<ManualClock>,
    made_by: Arc<ServerConfig>,
    visited: Arc<ServerConfig>,
}

impl<'w> Trial<'w> {
    fn new(case: Case, world: &'w World) -> Self {
        let clock = Arc::new(ManualClock::new(1_800_000_000));
        let store = match case.tier {
            Tier::None => ServerStore::new(100).unwrap(),
            _ => ServerStore::from_cache(cache_with_tier(Answer::Handle, Arc::clone(&clock))),
        };
        let store = store.reusable(case.is_reusable);
        if case.revoked == Revoked::BeforeTheHandles {
            store.revoke(context_of(&case, case.made_by));
            // What a second tier supplies is of before if it was made in the same second.
            clock.advance(1);
        }
        let server = |rules| server_of(world, &case, &store, rules);
        let (made_by, visited) = (server(case.made_by), server(case.visited));
        Self { case, world, store, clock, made_by, visited }
    }

    fn run(mut self) -> Outcome {
        let mut client = self.world.clients[usize::from(self.case.has_certificate)].clone();
        client.resumption = rustls::client::Resumption::store(
            ClientStore::new(10).unwrap().for_context(Context::NONE),
        );
        client.enable_early_data = self.case.offer == Offer::EarlyData;
        let client = Arc::new(client);
        let context = context_of(&self.case, self.case.made_by);
        if self.case.revoked == Revoked::BeforeTheSession {
            self.store.revoke(context);
            self.clock.advance(1);
        }
        if self.case.offer != Offer::Nothing {
            let _ = try_shake(&client, &self.made_by);
        }
        if self.case.tier == Tier::Alone {
            self.store.cache().clear();
        }
        match self.case.revoked {
            Revoked::AfterTheSession => self.store.revoke(context),
            Revoked::AfterTheSessionWithNewHandles => {
                self.store.revoke(context);
                self.visited = server_of(self.world, &self.case, &self.store, self.case.visited);
            }
            _ => {}
        }
        self.visit(&client)
    }

    /// Plays the client's first flight, and goes on with the first connection while the others are
    /// open.
    fn visit(&self, client: &Arc<ClientConfig>) -> Outcome {
        let (client, flight) = first_flight(client);
        let mut played: Vec<_> = (0..PLAYS).map(|_| replay(&self.visited, &flight)).collect();
        let resumed =
            played.iter().filter(|(server, _)| server.handshake_kind() == Some(Resumed)).count();
        let early_data = played.iter().filter(|(_, early)| early.is_some()).count();
        let mut pair = Pair { client, server: played.swap_remove(0).0 };
        Outcome { entered: pair.finish().ok(), resumed, early_data }
    }
}

fn context_of(case: &Case, rules: Rules) -> Context {
    match (case.has_same_name, rules) {
        (true, _) => Context::digest(["one name"]),
        (false, Rules::Anonymous) => Context::digest(["anonymous"]),
        (false, Rules::Mutual) => Context::digest(["mutual"]),
    }
}

fn server_of(world: &World, case: &Case, store: &ServerStore, rules: Rules) -> Arc<ServerConfig> {
    let of_version = world.servers.chunks(2).nth(usize::from(case.version == BOTH[1])).unwrap();
    let mut server = of_version[usize::from(rules == Rules::Mutual)].clone();
    server.session_storage = store.for_context(context_of(case, rules));
    Arc::new(server)
}

/// What was found, to be all 0.
#[derive(Debug, Default, PartialEq, Eq)]
struct Faults {
    entered_that_may_not: usize,
    refused_that_may: usize,
    otherwise_than_by_the_rules: usize,
    resumed_otherwise: usize,
    early_data_more_than_once: usize,
    early_data_otherwise: usize,
}

impl Faults {
    fn count(&mut self, found: &Outcome, expected: &Outcome) {
        let mut add =
            |count: fn(&mut Self) -> &mut usize, fault: bool| *count(self) += usize::from(fault);
        let (entered, may_enter) = (found.entered.is_some(), expected.entered.is_some());
        add(|faults| &mut faults.entered_that_may_not, entered && !may_enter);
        add(|faults| &mut faults.refused_that_may, !entered && may_enter);
        add(|faults| &mut faults.otherwise_than_by_the_rules, found.entered != expected.entered);
        add(|faults| &mut faults.resumed_otherwise, found.resumed != expected.resumed);
        add(|faults| &mut faults.early_data_more_than_once, found.early_data > 1);
        add(|faults| &mut faults.early_data_otherwise, found.early_data != expected.early_data);
    }
}

#[test]
fn nobody_enters_resumes_or_is_believed_early_who_may_not() {
    let (world, cases) = (World::new(), cases());
    let (mut faults, mut entered, mut resumed, mut early_data) = (Faults::default(), 0, 0, 0);
    for case in &cases {
        let (found, expected) = (Trial::new(*case, &world).run(), case.outcome_by_the_rules());
        if found != expected {
            println!("{case:?}\n  found {found:?}\n  expected {expected:?}");
        }
        faults.count(&found, &expected);
        entered += usize::from(found.entered.is_some());
        resumed += usize::from(found.entered == Some(Resumed));
        early_data += found.early_data;
    }
    let tried = cases.len();
    println!(
        "{tried} combinations, {entered} entered, {resumed} resumed, {early_data} with early data: {faults:?}"
    );
    assert_eq!(tried, 2 * 2 * 2 * 2 * 3 * 2 * 2 * 3 * 5);
    assert_eq!(faults, Faults::default());
    assert!(resumed > 0 && early_data > 0 && entered < tried, "all outcomes occur");
}
