use sessile::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
struct D(Arc<AtomicUsize>);
impl Drop for D {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}
fn id(n: u64) -> SessionId {
    let mut b = [0u8; 32];
    b[..8].copy_from_slice(&n.wrapping_mul(0x9E3779B97F4A7C15).to_le_bytes());
    b[8..16].copy_from_slice(&n.to_le_bytes());
    SessionId::from(b)
}
#[test]
fn basic() {
    let c = SessionCache::new(5).unwrap();
    for i in 0..10 {
        assert!(c.add(Session::new(id(i), i)).changed());
    }
    let mut v: Vec<u64> = c.iter().map(|s| *s).collect();
    v.sort();
    assert_eq!(v, [5, 6, 7, 8, 9]);
    assert_eq!(c.len(), 5);
    for cap in [1usize, 2, 13, 14, 15, 16, 17, 100, 1000, 4095, 4096, 4097, 20480] {
        let c = SessionCache::new(cap).unwrap();
        for i in 0..cap as u64 {
            assert!(matches!(c.add(Session::new(id(i), i)), Added::Inserted));
        }
        let held = (0..cap as u64).filter(|&i| c.get(&id(i)).is_some()).count();
        println!("cap {cap} held {held} len {}", c.len());
        assert!(held as f64 >= 0.999 * cap as f64);
        for i in 0..3 * cap as u64 {
            assert!(c.add(Session::new(id(i + 1_000_000), i)).changed());
            assert!(c.len() <= cap);
            assert_eq!(*c.get(&id(i + 1_000_000)).unwrap(), i);
        }
        println!("  after churn {}", c.len());
    }
}
#[test]
fn threads() {
    for cap in [1usize, 3, 14, 50, 1000] {
        let made = Arc::new(AtomicUsize::new(0));
        let freed = Arc::new(AtomicUsize::new(0));
        {
            let c = Arc::new(SessionCache::new(cap).unwrap());
            let hs: Vec<_> = (0..4u64)
                .map(|t| {
                    let c = c.clone();
                    let made = made.clone();
                    let freed = freed.clone();
                    std::thread::spawn(move || {
                        let mut x = t + 1;
                        for i in 0..200_000u64 {
                            x ^= x << 13;
                            x ^= x >> 7;
                            x ^= x << 17;
                            let k = id(x % (2 * cap as u64 + 2));
                            match x >> 60 {
                                0..=5 => {
                                    made.fetch_add(1, Ordering::Relaxed);
                                    let _ = c.add(Session::new(k, D(freed.clone())));
                                }
                                6..=9 => {
                                    let _ = c.get(&k);
                                }
                                10..=12 => {
                                    let _ = c.take(&k);
                                }
                                13 => {
                                    c.remove_id(&k);
                                }
                                14 => {
                                    if let Some(s) = c.get(&k) {
                                        assert!(s.id() == k);
                                        let _ = c.remove(&s);
                                    }
                                }
                                _ => {
                                    c.read(&k, |s| s.id());
                                }
                            }
                            if i % 1000 == 0 {
                                assert!(c.len() <= c.capacity());
                            }
                            if cap == 50 && i % 5000 == 0 {
                                let _ = c.set_capacity(if x & 16 == 0 { 50 } else { 300 });
                            }
                        }
                    })
                })
                .collect();
            for h in hs {
                h.join().unwrap();
            }
            let s = c.stats();
            println!("{s:?}");
            assert_eq!(s.added - (s.removed + s.taken + s.evicted + s.expired + s.flushed), s.number);
            assert_eq!(c.snapshot().len() as u64, s.number);
            let mut ids: Vec<_> = c.iter().map(|s| s.id()).collect();
            let n = ids.len();
            ids.sort();
            ids.dedup();
            assert_eq!(n, ids.len());
            c.collect();
            c.collect();
            assert_eq!(c.stats().garbage.sessions, 0);
            assert_eq!(made.load(Ordering::Relaxed) - freed.load(Ordering::Relaxed), c.len());
        }
        assert_eq!(made.load(Ordering::Relaxed), freed.load(Ordering::Relaxed));
    }
}
#[test]
fn unbounded() {
    let c = SessionCache::new(Capacity::Unbounded).unwrap();
    for i in 0..200_000 {
        assert!(matches!(c.add(Session::new(id(i), i)), Added::Inserted), "{i}");
    }
    assert_eq!(c.len(), 200_000);
    assert_eq!((0..200_000).filter(|&i| c.get(&id(i)).is_some()).count(), 200_000);
    let t = std::time::Instant::now();
    c.set_capacity(1000).unwrap();
    println!("{:?}", t.elapsed());
    assert_eq!(c.len(), 1000);
    assert_eq!((0..200_000).filter(|&i| c.get(&id(i)).is_some()).count(), 1000);
    c.set_capacity(7).unwrap();
    assert_eq!(c.len(), 7);
}
