//! Session ids: 1 to 32 bytes, compared in full.

use sessile::{Added, Context, Protocol, Session, SessionCache, SessionId};
use std::collections::{BTreeSet, HashSet};
use testkit::{Rng, assert_whole, id, id_of, store};

#[test]
fn an_id_has_one_to_thirty_two_bytes() {
    for len in [1, 2, 31, 32] {
        let bytes = vec![7; len];
        let id = SessionId::new(&bytes).unwrap();
        assert_eq!((id.len(), id.as_bytes(), id.as_ref()), (len, &bytes[..], &bytes[..]));
        assert_eq!(SessionId::try_from(&bytes[..]), Ok(id));
    }
    for len in [0, 33, 64, 255, 65_536] {
        let refused = SessionId::new(&vec![7; len]).unwrap_err();
        assert_eq!(refused.len(), len);
        assert!(refused.to_string().contains(&len.to_string()));
        assert!(SessionId::try_from(&vec![0; len][..]).is_err());
    }
    assert_eq!(SessionId::from([9; 32]), SessionId::new(&[9; 32]).unwrap());
    assert_eq!(SessionId::MAX_LEN, 32);
}

#[test]
fn ids_that_differ_in_trailing_zeros_are_different() {
    for fill in [0u8, 1, 255] {
        let cache = SessionCache::new(100).unwrap();
        let mut bytes = [0; 32];
        bytes[0] = fill;
        let twins: Vec<SessionId> = (1..=32).map(|len| id_of(&bytes[..len])).collect();
        for (n, twin) in twins.iter().enumerate() {
            assert!(cache.get(twin).is_none());
            assert!(matches!(cache.add(Session::new(*twin, n)), Ok(Added::Inserted)));
        }
        for (n, twin) in twins.iter().enumerate() {
            assert_eq!(*cache.get(twin).unwrap(), n);
        }
        assert!(cache.remove_id(&twins[31]));
        assert!(cache.get(&twins[30]).is_some());
        assert_eq!(twins.iter().collect::<HashSet<_>>().len(), 32);
        assert!(twins.windows(2).all(|pair| pair[0] < pair[1] && pair[0] != pair[1]));
        assert_whole(&cache);
    }
}

#[test]
fn ids_that_differ_in_one_bit_are_different() {
    let cache = SessionCache::new(1000).unwrap();
    let base = [0xA5; 32];
    store(&cache, Session::new(SessionId::from(base), 0));
    for bit in 0..256 {
        let mut bytes = base;
        bytes[bit / 8] ^= 1 << (bit % 8);
        let neighbour = SessionId::from(bytes);
        assert!(cache.get(&neighbour).is_none());
        assert!(matches!(cache.add(Session::new(neighbour, bit + 1)), Ok(Added::Inserted)));
    }
    assert_eq!(cache.len(), 257);
    assert_eq!(*cache.get(&SessionId::from(base)).unwrap(), 0);
}

#[test]
fn ids_with_a_common_prefix_are_spread_like_any_others() {
    // A generator callback may put a shard or a process into the first bytes.
    for (start, end) in [(0, 28), (4, 32)] {
        let cache = SessionCache::new(20_000).unwrap();
        for n in 0..20_000u64 {
            let mut bytes = [3; 32];
            bytes[start..end][..8].copy_from_slice(&n.to_le_bytes());
            store(&cache, Session::new(SessionId::from(bytes), n));
        }
        assert!(cache.len() >= 19_980, "{} of 20000", cache.len());
        assert_whole(&cache);
    }
}

#[test]
fn an_id_orders_and_hashes_like_its_bytes() {
    let mut random = Rng::with_seed(3);
    let ids: Vec<SessionId> = (0..2000)
        .map(|_| {
            let len = 1 + random.u64(..32) as usize;
            let bytes: Vec<u8> = (0..len).map(|_| random.u64(..3) as u8).collect();
            id_of(&bytes)
        })
        .collect();
    let bytes: BTreeSet<&[u8]> = ids.iter().map(SessionId::as_bytes).collect();
    let ordered: BTreeSet<SessionId> = ids.iter().copied().collect();
    assert!(bytes.iter().copied().eq(ordered.iter().map(SessionId::as_bytes)));
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ordered.len());
}

#[test]
fn what_is_shown_of_an_id_is_not_enough_to_use_it() {
    let shown = format!("{:?}", SessionId::from([0xE7; 32]));
    assert!(shown.contains("32"), "{shown}");
    assert_eq!(shown.matches("e7").count(), 4, "{shown}");
    let secret = Context::from_bytes([0xCD; 32]);
    assert!(!format!("{secret:?}").contains("cd"));
    let session =
        Session::<&str>::builder(SessionId::from([0xE7; 32])).context(secret).build("the payload");
    let shown = format!("{session:?}");
    assert!(!shown.contains("the payload") && !shown.contains("cd"), "{shown}");
    assert_eq!(shown.matches("e7").count(), 4, "{shown}");
}

#[test]
fn a_session_keeps_the_key_it_was_built_with() {
    let context = Context::from_bytes([8; 32]);
    for len in [1, 31, 32] {
        let id = id_of(&vec![0; len]);
        let one = Session::<u8>::builder(id).context(context).protocol(Protocol::TLS1_3).build(9);
        assert_eq!((one.id(), one.context(), one.protocol()), (id, context, Protocol::TLS1_3));
        assert_eq!((*one, one.id().len()), (9, len));
    }
    let plain = Session::new(id(1), ());
    assert_eq!((plain.context(), plain.protocol()), (Context::NONE, Protocol::UNSPECIFIED));
}
