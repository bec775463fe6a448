//! Programs that know nothing of Sessile, with the library preloaded.

mod compiler;
mod daemons;
mod environment;
mod example;
mod others;
mod process;
mod python;
mod s_server;
mod written;
