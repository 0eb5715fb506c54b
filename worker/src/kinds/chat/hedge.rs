//! The first of one or two calls that has something to show. A second one is asked only where hedging is on, after the
//! time in which the first usually begins, and within the retry budget. The loser is dropped, and with it its connection;
//! its record says that it lost.

use std::pin::pin;

use futures_util::future::{Either, select};
use shared::domain::{Event, RouteSelected};

use super::Attempt;
use super::call::{Call, Failure, Overtaken, Route};
use crate::journal::JournalError;
use crate::routing::candidates::Tried;

impl Attempt<'_> {
    /// Makes the call, and perhaps a second one. What failed is noted; the last failure is the answer.
    pub(super) async fn first_to_show(
        &mut self,
        route: Route,
    ) -> Result<Result<Call, Failure>, JournalError> {
        let (tools, spec, run) = (self.tools, self.spec, self.run);
        let (accounts, beginning) = (self.journal.accounts().clone(), self.beginning.clone());
        let begin = |route, overtaken| {
            let request = super::request(run, spec, beginning.as_deref());
            Call::begin(tools, accounts.clone(), route, request, overtaken)
        };
        let Some(patience) = route.hedge_after else {
            return Ok(begin(route, Overtaken::default()).await);
        };
        let asked = Tried {
            provider: route.provider.name.as_ref().to_owned(),
            model: route.model.name.as_ref().to_owned(),
        };
        let first_lost = Overtaken::default();
        let mut first = pin!(begin(route, first_lost.clone()));
        if let Ok(answer) = tokio::time::timeout(patience, first.as_mut()).await {
            return Ok(answer);
        }
        let Some(route) = self.second(asked)? else {
            return Ok(first.await);
        };
        let second_lost = Overtaken::default();
        let second = pin!(begin(route, second_lost.clone()));
        match select(first, second).await {
            Either::Left((Ok(call), _)) => {
                second_lost.say();
                Ok(Ok(call))
            }
            Either::Right((Ok(call), _)) => {
                first_lost.say();
                Ok(Ok(call))
            }
            Either::Left((Err(failure), other)) => {
                self.note(failure)?;
                Ok(other.await)
            }
            Either::Right((Err(failure), other)) => {
                self.note(failure)?;
                Ok(other.await)
            }
        }
    }

    /// Who is asked beside the first; none when nobody is to be.
    fn second(&mut self, asked: Tried) -> Result<Option<Route>, JournalError> {
        let router = self.tools.roster.router();
        let mut passed = self.tried.clone();
        passed.push(asked);
        let Some(choice) = router.hedge(&self.need, &passed, router.now(), rand::random()) else {
            return Ok(None);
        };
        let Some(member) = self.able(&choice) else {
            return Ok(None);
        };
        let (route, selected) = Route::new(choice, member);
        self.journal.event(Event::RouteSelected(RouteSelected {
            why: format!("the first has not begun to answer; {}", selected.why),
            hedge: true,
            ..selected
        }))?;
        Ok(Some(route))
    }
}
