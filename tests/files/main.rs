//! Files on disk: the write protocol, mounts, kills, a hostile user, and all files of one secret.

mod filesystems;
mod foreign_generations;
mod generations;
mod kill;
mod mounts;
mod ownership;
mod protocol;
mod races;
mod sink;
#[path = "../support/mod.rs"]
mod support;

use support::{placement, races as hostile, specs};
