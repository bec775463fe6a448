//! The connection to the server: pipelines with an answer for each command, and when it is down.
//!
//! `ConnectionManager` of the `redis` crate connects again in the background. It sends no command
//! twice, so a command whose answer is lost was received or not.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, Pipeline, RedisError, RedisResult, Value};

/// The server refuses lifetimes beyond what it can count.
const LONGEST_SECONDS: u64 = 10 * 365 * 24 * 60 * 60;

/// One command that changes the tier.
pub(crate) enum Command {
    Set { name: Vec<u8>, value: Vec<u8>, seconds: u64 },
    Delete(Vec<Vec<u8>>),
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

#[derive(Clone)]
pub(crate) struct Link {
    manager: ConnectionManager,
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
    /// told of each change. Must be called within a runtime.
    pub(crate) fn new(
        client: Client,
        response: Duration,
        backoff: (Duration, Duration),
        flag: impl Fn(bool) + Send + Sync + 'static,
    ) -> Result<Self, RedisError> {
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(response))
            .set_response_timeout(Some(response))
            .set_number_of_retries(0);
        let manager = ConnectionManager::new_lazy_with_config(client, config)?;
        let (flag, is_up) = (Box::new(flag), AtomicBool::new(false));
        Ok(Self { manager, state: Arc::new(State { flag, is_up, response, backoff }) })
    }

    /// Returns when the server answers, at once if it did the last time, or when it is not wanted
    /// any more.
    pub(crate) async fn until_up(&mut self, is_wanted: impl Fn() -> bool) {
        let (mut pause, longest) = self.state.backoff;
        while !self.state.is_up.load(Ordering::Relaxed) && is_wanted() {
            let mut ping = redis::pipe();
            ping.cmd("PING");
            if self.query(ping.ignore_errors()).await.is_some() {
                self.state.set_up(true);
                return;
            }
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(2).min(longest);
        }
    }

    /// Sends commands in one pipeline. One answer for each.
    pub(crate) async fn send(&mut self, commands: &[Command]) -> Vec<Answer> {
        let mut pipeline = redis::pipe();
        for command in commands {
            match command {
                Command::Set { name, value, seconds } => {
                    let seconds = (*seconds).min(LONGEST_SECONDS);
                    pipeline.cmd("SET").arg(name).arg(value).arg("EX").arg(seconds)
                }
                Command::Delete(names) => pipeline.cmd("DEL").arg(names),
            };
        }
        let answer = |result: &RedisResult<Value>| match result {
            Ok(_) => Answer::Done,
            Err(_) => Answer::Refused,
        };
        match self.answers(&mut pipeline, commands.len()).await {
            Some(results) => results.iter().map(answer).collect(),
            None => vec![Answer::Unknown; commands.len()],
        }
    }

    /// Asks for values in one pipeline: `None` if the link broke, and for each name `Some(None)` if
    /// the server refused to say.
    pub(crate) async fn fetch(
        &mut self,
        names: &[(Ask, Vec<u8>)],
    ) -> Option<Vec<Option<Option<Vec<u8>>>>> {
        let mut pipeline = redis::pipe();
        for (ask, name) in names {
            let command = match ask {
                Ask::Copy => "GET",
                Ask::Remove => "GETDEL",
            };
            pipeline.cmd(command).arg(name);
        }
        let results = self.answers(&mut pipeline, names.len()).await?;
        let value = |result| match result {
            Ok(Value::BulkString(bytes)) => Some(Some(bytes)),
            Ok(Value::Nil) => Some(None),
            _ => None,
        };
        Some(results.into_iter().map(value).collect())
    }

    /// The answers of a server that is up; it is down if there are none.
    async fn answers(
        &mut self,
        pipeline: &mut Pipeline,
        length: usize,
    ) -> Option<Vec<RedisResult<Value>>> {
        let answers =
            self.query(pipeline.ignore_errors()).await.filter(|answers| answers.len() == length);
        if answers.is_none() {
            self.state.set_up(false);
        }
        answers
    }

    async fn query(&mut self, pipeline: &Pipeline) -> Option<Vec<RedisResult<Value>>> {
        // The manager's own limit does not cover the time for which it connects.
        let limit = self.state.response.saturating_mul(2);
        tokio::time::timeout(limit, pipeline.query_async(&mut self.manager)).await.ok()?.ok()
    }
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
