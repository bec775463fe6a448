//! Certificates, contexts and handshakes in memory.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ffi::{c_int, c_long, c_uint};
use std::io::{self, Read, Write};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use foreign_types::{ForeignType, ForeignTypeRef};
use openssl::asn1::{Asn1Object, Asn1OctetString, Asn1Time, Asn1TimeRef};
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{
    ErrorCode, Ssl, SslContext, SslContextBuilder, SslContextRef, SslMethod, SslSession,
    SslSessionCacheMode, SslSessionRef, SslStream, SslVerifyMode, SslVersion,
};
use openssl::x509::{X509, X509Builder, X509Extension, X509NameBuilder};
use sessile::Context;
use sessile_openssl::ServerStore;

/// What a server of clients with certificates demands.
pub(crate) const MUTUAL: SslVerifyMode =
    SslVerifyMode::PEER.union(SslVerifyMode::FAIL_IF_NO_PEER_CERT);

pub(crate) const BOTH: [SslVersion; 2] = [SslVersion::TLS1_2, SslVersion::TLS1_3];

/// A self-signed certificate with its key.
pub(crate) struct Site {
    certificate: X509,
    key: PKey<Private>,
}

impl Site {
    pub(crate) fn new() -> Self {
        Self::until(&Asn1Time::days_from_now(2).unwrap())
    }

    /// One whose certificate carries so many bytes of no use.
    pub(crate) fn large(bytes: usize) -> Self {
        Self::make(&Asn1Time::days_from_now(2).unwrap(), bytes)
    }

    /// One whose certificate ends at a time.
    pub(crate) fn until(not_after: &Asn1TimeRef) -> Self {
        Self::make(not_after, 0)
    }

    fn make(not_after: &Asn1TimeRef, filling: usize) -> Self {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
        let mut name = X509NameBuilder::new().unwrap();
        name.append_entry_by_text("CN", "localhost").unwrap();
        let name = name.build();
        let mut builder = X509Builder::new().unwrap();
        builder.set_version(2).unwrap();
        builder
            .set_serial_number(&BigNum::from_u32(1).unwrap().to_asn1_integer().unwrap())
            .unwrap();
        builder.set_subject_name(&name).unwrap();
        builder.set_issuer_name(&name).unwrap();
        builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
        builder.set_not_after(not_after).unwrap();
        builder.set_pubkey(&key).unwrap();
        let unknown = Asn1Object::from_str("1.2.3.4").unwrap();
        let filling = Asn1OctetString::new_from_bytes(&vec![0; filling]).unwrap();
        let filling = X509Extension::new_from_der(&unknown, false, &filling).unwrap();
        builder.append_extension(filling).unwrap();
        builder.sign(&key, MessageDigest::sha256()).unwrap();
        Self { certificate: builder.build(), key }
    }

    pub(crate) fn certificate(&self) -> &X509 {
        &self.certificate
    }

    /// Lets a context show the certificate.
    pub(crate) fn identify(&self, context: &mut SslContextBuilder) {
        context.set_certificate(&self.certificate).unwrap();
        context.set_private_key(&self.key).unwrap();
    }

    /// Lets a context trust the certificate, and demand one that it trusts.
    pub(crate) fn demand(&self, context: &mut SslContextBuilder) {
        context.cert_store_mut().add_cert(self.certificate.clone()).unwrap();
        context.set_verify(MUTUAL);
    }

    /// A server of one version; `attach` gives it its session cache.
    pub(crate) fn server(
        &self,
        version: SslVersion,
        attach: impl FnOnce(&mut SslContextBuilder),
    ) -> SslContext {
        let mut builder = self.server_builder(version);
        attach(&mut builder);
        builder.build()
    }

    pub(crate) fn server_builder(&self, version: SslVersion) -> SslContextBuilder {
        let mut builder = SslContextBuilder::new(SslMethod::tls_server()).unwrap();
        self.identify(&mut builder);
        builder.set_min_proto_version(Some(version)).unwrap();
        builder.set_max_proto_version(Some(version)).unwrap();
        builder
    }
}

/// A client that collects every session and ticket it is given, and keeps none by itself.
pub(crate) struct Client {
    pub(crate) context: SslContext,
    sessions: Arc<Mutex<Vec<SslSession>>>,
}

impl Client {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut SslContextBuilder)) -> Self {
        let sessions = Arc::new(Mutex::new(Vec::new()));
        let mut builder = SslContextBuilder::new(SslMethod::tls_client()).unwrap();
        builder
            .set_session_cache_mode(SslSessionCacheMode::CLIENT | SslSessionCacheMode::NO_INTERNAL);
        let collected = Arc::clone(&sessions);
        builder.set_new_session_callback(move |_, session| {
            collected.lock().unwrap_or_else(PoisonError::into_inner).push(session);
        });
        change(&mut builder);
        Self { context: builder.build(), sessions }
    }

    /// What was collected since the last call.
    pub(crate) fn sessions(&self) -> Vec<SslSession> {
        std::mem::take(&mut *self.sessions.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A connection with a session to offer.
    pub(crate) fn ssl(&self, session: Option<&SslSession>) -> Ssl {
        let mut ssl = Ssl::new(&self.context).unwrap();
        if let Some(session) = session {
            // SAFETY: this client's connections made it.
            unsafe { ssl.set_session(session).unwrap() };
        }
        ssl
    }

    /// A whole connection with a goodbye from both sides; whether it was resumed.
    pub(crate) fn visit(&self, server: &SslContextRef, session: Option<&SslSession>) -> bool {
        let mut link = Link::new(self.ssl(session), Ssl::new(server).unwrap());
        link.handshake().unwrap();
        link.exchange();
        let resumed = link.resumed();
        link.close();
        resumed
    }
}

/// One side's end of two pipes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pipe {
    incoming: Rc<RefCell<VecDeque<u8>>>,
    outgoing: Rc<RefCell<VecDeque<u8>>>,
}

impl Pipe {
    /// Everything that was written to this end.
    pub(crate) fn sent(&self) -> Vec<u8> {
        self.outgoing.borrow().iter().copied().collect()
    }

    /// Takes back the first bytes that the other end has not read yet.
    pub(crate) fn withdraw(&self, bytes: usize) {
        self.outgoing.borrow_mut().drain(..bytes);
    }

    /// Changes the last byte that the other end has not read yet.
    pub(crate) fn spoil(&self) {
        *self.outgoing.borrow_mut().back_mut().unwrap() ^= 1;
    }

    /// Lets this end read the bytes.
    pub(crate) fn receive(&self, bytes: &[u8]) {
        self.incoming.borrow_mut().extend(bytes);
    }
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.incoming.borrow_mut().read(buffer)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            read => Ok(read),
        }
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.outgoing.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A client and a server, connected in memory.
pub(crate) struct Link {
    pub(crate) client: SslStream<Pipe>,
    pub(crate) server: SslStream<Pipe>,
}

impl Link {
    pub(crate) fn new(mut client: Ssl, mut server: Ssl) -> Self {
        client.set_connect_state();
        server.set_accept_state();
        let near = Pipe::default();
        let far = Pipe { incoming: Rc::clone(&near.outgoing), outgoing: Rc::clone(&near.incoming) };
        Self {
            client: SslStream::new(client, near).unwrap(),
            server: SslStream::new(server, far).unwrap(),
        }
    }

    /// Runs the handshake; the first error of either side.
    pub(crate) fn handshake(&mut self) -> Result<(), openssl::ssl::Error> {
        for _ in 0..20 {
            let client = settle(self.client.do_handshake())?;
            let server = settle(self.server.do_handshake())?;
            if client && server {
                return Ok(());
            }
        }
        panic!("the handshake does not end");
    }

    /// The client's next flight, and what the server has to say to it.
    pub(crate) fn ask_and_answer_once(&mut self) {
        settle(self.client.do_handshake()).unwrap();
        assert!(!settle(self.server.do_handshake()).unwrap());
    }

    /// The client's next flight, spoilt, and what the server makes of it.
    pub(crate) fn spoil_a_flight(&mut self) {
        settle(self.client.do_handshake()).unwrap();
        self.client.get_ref().spoil();
        assert!(self.server.do_handshake().is_err());
    }

    /// The early data that the server accepts.
    pub(crate) fn read_early_data(&mut self) -> Vec<u8> {
        let mut buffer = [0; 64];
        let read = self.server.read_early_data(&mut buffer);
        if read.is_err() {
            // Half a handshake: the client's answer is missing.
            return Vec::new();
        }
        buffer[..read.unwrap()].to_vec()
    }

    /// The client says something and reads the answer, with which TLS 1.3 tickets come.
    pub(crate) fn exchange(&mut self) {
        let mut buffer = [0; 16];
        self.client.ssl_write(b"ask").unwrap();
        assert_eq!(self.server.ssl_read(&mut buffer).unwrap(), 3);
        self.server.ssl_write(b"answer").unwrap();
        assert_eq!(self.client.ssl_read(&mut buffer).unwrap(), 6);
    }

    /// The server issues one more ticket, which the client has not read yet.
    pub(crate) fn issue_ticket(&mut self) {
        // SAFETY: the connection is alive, and nobody else uses it.
        assert_eq!(unsafe { SSL_new_session_ticket(self.server.ssl().as_ptr()) }, 1);
        self.server.do_handshake().unwrap();
    }

    pub(crate) fn resumed(&self) -> bool {
        let resumed = self.client.ssl().session_reused();
        assert_eq!(resumed, self.server.ssl().session_reused());
        resumed
    }

    /// Both say goodbye, as libssl wants it for a session to stay resumable.
    pub(crate) fn close(mut self) {
        for side in [&mut self.client, &mut self.server] {
            let _ = side.shutdown();
        }
    }
}

/// Whether a handshake is over; an error unless it only waits for the other side.
fn settle(outcome: Result<(), openssl::ssl::Error>) -> Result<bool, openssl::ssl::Error> {
    match outcome {
        Ok(()) => Ok(true),
        Err(error) if error.code() == ErrorCode::WANT_READ => Ok(false),
        Err(error) => Err(error),
    }
}

unsafe extern "C" {
    fn SSL_new_session_ticket(ssl: *mut openssl_sys::SSL) -> c_int;
    fn SSL_SESSION_dup(session: *const openssl_sys::SSL_SESSION) -> *mut openssl_sys::SSL_SESSION;
    fn SSL_SESSION_set_time(session: *mut openssl_sys::SSL_SESSION, time: c_long) -> c_long;
    fn SSL_SESSION_set1_id(
        session: *mut openssl_sys::SSL_SESSION,
        id: *const u8,
        length: c_uint,
    ) -> c_int;
}

/// Lets a session be so many seconds older.
pub(crate) fn backdate(session: &SslSessionRef, seconds: c_long) {
    let time = c_long::try_from(session.time()).unwrap() - seconds;
    // SAFETY: the session is alive.
    assert!(unsafe { SSL_SESSION_set_time(session.as_ptr(), time) } != 0);
}

/// Another object with the same state.
pub(crate) fn duplicate(session: &SslSessionRef) -> SslSession {
    // SAFETY: the session is alive; the copy is nobody else's.
    unsafe {
        let copy = SSL_SESSION_dup(session.as_ptr());
        assert!(!copy.is_null());
        SslSession::from_ptr(copy)
    }
}

/// Another object with the same state and another id.
pub(crate) fn renamed(session: &SslSessionRef, id: &[u8]) -> SslSession {
    let copy = duplicate(session);
    // SAFETY: the copy is alive and nobody else's; as many bytes are read as there are.
    let set = unsafe { SSL_SESSION_set1_id(copy.as_ptr(), id.as_ptr(), id.len() as c_uint) };
    assert_eq!(set, 1);
    copy
}

/// The `SSL_CTX_sess_*` counters, by the numbers of their control calls.
#[derive(Clone, Copy, Debug)]
#[repr(i32)]
pub(crate) enum Counter {
    Number = 20,
    Connect,
    ConnectGood,
    ConnectRenegotiate,
    Accept,
    AcceptGood,
    AcceptRenegotiate,
    Hits,
    CbHits,
    Misses,
    Timeouts,
    CacheFull,
}

/// What libssl itself has counted.
pub(crate) fn counted(context: &SslContextRef, counter: Counter) -> u64 {
    // SAFETY: the context is alive; these calls read a counter.
    let count: c_long = unsafe {
        openssl_sys::SSL_CTX_ctrl(context.as_ptr(), counter as c_int, 0, std::ptr::null_mut())
    };
    u64::try_from(count).unwrap()
}

/// A server of a store that answers the first ClientHello of a [`retried_client`] with a
/// HelloRetryRequest.
pub(crate) fn retrying_server(store: &ServerStore) -> SslContext {
    Site::new().server(SslVersion::TLS1_3, |context| {
        context.set_groups_list("P-256").unwrap();
        store.attach(context, Context::NONE).unwrap();
    })
}

/// A client that begins with a key of another group than a [`retrying_server`] accepts.
pub(crate) fn retried_client() -> Client {
    Client::with(|context| context.set_groups_list("X25519:P-256").unwrap())
}
