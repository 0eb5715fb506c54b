//! One call of a provider, from the ticket that allows it to the record of what it was. However it ends - answered,
//! failed, or dropped because nobody waits for it any more - its record is in the run's account afterwards, and its
//! ticket is given back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use serde_json::value::RawValue;
use serde_json::{Map, Value};
use shared::catalog;
use shared::domain::{CallOutcome, FailureCode, OutputDelta, RouteSelected, Timestamp, UsageRecord, Usd};
use tokio::time::Instant;

use super::spending;
use crate::journal::Accounts;
use crate::kinds::Tools;
use crate::providers::{ChatCall, ChatPiece, ChatStream, ProviderError, Usage};
use crate::roster::{Member, Roster};
use crate::routing::plan::Choice;
use crate::routing::ticket::{CallEnd, Ticket};
use crate::routing::verdict::Verdict;

/// Who is to be called, and the right to do so.
pub(super) struct Route {
    pub(super) provider: Arc<catalog::Provider>,
    pub(super) model: Arc<catalog::Model>,
    /// After so long without a first token a second one may be asked.
    pub(super) hedge_after: Option<Duration>,
    ticket: Ticket,
    member: Arc<Member>,
}

impl Route {
    /// The route of a choice, and what the log says of it.
    pub(super) fn new(choice: Choice, member: Arc<Member>) -> (Self, RouteSelected) {
        let Choice {
            provider,
            model,
            ticket,
            hedge_after,
            report,
        } = choice;
        let (why, report) = report.for_log();
        let selected = RouteSelected {
            provider: provider.name.as_ref().to_owned(),
            model: model.name.as_ref().to_owned(),
            why,
            hedge: false,
            report,
        };
        let route = Self {
            provider,
            model,
            hedge_after,
            ticket,
            member,
        };
        (route, selected)
    }
}

/// Says that a call was overtaken by another one, before it is dropped.
#[derive(Clone, Default)]
pub(super) struct Overtaken(Arc<AtomicBool>);

impl Overtaken {
    pub(super) fn say(&self) {
        self.0.store(true, Relaxed);
    }
}

/// A call that failed, its record written.
pub(super) struct Failure {
    pub(super) provider: Arc<str>,
    pub(super) model: Arc<str>,
    pub(super) error: ProviderError,
}

/// A call that was answered to its end, its record written.
pub(super) struct Complete {
    pub(super) provider: Arc<str>,
    pub(super) model: Arc<str>,
    pub(super) finish_reason: String,
    pub(super) metadata: Map<String, Value>,
    pub(super) usage: Option<Usage>,
    pub(super) cost: Option<Usd>,
}

/// A call under way.
pub(super) struct Call {
    provider: Arc<catalog::Provider>,
    model: Arc<catalog::Model>,
    /// None once the call has ended.
    ticket: Option<Ticket>,
    stream: Option<ChatStream>,
    roster: Arc<Roster>,
    accounts: Accounts,
    overtaken: Overtaken,
    number: u32,
    key: Option<u32>,
    began: Instant,
    started_at: Timestamp,
    first_token: Option<Duration>,
    /// What came before there was anything to see, and the first that is.
    held: Vec<OutputDelta>,
    finish_reason: Option<String>,
    usage: Option<Usage>,
}

impl Call {
    /// Makes a call, and returns once it has something to show or is answered to its end.
    pub(super) async fn begin(
        tools: &Tools,
        accounts: Accounts,
        route: Route,
        request: ChatCall<'_>,
        overtaken: Overtaken,
    ) -> Result<Self, Failure> {
        let Route {
            provider,
            model,
            ticket,
            member,
            ..
        } = route;
        let position = ticket.key();
        let mut call = Self {
            number: accounts.next_call(),
            key: (position < member.keys())
                .then(|| u32::try_from(position).ok())
                .flatten(),
            provider,
            model,
            ticket: Some(ticket),
            stream: None,
            roster: Arc::clone(&tools.roster),
            accounts,
            overtaken,
            began: Instant::now(),
            started_at: tools.time.now(),
            first_token: None,
            held: Vec::new(),
            finish_reason: None,
            usage: None,
        };
        match call.open(&member, position, request).await {
            Ok(()) => Ok(call),
            Err(error) => Err(call.failed(error, CallOutcome::Failed)),
        }
    }

    async fn open(
        &mut self,
        member: &Member,
        key: usize,
        request: ChatCall<'_>,
    ) -> Result<(), ProviderError> {
        let model = Arc::clone(&self.model);
        let request = ChatCall {
            model: &model.name,
            model_max_output: model.max_output,
            ..request
        };
        let client = &member.client;
        let stream = match client.keys().nth(key) {
            Some(key) => client.start_with(&request, key).await?,
            None => client.start(&request).await?,
        };
        let router = self.roster.router();
        if let Some(ticket) = &self.ticket {
            ticket.headroom(stream.headroom(), router.now());
        }
        self.stream = Some(stream);
        while let Some(mut delta) = self.next().await? {
            if request.beginning.is_some() {
                // It goes on with an answer whose role was said.
                delta.delta.remove("role");
            }
            let visible = delta.is_visible();
            self.held.push(delta);
            if visible {
                self.first_token = Some(self.began.elapsed());
                if let Some(ticket) = &mut self.ticket {
                    ticket.first_token(self.roster.router().now());
                }
                break;
            }
        }
        Ok(())
    }

    /// What came before there was anything to see, and the first that is; each is handed out once.
    pub(super) fn held(&mut self) -> Vec<OutputDelta> {
        std::mem::take(&mut self.held)
    }

    /// The next piece of the answer; none at its end.
    pub(super) async fn next(&mut self) -> Result<Option<OutputDelta>, ProviderError> {
        let Some(stream) = &mut self.stream else {
            return Ok(None);
        };
        while let Some(piece) = stream.next().await? {
            match piece {
                ChatPiece::Delta {
                    index: 0,
                    mut delta,
                    beside,
                } => {
                    // What stands beside a delta (log probabilities, unknown fields) is kept with it.
                    delta.delta.extend(beside);
                    return Ok(Some(delta));
                }
                // A run has one answer; admission refuses to ask for more.
                ChatPiece::Delta { .. } => {}
                ChatPiece::Finished { reason, .. } => {
                    self.finish_reason.get_or_insert(reason);
                }
                ChatPiece::Usage(report) => self.usage = Some(report),
            }
        }
        Ok(None)
    }

    /// The provider's name.
    pub(super) fn provider(&self) -> &Arc<str> {
        &self.provider.name
    }

    /// The provider's name of the model.
    pub(super) fn model(&self) -> &Arc<str> {
        &self.model.name
    }

    /// It is answered to its end.
    pub(super) fn complete(mut self) -> Complete {
        let cost = self.end(CallOutcome::Succeeded, None, Verdict::Well);
        let metadata = self.stream.as_ref().map(beside_the_answer).unwrap_or_default();
        Complete {
            provider: Arc::clone(&self.provider.name),
            model: Arc::clone(&self.model.name),
            finish_reason: self.finish_reason.take().unwrap_or_default(),
            metadata,
            usage: self.usage.take(),
            cost,
        }
    }

    /// It broke off after something was seen of it.
    pub(super) fn interrupted(self, error: ProviderError) -> Failure {
        self.failed(error, CallOutcome::Interrupted)
    }

    fn failed(mut self, error: ProviderError, outcome: CallOutcome) -> Failure {
        if let Some(ticket) = &self.ticket {
            ticket.headroom(error.headroom(), self.roster.router().now());
        }
        self.end_with_error(outcome, &error);
        Failure {
            provider: Arc::clone(&self.provider.name),
            model: Arc::clone(&self.model.name),
            error,
        }
    }

    fn end_with_error(&mut self, outcome: CallOutcome, error: &ProviderError) {
        let request_id = error.call_id().map(str::to_owned);
        self.end_noting(outcome, Some(error.code()), Verdict::of(error), request_id);
    }

    fn end(&mut self, outcome: CallOutcome, error: Option<FailureCode>, verdict: Verdict) -> Option<Usd> {
        let request_id = self.stream.as_ref().and_then(ChatStream::request_id);
        let request_id = request_id.map(str::to_owned);
        self.end_noting(outcome, error, verdict, request_id)
    }

    /// Gives the ticket back and writes the record, once.
    fn end_noting(
        &mut self,
        outcome: CallOutcome,
        error: Option<FailureCode>,
        verdict: Verdict,
        provider_request_id: Option<String>,
    ) -> Option<Usd> {
        let ticket = self.ticket.take()?;
        if self.usage.is_none() {
            // What it said so far.
            self.usage = self.stream.as_ref().and_then(ChatStream::usage);
        }
        let prices = self.model.prices.as_ref();
        let tokens = spending::tokens(self.usage.as_ref());
        let cost = spending::cost(&tokens, prices.or(self.provider.default_prices.as_ref()));
        let end = CallEnd {
            verdict,
            output_tokens: tokens.output,
            cost: cost.ok(),
        };
        if ticket.end(&end, self.roster.router().now()).is_some() {
            let pair = (Arc::clone(&self.provider.name), Arc::clone(&self.model.name));
            self.roster.learned([pair]);
        }
        self.accounts.ended(UsageRecord {
            call: self.number,
            provider: Arc::clone(&self.provider.name),
            model: Arc::clone(&self.model.name),
            key: self.key,
            outcome,
            error,
            tokens,
            cost,
            estimated: false,
            first_token: self.first_token,
            duration: self.began.elapsed(),
            provider_request_id,
            started_at: self.started_at,
        });
        cost.ok()
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let outcome = if self.overtaken.0.load(Relaxed) {
            CallOutcome::Hedged
        } else {
            CallOutcome::Cancelled
        };
        self.end(outcome, None, Verdict::NoWord);
    }
}

/// What the provider said beside the answer. Each field is JSON that was parsed before, so none is lost here.
fn beside_the_answer(answer: &ChatStream) -> Map<String, Value> {
    let parsed = |field: &RawValue| serde_json::from_str(field.get()).ok();
    let fields = answer.metadata().into_iter();
    fields
        .filter_map(|(name, field)| Some((name, parsed(&field)?)))
        .collect()
}
