//! A libssl server whose certificate is renewed. One store serves both contexts, which have one
//! name: a client goes on resuming.
//!
//! `cargo run -p sessile-openssl --example server`

use std::error::Error;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use openssl::pkey::{PKey, PKeyRef, Private};
use openssl::ssl::{Ssl, SslAcceptor, SslContext, SslContextBuilder, SslMethod};
use openssl::ssl::{SslStream, SslVersion};
use openssl::x509::{X509, X509Name};
use openssl::{asn1::Asn1Time, hash::MessageDigest, rsa::Rsa};
use sessile::Context;
use sessile_openssl::{ClientStore, ServerStore};

/// Called at start and whenever a certificate was renewed.
fn configure(store: &ServerStore, version: SslVersion) -> Result<SslAcceptor, Box<dyn Error>> {
    let key = PKey::from_rsa(Rsa::generate(2048)?)?;
    let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
    builder.set_certificate(&*certificate(&key)?)?;
    builder.set_private_key(&key)?;
    builder.set_max_proto_version(Some(version))?;
    store.attach(&mut builder, Context::digest(["www.example.org", "no client certificates"]))?;
    Ok(builder.build())
}

fn certificate(key: &PKeyRef<Private>) -> Result<X509, Box<dyn Error>> {
    let mut builder = X509::builder()?;
    let mut name = X509Name::builder()?;
    name.append_entry_by_text("CN", "localhost")?;
    let name = name.build();
    builder.set_subject_name(&name)?;
    builder.set_issuer_name(&name)?;
    builder.set_not_before(&*Asn1Time::days_from_now(0)?)?;
    builder.set_not_after(&*Asn1Time::days_from_now(1)?)?;
    builder.set_pubkey(key)?;
    builder.sign(key, MessageDigest::sha256())?;
    Ok(builder.build())
}

/// One connection; whether it was resumed.
fn visit(client: &SslContext, server: SocketAddr) -> Result<bool, Box<dyn Error>> {
    let mut ssl = Ssl::new(client)?;
    ClientStore::offer(&mut ssl, "localhost")?; // before the handshake
    let mut tls = SslStream::new(ssl, TcpStream::connect(server)?)?;
    tls.connect()?;
    tls.read_to_end(&mut Vec::new())?; // TLS 1.3 tickets come with the answer
    tls.shutdown()?;
    Ok(tls.ssl().session_reused())
}

/// Two connections before the renewal and one after it; whether each was resumed.
pub(crate) fn run(version: SslVersion) -> Result<Vec<bool>, Box<dyn Error>> {
    let store = ServerStore::new(100_000)?; // sessions
    let acceptors = [configure(&store, version)?, configure(&store, version)?];
    let listener = TcpListener::bind("localhost:0")?;
    let address = listener.local_addr()?;
    let server = std::thread::spawn(move || {
        for acceptor in [&acceptors[0], &acceptors[0], &acceptors[1]] {
            let mut tls = acceptor.accept(listener.accept().unwrap().0).unwrap();
            tls.write_all(b"hello").unwrap();
            tls.shutdown().unwrap();
        }
    });
    let mut client = SslContextBuilder::new(SslMethod::tls_client())?;
    ClientStore::new(1024)?.attach(&mut client, Context::NONE)?;
    let client = client.build();
    let resumed = (0..3).map(|_| visit(&client, address)).collect();
    server.join().map_err(|_| "the server panicked")?;
    resumed
}

fn main() -> Result<(), Box<dyn Error>> {
    for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
        println!("{version:?}: resumed {:?}; the last after a renewal", run(version)?);
    }
    Ok(())
}
