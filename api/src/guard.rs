//! The guard at the door: how many requests this process takes on per second and at a time. It looks at nothing of a
//! request but its path, and so refuses at the cost of a refusal: before the body is read, a key is compared or the
//! ledger is asked. Fairness between tenants is not its work; the queue's limits are.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use shared::config::PressureLimits;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::problem::{Code, Problem};

/// Health, figures and documentation are there also under pressure.
const GUARDED: &str = "/mcp/";

/// One per process; all clones are one.
#[derive(Clone)]
pub(crate) struct Guard(Arc<Limits>);

struct Limits {
    rate: Option<DefaultDirectRateLimiter>,
    in_flight: Semaphore,
}

impl Guard {
    /// Within these limits.
    pub(crate) fn new(limits: PressureLimits) -> Self {
        Self(Arc::new(Limits {
            rate: limits
                .per_second
                .map(|rate| RateLimiter::direct(Quota::per_second(rate))),
            in_flight: Semaphore::new(limits.in_flight as usize),
        }))
    }

    /// Lets a request in until the permit is dropped.
    fn enter(&self) -> Result<SemaphorePermit<'_>, Problem> {
        let permit = self.0.in_flight.try_acquire().map_err(|_| {
            Problem::new(Code::Overloaded)
                .detail("this server is answering as many requests as it may: try again")
        })?;
        match &self.0.rate {
            Some(rate) if rate.check().is_err() => Err(Problem::new(Code::TooManyRequests)
                .detail("this server takes only so many requests per second: try again, more slowly")),
            _ => Ok(permit),
        }
    }
}

/// Answers a request, or refuses it at the door.
pub(crate) async fn admit(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    if !request.uri().path().starts_with(GUARDED) {
        return next.run(request).await;
    }
    match guard.enter() {
        Ok(_permit) => next.run(request).await,
        Err(problem) => {
            metrics::counter!(shared::telemetry::vocabulary::REFUSED_COUNT, "code" => problem.code().as_str())
                .increment(1);
            problem.into_response()
        }
    }
}
