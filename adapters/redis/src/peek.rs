//! Reads a ClientHello without taking it from its socket.
#![forbid(unsafe_code)]

use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::hello::{Flight, HELLO_MAX, Offer, read};

/// Enough for a ClientHello with a post-quantum key share, and for its records.
const FIRST_LOOK: usize = 4096;
/// Heads of records beside the longest ClientHello, in records of a kilobyte.
const LOOK_MAX: usize = HELLO_MAX + 64 * 5;
const PAUSE: Duration = Duration::from_millis(2);

/// Reads what the client of a connection offers to resume, and leaves every byte for the handshake.
///
/// `None` if the first flight is no ClientHello, is longer than [`HELLO_MAX`], the client closed
/// the connection, or `budget` has passed. A flight that arrives in parts is looked at again every
/// two milliseconds.
///
/// # Panics
/// Outside of a tokio runtime with its timer enabled.
pub async fn peek_offer(stream: &TcpStream, budget: Duration) -> Option<Offer> {
    timeout(budget, peek(stream)).await.ok()?
}

async fn peek(stream: &TcpStream) -> Option<Offer> {
    let mut buffer = vec![0; FIRST_LOOK];
    let mut before = 0;
    loop {
        let length = stream.peek(&mut buffer).await.ok().filter(|length| *length > 0)?;
        match read(&buffer[..length]) {
            Flight::Hello(offer) => return Some(offer),
            Flight::Other => return None,
            Flight::Partial if length == buffer.len() && length >= LOOK_MAX => return None,
            Flight::Partial if length == buffer.len() => {
                buffer.resize((length * 4).min(LOOK_MAX), 0);
            }
            // More does not wake up a socket that can be read already.
            Flight::Partial => sleep(PAUSE).await,
        }
        if length < before {
            return None;
        }
        before = length;
    }
}
