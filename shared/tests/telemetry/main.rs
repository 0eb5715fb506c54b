//! What a process tells about itself, seen from outside: lines on stderr, datagrams at an agent, requests at Sentry.
//! Logging, measuring and reporting are begun once per process, so each test has a process of its own: this program
//! again, running one of the parts in `told`.

// Tells clippy that helpers, too, are test code.
#![cfg(test)]

mod agent;
mod constant_texts;
mod errors;
mod json;
mod process;
mod statsd;
mod told;
