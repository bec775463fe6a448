//! The variables that say what is to be done.

use std::env;
use std::ffi::OsString;
use std::str::FromStr;
use std::sync::OnceLock;
use std::time::Duration;

use sessile_openssl::sessile::Policy;

use crate::real;

/// Which contexts are attached by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attach {
    None,
    /// Those of servers that use libssl's own cache.
    Servers,
    /// Of these, those that issue no stateless tickets.
    Stateful,
}

/// What the environment says. What it does not say is as the program has it.
#[derive(Clone, Debug)]
pub(crate) struct Environment {
    pub(crate) attach: Attach,
    pub(crate) capacity: Option<usize>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) deadline: Option<Duration>,
    pub(crate) policy: Policy,
    pub(crate) is_reusable: bool,
    /// Where the statistics go: `1` is standard error, else a file.
    pub(crate) statistics: Option<OsString>,
}

impl Environment {
    /// Of a process without any of the variables.
    fn unset() -> Self {
        Self {
            attach: Attach::None,
            capacity: None,
            timeout: None,
            deadline: None,
            policy: Policy::Lru,
            is_reusable: false,
            statistics: None,
        }
    }

    /// That of the process at its first look.
    pub(crate) fn get() -> &'static Self {
        static READ: OnceLock<Environment> = OnceLock::new();
        READ.get_or_init(Self::read)
    }

    fn read() -> Self {
        if is_privileged() {
            return Self::unset();
        }
        let attach = match text("SESSILE_ATTACH").as_deref() {
            Some("1") => Attach::Servers,
            Some("stateful") => Attach::Stateful,
            None | Some("" | "0") => Attach::None,
            Some(other) => complain("SESSILE_ATTACH", other, Attach::None),
        };
        Self {
            attach: if real::is_one_libssl() { attach } else { Attach::None },
            capacity: number("SESSILE_CAPACITY"),
            timeout: number("SESSILE_TIMEOUT").map(Duration::from_secs),
            deadline: number("SESSILE_DEADLINE").map(Duration::from_secs),
            policy: match text("SESSILE_POLICY").as_deref() {
                None | Some("" | "lru") => Policy::Lru,
                Some("fifo") => Policy::Fifo,
                Some("soonest-expiry") => Policy::SoonestExpiry,
                Some(other) => complain("SESSILE_POLICY", other, Policy::Lru),
            },
            is_reusable: number("SESSILE_REUSABLE").unwrap_or(0_u8) != 0,
            statistics: env::var_os("SESSILE_STATS").filter(|place| !place.is_empty()),
        }
    }
}

/// Whether the process has rights that whoever started it has not: then the environment is that of
/// somebody else, and says nothing.
fn is_privileged() -> bool {
    // SAFETY: a look at what the kernel has handed over.
    cfg!(target_os = "linux") && unsafe { libc::getauxval(libc::AT_SECURE) } != 0
}

fn text(name: &str) -> Option<String> {
    env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

fn number<N: FromStr>(name: &str) -> Option<N> {
    let value = text(name).filter(|value| !value.is_empty())?;
    value.parse().map(Some).unwrap_or_else(|_| complain(name, &value, None))
}

fn complain<T>(name: &str, value: &str, instead: T) -> T {
    eprintln!("sessile: {name}={value:?} says nothing and is ignored");
    instead
}
