//! Programs that know nothing of Sessile, with the library preloaded.

mod callbacks;
mod daemons;
mod example;
mod process;
mod python;
mod s_server;
