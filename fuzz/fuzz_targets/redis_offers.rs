//! First flights, as a peer may send them: what is read of one does not depend on how much of it
//! has arrived, nor on what follows it.
#![forbid(unsafe_code)]
#![no_main]

use libfuzzer_sys::fuzz_target;
use sessile_redis::hello::{Flight, TICKETS_MAX, read};

fuzz_target!(|flight: &[u8]| {
    let whole = read(flight);
    if let Flight::Hello(offer) = &whole {
        assert!(offer.tickets.len() <= TICKETS_MAX);
        assert_eq!(read(&[flight, b"more"].concat()), whole);
    }
    // Each part of a flight is the beginning of one, or says what the whole says.
    let parts = flight.len().min(64);
    for length in (0..parts).map(|part| part * flight.len() / parts) {
        let part = read(&flight[..length]);
        assert!(part == Flight::Partial || part == whole);
    }
});
