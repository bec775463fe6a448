//! Where a session belongs: its full key, and the name under which the tier stores it.
#![forbid(unsafe_code)]

use sessile::{Context, Protocol, Query, Session, SessionId};

/// How often a session may be resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Uses {
    /// By one connection: TLS 1.3 tickets. The tier hands it out by `GETDEL`.
    Once,
    /// By any number: TLS 1.2 sessions, and TLS 1.3 tickets of a reusable store. The tier hands
    /// out copies by `GET`.
    Many,
}

/// The full key of a session in a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) context: Context,
    pub(crate) protocol: Protocol,
    pub(crate) id: SessionId,
}

/// The full key of a session in the tier. The uses are part of it, so that a client which offers
/// the id of a TLS 1.2 session as a TLS 1.3 ticket cannot have it deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TierKey {
    pub(crate) place: Place,
    pub(crate) uses: Uses,
}

impl Place {
    pub(crate) fn of<T>(session: &Session<T>) -> Self {
        Self { context: session.context(), protocol: session.protocol(), id: session.id() }
    }

    pub(crate) fn asked(query: &Query<'_>) -> Self {
        Self { context: *query.context(), protocol: query.protocol(), id: *query.id() }
    }

    pub(crate) fn used(self, uses: Uses) -> TierKey {
        TierKey { place: self, uses }
    }
}

impl TierKey {
    /// The name in the tier: a prefix, a letter for the uses, context, protocol and id.
    pub(crate) fn name(&self, prefix: &[u8]) -> Vec<u8> {
        let letter: &[u8] = match self.uses {
            Uses::Once => b"1",
            Uses::Many => b"n",
        };
        let Place { context, protocol, id } = &self.place;
        [prefix, letter, context.as_bytes(), &protocol.0.to_be_bytes(), id.as_bytes()].concat()
    }

    /// The key that has this name.
    pub(crate) fn named(name: &[u8], prefix: &[u8]) -> Option<Self> {
        let (letter, rest) = name.strip_prefix(prefix)?.split_first()?;
        let uses = match letter {
            b'1' => Uses::Once,
            b'n' => Uses::Many,
            _ => return None,
        };
        let (context, rest) = rest.split_first_chunk::<32>()?;
        let (protocol, id) = rest.split_first_chunk::<2>()?;
        let place = Place {
            context: Context::from_bytes(*context),
            protocol: Protocol(u16::from_be_bytes(*protocol)),
            id: SessionId::new(id).ok()?,
        };
        Some(place.used(uses))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_has_another_name() {
        let place = Place {
            context: Context::NONE,
            protocol: Protocol::TLS1_3,
            id: SessionId::from([1; 32]),
        };
        let others = [
            Place { context: Context::from_bytes([1; 32]), ..place },
            Place { protocol: Protocol::TLS1_2, ..place },
            Place { id: SessionId::new(&[1; 31]).unwrap(), ..place },
        ];
        let name = place.used(Uses::Once).name(b"p:");
        assert!(name.starts_with(b"p:1"));
        assert_eq!(TierKey::named(&name, b"p:"), Some(place.used(Uses::Once)));
        assert_eq!(TierKey::named(&name, b"q:"), None);
        assert_eq!(TierKey::named(&name[..37], b"p:"), None, "no id");
        assert_ne!(name, place.used(Uses::Many).name(b"p:"));
        for other in others {
            assert_ne!(name, other.used(Uses::Once).name(b"p:"));
        }
    }
}
