//! Programs that know nothing of Sessile, with the library preloaded.

mod compiler;
mod daemons;
mod environment;
mod example;
mod process;
mod python;
mod s_server;
mod written;
