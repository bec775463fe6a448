//! What is asked of the server, and when it is down.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::{Cmd, Value};

use crate::wire::{Reply, Wire};

/// The server refuses lifetimes beyond what it can count.
const LONGEST_SECONDS: u64 = 10 * 365 * 24 * 60 * 60;

/// One command that changes the tier.
pub(crate) enum Command {
    Set {
        name: Vec<u8>,
        value: Vec<u8>,
        seconds: u64,
    },
    Delete(Vec<Vec<u8>>),
    /// Tells all who listen.
    Publish {
        channel: Vec<u8>,
        message: Vec<u8>,
    },
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Answer {
    Done,
    /// The server did not do it.
    Refused,
    /// It may have been done.
    Unknown,
}

/// One way of asking for a value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ask {
    Copy,
    Remove,
}

/// What came of asking for one value.
#[derive(Debug)]
pub(crate) enum Fetched {
    Found(Vec<u8>),
    Missing,
    /// The server does not say.
    Refused,
    /// The question or its answer was lost.
    Lost,
}

#[derive(Clone)]
pub(crate) struct Link {
    wire: Wire,
    state: Arc<State>,
}

struct State {
    flag: Box<dyn Fn(bool) + Send + Sync>,
    is_up: AtomicBool,
    response: Duration,
    backoff: (Duration, Duration),
}

impl Link {
    /// A link that is down until [`until_up`](Self::until_up) has reached the server. `flag` is
    /// told of each change.
    pub(crate) fn new(
        wire: Wire,
        response: Duration,
        backoff: (Duration, Duration),
        flag: impl Fn(bool) + Send + Sync + 'static,
    ) -> Self {
        let (flag, is_up) = (Box::new(flag), AtomicBool::new(false));
        Self { wire, state: Arc::new(State { flag, is_up, response, backoff }) }
    }

    /// Returns when the server answers, at once if it did the last time, or when it is not wanted
    /// any more.
    pub(crate) async fn until_up(&mut self, is_wanted: impl Fn() -> bool) {
        let (mut pause, longest) = self.state.backoff;
        while !self.state.is_up.load(Ordering::Relaxed) && is_wanted() {
            if self.is_answered().await {
                self.state.set_up(true);
                return;
            }
            tokio::time::sleep(jittered(pause)).await;
            pause = pause.saturating_mul(2).min(longest);
        }
    }

    /// Sends commands. One answer for each.
    pub(crate) async fn send(&mut self, commands: &[Command]) -> Vec<Answer> {
        let parts: Vec<Vec<Cmd>> = commands.iter().map(Command::parts).collect();
        let counts: Vec<usize> = parts.iter().map(Vec::len).collect();
        let mut replies = self.query(parts.concat()).await.into_iter().map(|reply| match reply {
            Reply::Value(_) => Answer::Done,
            Reply::Refused => Answer::Refused,
            Reply::Lost => Answer::Unknown,
        });
        let worst = |count| replies.by_ref().take(count).max().unwrap_or(Answer::Done);
        counts.into_iter().map(worst).collect()
    }

    /// Asks for values. For each name: the value, or that there is none.
    pub(crate) async fn fetch(&mut self, names: &[(Ask, Vec<u8>)]) -> Vec<Fetched> {
        let command = |(ask, name): &(Ask, Vec<u8>)| {
            let command = match ask {
                Ask::Copy => "GET",
                Ask::Remove => "GETDEL",
            };
            redis::cmd(command).arg(name).take()
        };
        let replies = self.query(names.iter().map(command).collect()).await;
        let fetched = |reply| match reply {
            Reply::Value(Value::BulkString(bytes)) => Fetched::Found(bytes),
            Reply::Value(Value::Nil) => Fetched::Missing,
            Reply::Value(_) | Reply::Refused => Fetched::Refused,
            Reply::Lost => Fetched::Lost,
        };
        replies.into_iter().map(fetched).collect()
    }

    /// The server is down if it answers nothing.
    async fn query(&mut self, commands: Vec<Cmd>) -> Vec<Reply> {
        let (length, limit) = (commands.len(), self.limit());
        let replies = tokio::time::timeout(limit, self.wire.send(commands)).await;
        let replies = replies
            .unwrap_or_else(|_| std::iter::repeat_with(|| Reply::Lost).take(length).collect());
        let is_lost = replies.iter().all(|reply| matches!(reply, Reply::Lost));
        if is_lost && !(self.wire.has_several_servers() && self.is_answered().await) {
            self.state.set_up(false);
        }
        replies
    }

    async fn is_answered(&mut self) -> bool {
        let limit = self.limit();
        tokio::time::timeout(limit, self.wire.is_answered()).await == Ok(true)
    }

    /// The wire's own limit does not cover the time for which it connects.
    fn limit(&self) -> Duration {
        self.state.response.saturating_mul(2)
    }
}

impl Command {
    /// What it sets.
    pub(crate) fn value(&self) -> &[u8] {
        match self {
            Self::Set { value, .. } => value,
            Self::Delete(_) | Self::Publish { .. } => &[],
        }
    }

    /// What is sent. Names of a cluster lie on several nodes, so each has a command of its own.
    fn parts(&self) -> Vec<Cmd> {
        match self {
            Self::Set { name, value, seconds } => {
                let seconds = (*seconds).min(LONGEST_SECONDS);
                vec![redis::cmd("SET").arg(name).arg(value).arg("EX").arg(seconds).take()]
            }
            Self::Delete(names) => {
                names.iter().map(|name| redis::cmd("DEL").arg(name).take()).collect()
            }
            Self::Publish { channel, message } => {
                vec![redis::cmd("PUBLISH").arg(channel).arg(message).take()]
            }
        }
    }
}

/// Between half of a pause and the whole: nodes that lost a server together do not come back
/// together, and none keeps step with a server that comes and goes.
pub(crate) fn jittered(pause: Duration) -> Duration {
    // Without random numbers there is no jitter.
    let part = getrandom::u32().map_or(1.0, |random| f64::from(random) / f64::from(u32::MAX));
    pause.mul_f64(0.5 + 0.5 * part)
}

impl State {
    fn set_up(&self, is_up: bool) {
        // ORDERING: Relaxed: a hint, here and in `until_up`: what is sent to a server that is down
        // is answered with an error.
        if self.is_up.swap(is_up, Ordering::Relaxed) != is_up {
            (self.flag)(is_up);
        }
    }
}
