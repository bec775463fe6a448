//! Two contexts, their store, and one visit.

use std::collections::HashMap;
use std::ffi::{CString, c_char, c_int};
use std::sync::{Arc, Mutex};

use foreign_types::ForeignTypeRef;
use openssl::ssl::{
    ClientHelloResponse, NameType, Ssl, SslContext, SslContextBuilder, SslRef, SslSession,
    SslStream, SslVerifyMode,
};
use sessile::{Context, Hooks, Session, SessionId};
use sessile_openssl::ServerStore;

use super::combination::{Attached, Combination, Made, Side, Switch, Visit};
use crate::support::{Client, Link, MUTUAL, Pipe, Site};

const STAY: &str = "stay.example";
const SWITCH: &str = "switch.example";
const EARLY: &[u8] = b"transfer 100";

/// Recorded first flights are sent so often.
const REPLAYS: usize = 2;

/// Certificates, and a client with one and a client without: made once, for they are slow to make.
pub(crate) struct Wardrobe {
    site: Site,
    person: Site,
    clients: [Client; 2],
}

impl Wardrobe {
    pub(crate) fn new() -> Self {
        let (site, person) = (Site::new(), Site::new());
        let clients = [Client::new(), Client::with(|context| person.identify(context))];
        Self { site, person, clients }
    }

    fn client(&self, has_certificate: bool) -> &Client {
        &self.clients[usize::from(has_certificate)]
    }
}

/// What became of a visit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    pub(crate) entered: bool,
    pub(crate) resumed: bool,
    /// How often early data were accepted.
    pub(crate) early: usize,
}

pub(crate) struct Stage<'w> {
    wardrobe: &'w Wardrobe,
    combination: Combination,
    /// The listener of the visit, and that of the other context.
    outer: SslContext,
    inner: SslContext,
}

impl<'w> Stage<'w> {
    pub(crate) fn new(wardrobe: &'w Wardrobe, combination: Combination) -> Self {
        let store = ServerStore::new(32).unwrap();
        if combination.has_tier {
            set_tier(&store);
        }
        let (mut outer, mut inner) = (None, None);
        // The order in which they are attached.
        for is_outer in [true, false] {
            let is_outer = is_outer == (combination.attached != Attached::InnerFirst);
            let side = if is_outer { combination.initial } else { combination.initial.other() };
            let builder = builder(wardrobe, &combination, &store, side);
            *(if is_outer { &mut outer } else { &mut inner }) = Some(builder);
        }
        let inner = inner.unwrap().build();
        let mut outer = outer.unwrap();
        let demands = combination.demands[combination.initial.other() as usize];
        set_switch(&mut outer, combination.switch, inner.clone(), demands);
        Self { wardrobe, combination, outer: outer.build(), inner }
    }

    pub(crate) fn play(&self) -> Outcome {
        let one = &self.combination;
        let session = if one.visit == Visit::Full { None } else { self.made() };
        let client = self.wardrobe.client(one.has_certificate);
        let name = if one.asks_for_switch { SWITCH } else { STAY };
        // A client of libssl sends early data only under the name that the session was made for;
        // others do what they like.
        session.iter().for_each(|session| set_hostname(session, name));
        let mut ssl = client.ssl(session.as_ref());
        ssl.set_hostname(name).unwrap();
        match one.visit {
            Visit::Early if session.is_some() => self.replay(ssl),
            _ => self.visit(ssl),
        }
    }

    /// The session that the visit offers.
    fn made(&self) -> Option<SslSession> {
        let (server, name) = match self.combination.made {
            Made::Outer => (&self.outer, STAY),
            Made::Inner => (&self.inner, STAY),
            Made::Switched => (&self.outer, SWITCH),
        };
        let client = self.wardrobe.client(self.combination.made_with_certificate);
        let mut ssl = client.ssl(None);
        ssl.set_hostname(name).unwrap();
        client.sessions();
        let mut link = Link::new(ssl, Ssl::new(server).unwrap());
        if link.handshake().is_ok() {
            link.exchange();
            link.close();
        }
        client.sessions().pop()
    }

    fn visit(&self, ssl: Ssl) -> Outcome {
        let mut link = Link::new(ssl, Ssl::new(&self.outer).unwrap());
        let entered = link.handshake().is_ok();
        let mut buffer = [0; 16];
        if entered {
            link.exchange();
        } else {
            let _ = link.client.ssl_write(b"ask");
            assert_eq!(link.server.ssl_read(&mut buffer).unwrap_or(0), 0, "{:?}", self.combination);
            assert!(link.server.ssl_write(b"answer").is_err(), "{:?}", self.combination);
        }
        let resumed = entered && link.resumed();
        link.close();
        Outcome { entered, resumed, early: 0 }
    }

    /// The first flight, as it was recorded on the wire, on connections that stay open; then the
    /// visit itself goes on.
    fn replay(&self, mut ssl: Ssl) -> Outcome {
        ssl.set_connect_state();
        let pipe = Pipe::default();
        let mut client = SslStream::new(ssl, pipe.clone()).unwrap();
        assert_eq!(client.write_early_data(EARLY).unwrap(), EARLY.len());
        let flight = pipe.sent();
        let mut open = Vec::new();
        let mut early = 0;
        for _ in 0..REPLAYS {
            let mut ssl = Ssl::new(&self.outer).unwrap();
            ssl.set_accept_state();
            let pipe = Pipe::default();
            pipe.receive(&flight);
            let mut stream = SslStream::new(ssl, pipe).unwrap();
            let mut buffer = [0; 64];
            let read = stream.read_early_data(&mut buffer).unwrap_or(0);
            early += usize::from(read > 0);
            open.push(stream);
        }
        self.answer(client, pipe, open.swap_remove(0), early)
    }

    /// The connection that was first goes on.
    fn answer(
        &self,
        mut client: SslStream<Pipe>,
        near: Pipe,
        mut server: SslStream<Pipe>,
        early: usize,
    ) -> Outcome {
        let far = server.get_ref().clone();
        let (mut to_client, mut to_server) = (0, near.sent().len());
        let (mut is_in, mut is_out) = (false, false);
        for _ in 0..6 {
            let _ = server.do_handshake().map(|()| is_in = true);
            let sent = far.sent();
            near.receive(&sent[to_client..]);
            to_client = sent.len();
            let _ = client.do_handshake().map(|()| is_out = true);
            let sent = near.sent();
            far.receive(&sent[to_server..]);
            to_server = sent.len();
        }
        let entered = is_in && is_out;
        Outcome { entered, resumed: entered && server.ssl().session_reused(), early }
    }
}

fn builder(
    wardrobe: &Wardrobe,
    combination: &Combination,
    store: &ServerStore,
    side: Side,
) -> SslContextBuilder {
    let handle = |reusable: bool| store.clone().reusable(reusable);
    let name = Context::digest([if side == Side::A { "a" } else { "b" }]);
    let mut context = wardrobe.site.server_builder(combination.version);
    if combination.attached == Attached::Twice {
        handle(!combination.is_reusable).attach(&mut context, name).unwrap();
    }
    handle(combination.is_reusable).attach(&mut context, name).unwrap();
    context.cert_store_mut().add_cert(wardrobe.person.certificate().clone()).unwrap();
    context.set_max_early_data(1024).unwrap();
    context.set_verify(verify_mode(combination.demands[side as usize]));
    context
}

fn verify_mode(demands: bool) -> SslVerifyMode {
    if demands { MUTUAL } else { SslVerifyMode::NONE }
}

/// As servers do it: the other context, and what it demands.
fn set_switch(outer: &mut SslContextBuilder, switch: Switch, inner: SslContext, demands: bool) {
    let change = move |ssl: &mut SslRef| {
        ssl.set_ssl_context(&inner).unwrap();
        ssl.set_verify(verify_mode(demands));
    };
    match switch {
        Switch::None => {}
        Switch::ClientHello => outer.set_client_hello_callback(move |ssl, _| {
            if asks_for(ssl, SWITCH) {
                change(ssl);
            }
            Ok(ClientHelloResponse::SUCCESS)
        }),
        Switch::ServerName => outer.set_servername_callback(move |ssl, _| {
            if ssl.servername_raw(NameType::HOST_NAME) == Some(SWITCH.as_bytes()) {
                change(ssl);
            }
            Ok(())
        }),
    }
}

/// Whether the ClientHello that is being read has the name in its server name extension.
fn asks_for(ssl: &SslRef, name: &str) -> bool {
    let (mut bytes, mut length) = (std::ptr::null(), 0);
    // SAFETY: the connection is alive and reads a ClientHello, which the answer points into.
    let extension = unsafe {
        match openssl_sys::SSL_client_hello_get0_ext(ssl.as_ptr(), 0, &mut bytes, &mut length) {
            1 => std::slice::from_raw_parts(bytes, length),
            _ => return false,
        }
    };
    extension.ends_with(name.as_bytes())
}

type Stored = Mutex<HashMap<SessionId, Session<SslSession>>>;

/// A tier that has whatever the store has told it of, and gives it to everybody who asks.
fn set_tier(store: &ServerStore) {
    let told = Arc::new(Stored::default());
    let asked = Arc::clone(&told);
    let hooks = Hooks::new()
        .on_added(move |session: &Session<SslSession>| {
            told.lock().unwrap().insert(session.id(), session.clone());
        })
        .on_query(move |query| asked.lock().unwrap().get(query.id()).cloned());
    store.cache().set_hooks(hooks);
}

unsafe extern "C" {
    fn SSL_SESSION_set1_hostname(
        session: *mut openssl_sys::SSL_SESSION,
        name: *const c_char,
    ) -> c_int;
}

fn set_hostname(session: &SslSession, name: &str) {
    let name = CString::new(name).unwrap();
    // SAFETY: the session is this client's alone; the name ends with a zero and is copied.
    assert_eq!(unsafe { SSL_SESSION_set1_hostname(session.as_ptr(), name.as_ptr()) }, 1);
}
