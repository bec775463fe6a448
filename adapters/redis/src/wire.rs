//! How commands reach the server, and an answer for each: one server, or a cluster.
//!
//! Nothing is sent twice, so a command whose answer is lost was received or not. What a cluster's
//! node redirects was not carried out, and is sent again.
#![forbid(unsafe_code)]

use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, Cmd, RedisError, Value};

/// What became of a command.
#[derive(Debug)]
pub(crate) enum Reply {
    Value(Value),
    /// The server did not do it.
    Refused,
    /// It may have been done.
    Lost,
}

#[derive(Clone)]
pub(crate) enum Wire {
    Single(ConnectionManager),
    #[cfg(feature = "cluster")]
    Cluster(cluster::Cluster),
}

impl Wire {
    /// `ConnectionManager` of the `redis` crate connects again in the background. Must be called
    /// within a runtime.
    pub(crate) fn single(client: Client, response: Duration) -> Result<Self, RedisError> {
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(response))
            .set_response_timeout(Some(response))
            .set_number_of_retries(0);
        Ok(Self::Single(ConnectionManager::new_lazy_with_config(client, config)?))
    }

    /// Whether anything answers.
    pub(crate) async fn is_answered(&mut self) -> bool {
        let (probe, attempts) = match self {
            Self::Single(_) => (redis::cmd("PING"), 1),
            // Each goes to a node at random. A ping would go to all, and fail if one is missing.
            #[cfg(feature = "cluster")]
            Self::Cluster(_) => (redis::cmd("CLUSTER").arg("KEYSLOT").arg("any").take(), 3),
        };
        for _ in 0..attempts {
            if let [Reply::Value(_)] = self.send(vec![probe.clone()]).await.as_slice() {
                return true;
            }
        }
        false
    }

    /// Whether other commands may be answered although one was not.
    pub(crate) fn has_several_servers(&self) -> bool {
        match self {
            Self::Single(_) => false,
            #[cfg(feature = "cluster")]
            Self::Cluster(_) => true,
        }
    }

    /// Sends commands, all at once. A reply for each.
    pub(crate) async fn send(&mut self, commands: Vec<Cmd>) -> Vec<Reply> {
        match self {
            Self::Single(manager) => pipelined(manager, commands).await,
            #[cfg(feature = "cluster")]
            Self::Cluster(cluster) => cluster.send(commands).await,
        }
    }
}

async fn pipelined(manager: &mut ConnectionManager, commands: Vec<Cmd>) -> Vec<Reply> {
    let length = commands.len();
    let mut pipeline = redis::pipe();
    for command in commands {
        pipeline.add_command(command);
    }
    let results = pipeline.ignore_errors().query_async::<Vec<_>>(manager).await;
    let reply = |result: Result<Value, RedisError>| result.map_or(Reply::Refused, Reply::Value);
    match results {
        Ok(results) if results.len() == length => results.into_iter().map(reply).collect(),
        _ => std::iter::repeat_with(|| Reply::Lost).take(length).collect(),
    }
}

#[cfg(feature = "cluster")]
pub(crate) mod cluster {
    //! Commands of one batch go to several nodes of a cluster, each by itself.

    use std::sync::Arc;
    use std::time::Duration;

    use redis::cluster::ClusterClient;
    use redis::cluster_async::ClusterConnection;
    use redis::{Cmd, RedisError, Value};
    use tokio::sync::Mutex;
    use tokio::task::JoinSet;

    use super::Reply;

    /// Attempts at a command that nodes redirect, and the pause between them, in which the
    /// connection learns who has what.
    const ATTEMPTS: usize = 5;
    const PAUSE: Duration = Duration::from_millis(5);

    #[derive(Clone)]
    pub(crate) struct Cluster {
        client: Arc<ClusterClient>,
        /// `None` until a node was reached.
        connection: Arc<Mutex<Option<ClusterConnection>>>,
    }

    impl Cluster {
        pub(crate) fn new(addresses: &[String], response: Duration) -> Result<Self, RedisError> {
            let addresses = addresses.iter().map(String::as_str);
            let client = ClusterClient::builder(addresses)
                .connection_timeout(response)
                .response_timeout(response)
                // The client would repeat a command whose answer was lost.
                .retries(0)
                .build()?;
            Ok(Self { client: Arc::new(client), connection: Arc::default() })
        }

        pub(crate) async fn send(&mut self, commands: Vec<Cmd>) -> Vec<Reply> {
            let mut replies: Vec<_> =
                std::iter::repeat_with(|| Reply::Lost).take(commands.len()).collect();
            let Ok(connection) = self.connection().await else { return replies };
            let mut tasks = JoinSet::new();
            for (place, command) in commands.into_iter().enumerate() {
                let connection = connection.clone();
                tasks.spawn(async move { (place, attempt(connection, command).await) });
            }
            while let Some(done) = tasks.join_next().await {
                if let Ok((place, reply)) = done {
                    replies[place] = reply;
                }
            }
            replies
        }

        async fn connection(&self) -> Result<ClusterConnection, RedisError> {
            let mut connection = self.connection.lock().await;
            if let Some(connection) = &*connection {
                return Ok(connection.clone());
            }
            Ok(connection.insert(self.client.get_async_connection().await?).clone())
        }
    }

    async fn attempt(mut connection: ClusterConnection, command: Cmd) -> Reply {
        for _ in 0..ATTEMPTS {
            match command.query_async::<Value>(&mut connection).await {
                Ok(value) => return Reply::Value(value),
                Err(error) if error.is_cluster_error() => tokio::time::sleep(PAUSE).await,
                // A code is the server's own word.
                Err(error) if error.code().is_some() => return Reply::Refused,
                Err(_) => return Reply::Lost,
            }
        }
        Reply::Refused
    }
}
