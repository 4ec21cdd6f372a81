//! Each row of the table of states, and the machine against a model of a server.

mod beside;
mod model;
mod pauses;
mod restarts;
mod rows;
mod spread;
mod tokens;
