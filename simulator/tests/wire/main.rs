//! The simulator as a client sees it: every option and every fault, over real sockets.

#[cfg(test)]
mod answers;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod observation;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod support;
