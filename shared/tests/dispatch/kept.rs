//! What Redis keeps of hints: each once, none for ever, and nothing when nothing is queued. And whom it wakes.

use std::sync::Arc;
use std::time::Duration;

use shared::dispatch::Hint;
use shared::domain::{Class, RequeueReason, RunId, Timestamp};
use shared::ledger::NewRun;
use shared::redis_link::{Listener, Membership};
use tokio::sync::mpsc;

use crate::fixture::{LONG, new_run, requeue};
use crate::redis_server::LASTING;
use crate::stage::Stage;

crate::contract!(redis:
    an_empty_queue_leaves_nothing_behind,
    an_offer_of_what_is_known_changes_nothing,
    an_offer_of_a_later_epoch_takes_the_place_of_earlier_ones,
    a_proposal_that_is_not_concluded_comes_back,
    dropping_a_stale_hint_does_not_drop_a_fresh_one,
    a_delayed_offer_waits_for_its_time,
    what_was_offered_too_early_waits_for_its_time,
    a_tenant_at_its_limit_is_left_alone,
    a_parked_tenant_comes_back_also_when_nobody_says_so,
    room_that_came_while_a_claim_was_refused_is_not_overlooked,
    an_offer_wakes_one_of_many,
    what_is_left_behind_wakes_the_next,
    who_is_gone_is_not_woken_in_place_of_who_listens,
    a_cancel_wakes_every_process,
);

fn ids(hints: &[Hint]) -> Vec<RunId> {
    hints.iter().map(|hint| hint.run).collect()
}

async fn size(s: &Stage<'_>, key: &str) -> usize {
    s.redis_says("ZCARD", key, &[]).await
}

/// How many hints are queued for this tenant, delayed, and set aside.
async fn kept(s: &Stage<'_>, tenant: &str) -> [usize; 3] {
    [
        size(s, &format!("queue:1:{tenant}")).await,
        size(s, "delayed").await,
        size(s, "offered").await,
    ]
}

/// The time of everything in a waiting set has come.
async fn let_time_pass(s: &Stage<'_>, set: &str) {
    let members: Vec<Vec<u8>> = s.redis_says("ZRANGE", set, &[b"0", b"-1"]).await;
    assert!(!members.is_empty(), "nothing waits in {set}");
    for member in members {
        s.redis_says::<()>("ZADD", set, &[b"XX", b"0", &member]).await;
    }
}

async fn an_empty_queue_leaves_nothing_behind(s: &Stage<'_>) {
    let mut runs = Vec::new();
    for tenant in ["acme", "beta", "zeta"] {
        for class in Class::ALL {
            runs.extend((0..7).map(|_| NewRun {
                class,
                ..new_run(tenant)
            }));
        }
    }
    s.submit(&runs).await;
    let delayed: Vec<NewRun> = (0..3).map(|_| new_run("late")).collect();
    s.submit.accept(&delayed).await.unwrap();
    s.offer_in(&delayed, Duration::from_millis(50)).await;
    let cancelled = s.submit(&[new_run("acme")]).await[0];
    s.submit.cancel(cancelled, "client").await.unwrap();
    let mut process = s.process(64).await;
    let mut ended = 0;
    while ended < runs.len() + delayed.len() {
        let hints = process.propose_within(5, Some(2)).await;
        ended += process.claim_within(&hints, Some(2)).await.len();
        process.finish_all().await;
        if hints.is_empty() {
            process.dispatch.propose.ready().await;
        }
    }
    // One that finds nothing also says what was left to say.
    while !process.propose(64).await.is_empty() {}
    let keys = s.line().keys().await;
    assert!(keys.iter().all(|key| LASTING.contains(&key.as_str())), "{keys:?}");
}

async fn an_offer_of_what_is_known_changes_nothing(s: &Stage<'_>) {
    let process = s.process(8).await;
    let run = [new_run("acme")];
    s.submit(&run).await;
    s.offer(&run).await;
    s.offer_in(&run, LONG).await;
    assert_eq!(kept(s, "acme").await, [1, 0, 0]);
    let hints = process.propose(8).await;
    assert_eq!(ids(&hints), [run[0].id]);
    s.offer(&run).await;
    s.offer_in(&run, LONG).await;
    assert_eq!(kept(s, "acme").await, [0, 0, 1]);
    let late = [new_run("beta")];
    s.offer_in(&late, LONG).await;
    s.offer(&late).await;
    assert_eq!(kept(s, "beta").await, [0, 1, 1]);
}

async fn an_offer_of_a_later_epoch_takes_the_place_of_earlier_ones(s: &Stage<'_>) {
    let (worker, held) = s.holder(new_run("acme")).await;
    s.append(
        worker,
        requeue(&held, 2, RequeueReason::Released, Timestamp::from_millis(0)),
    )
    .await;
    let hint = |epoch| Hint {
        run: held.id,
        epoch,
        tenant: held.tenant.clone(),
        class: held.class,
        delay: Duration::ZERO,
    };
    s.api().offer.offer(&[hint(0), hint(2)]).await;
    assert_eq!(kept(s, "acme").await, [1, 0, 0]);
    let mut process = s.process(8).await;
    let hints = process.propose(8).await;
    assert_eq!(hints, [hint(2)]);
    // One that comes late is found out and forgotten.
    s.api().offer.offer(&[hint(0)]).await;
    assert_eq!(process.claim(&hints).await, hints);
    let stale = process.propose(8).await;
    assert_eq!(stale, [hint(0)]);
    assert_eq!(process.claim(&stale).await, []);
    assert_eq!(process.propose(8).await, []);
    assert_eq!(kept(s, "acme").await, [0, 0, 0]);
}

async fn a_proposal_that_is_not_concluded_comes_back(s: &Stage<'_>) {
    let runs = s.submit(&[new_run("acme"), new_run("acme")]).await;
    let gone = s.process(8).await;
    assert_eq!(ids(&gone.propose(8).await), runs);
    drop(gone);
    let_time_pass(s, "offered").await;
    let mut process = s.process(8).await;
    let hints = process.propose(8).await;
    assert_eq!(ids(&hints), runs);
    assert_eq!(process.claim(&hints).await, hints);
}

async fn dropping_a_stale_hint_does_not_drop_a_fresh_one(s: &Stage<'_>) {
    let run = s.submit(&[new_run("acme")]).await[0];
    let mut process = s.process(8).await;
    let stale = process.propose(8).await;
    assert_eq!(ids(&stale), [run]);
    // Somebody else had it in between, and gave it back.
    let worker = s.worker().await;
    let claimed = s.claim(worker, run).await;
    s.append(
        worker,
        requeue(&claimed, 2, RequeueReason::Released, Timestamp::from_millis(0)),
    )
    .await;
    let fresh = Hint {
        epoch: 2,
        ..stale[0].clone()
    };
    s.api().offer.offer(std::slice::from_ref(&fresh)).await;
    process.dispatch.propose.conclude(&stale, &[], None).await;
    assert_eq!(kept(s, "acme").await, [1, 0, 0]);
    let hints = process.propose(8).await;
    assert_eq!(hints, [fresh]);
    assert_eq!(process.claim(&hints).await, hints);
}

async fn a_delayed_offer_waits_for_its_time(s: &Stage<'_>) {
    let mut process = s.process(8).await;
    let run = [new_run("acme")];
    s.submit.accept(&run).await.unwrap();
    s.offer_in(&run, LONG).await;
    assert_eq!(kept(s, "acme").await, [0, 1, 0]);
    let_time_pass(s, "delayed").await;
    let hints = process.propose(8).await;
    assert_eq!(ids(&hints), [run[0].id]);
    assert_eq!(process.claim(&hints).await, hints);
}

async fn what_was_offered_too_early_waits_for_its_time(s: &Stage<'_>) {
    let (worker, held) = s.holder(new_run("acme")).await;
    let later = held.started.at.plus(LONG);
    s.append(worker, requeue(&held, 2, RequeueReason::ProviderFailed, later))
        .await;
    let hint = Hint {
        run: held.id,
        epoch: 2,
        tenant: held.tenant.clone(),
        class: held.class,
        delay: Duration::ZERO,
    };
    s.api().offer.offer(std::slice::from_ref(&hint)).await;
    let mut process = s.process(8).await;
    let hints = process.propose(8).await;
    assert_eq!(hints, [hint]);
    assert_eq!(process.claim(&hints).await, []);
    assert_eq!(kept(s, "acme").await, [0, 1, 0]);
    assert_eq!(process.propose(8).await, []);
}

async fn a_tenant_at_its_limit_is_left_alone(s: &Stage<'_>) {
    let crowd: Vec<NewRun> = (0..1_000).map(|_| new_run("crowd")).collect();
    s.submit(&crowd).await;
    let mut process = s.process(64).await;
    let first = process.propose_within(8, Some(2)).await;
    assert_eq!(process.claim_within(&first, Some(2)).await.len(), 2);
    assert_eq!(size(s, "parked").await, 1);
    assert_eq!(kept(s, "crowd").await, [998, 0, 0]);
    assert_eq!(size(s, "ring:1").await, 0);
    // What is offered meanwhile does not change that.
    s.submit(&[new_run("crowd")]).await;
    assert_eq!(size(s, "ring:1").await, 0);
    process.finish_one().await;
    let next = process.propose_within(8, Some(2)).await;
    assert_eq!(process.claim_within(&next, Some(2)).await.len(), 1);
    assert_eq!(next[0].tenant.as_str(), "crowd");
}

async fn a_parked_tenant_comes_back_also_when_nobody_says_so(s: &Stage<'_>) {
    s.submit(&[new_run("acme"), new_run("acme")]).await;
    let mut process = s.process(8).await;
    let hints = process.propose_within(8, Some(1)).await;
    assert_eq!(process.claim_within(&hints, Some(1)).await.len(), 1);
    assert_eq!(size(s, "parked").await, 1);
    let_time_pass(s, "parked").await;
    assert_eq!(process.propose_within(8, Some(1)).await, hints[1..]);
    assert_eq!(size(s, "parked").await, 0);
}

async fn room_that_came_while_a_claim_was_refused_is_not_overlooked(s: &Stage<'_>) {
    let runs = s.submit(&[new_run("acme"), new_run("acme")]).await;
    let (mut one, other) = (s.process(8).await, s.process(8).await);
    let first = one.propose_within(1, Some(1)).await;
    assert_eq!(one.claim_within(&first, Some(1)).await.len(), 1);
    let refused = other.propose_within(1, Some(1)).await;
    assert_eq!(ids(&refused), runs[1..]);
    // The refusal is on its way when the room comes: the ledger is asked before, Redis is told after.
    let queued = s.backlog.queued(&runs[1..], Some(1)).await.unwrap();
    assert!(queued[0].full);
    one.dispatch.propose.freed(&refused[0].tenant);
    assert_eq!(one.propose_within(1, Some(1)).await, []);
    other.dispatch.propose.conclude(&refused, &[], Some(1)).await;
    assert_eq!(size(s, "parked").await, 0);
    assert_eq!(one.propose_within(1, Some(1)).await, refused);
}

/// Hears which channels something came in on.
struct Recorder(mpsc::Sender<String>);

impl Listener for Recorder {
    fn heard(&self, channel: &[u8], _payload: &[u8]) {
        let channel = String::from_utf8(channel.to_vec()).unwrap();
        self.0.try_send(channel).unwrap();
    }

    fn lost(&self) {}

    fn restored(&self) {}
}

/// Processes that wait, reduced to what Redis sees of them.
struct Idlers {
    heard: mpsc::Receiver<String>,
    end: String,
    _memberships: Vec<Membership>,
}

impl Idlers {
    async fn wait(s: &Stage<'_>, names: &[&str]) -> Self {
        let (tell, heard) = mpsc::channel(64);
        s.link().listen(Arc::new(Recorder(tell)));
        let end = s.link().key("{d0}:end");
        let mut memberships = vec![s.link().join(end.as_str()).await];
        for name in names {
            memberships.push(s.link().join(s.link().key(&format!("{{d0}}:wake:{name}"))).await);
            idle(s, name).await;
        }
        Self {
            heard,
            end,
            _memberships: memberships,
        }
    }

    /// Who was woken so far. Messages come in the order in which they were published.
    async fn woken(&mut self, s: &Stage<'_>) -> Vec<String> {
        s.redis_says::<()>("SPUBLISH", "end", &[b""]).await;
        let mut woken = Vec::new();
        loop {
            let channel = self.heard.recv().await.unwrap();
            if channel == self.end {
                return woken;
            }
            woken.push(channel.rsplit(':').next().unwrap().to_owned());
        }
    }
}

/// Writes a process down as idle, as its proposal would have: now, by the server's clock.
async fn idle(s: &Stage<'_>, name: &str) {
    let (seconds, micros): (u64, u64) = s.link().query(&redis::cmd("TIME")).await.unwrap();
    let now = (seconds * 1_000 + micros / 1_000).to_string();
    s.redis_says::<()>("ZADD", "idle", &[now.as_bytes(), name.as_bytes()])
        .await;
}

async fn an_offer_wakes_one_of_many(s: &Stage<'_>) {
    let mut idlers = Idlers::wait(s, &["a", "b", "c", "d", "e"]).await;
    let run = [new_run("acme")];
    s.submit(&run).await;
    assert_eq!(idlers.woken(s).await.len(), 1);
    assert_eq!(size(s, "idle").await, 4);
    // What is known wakes nobody, and what is not due neither.
    s.offer(&run).await;
    s.offer_in(&[new_run("acme")], LONG).await;
    assert_eq!(idlers.woken(s).await, [""; 0]);
    s.submit(&[new_run("acme"), new_run("beta")]).await;
    assert_eq!(idlers.woken(s).await.len(), 1);
}

async fn what_is_left_behind_wakes_the_next(s: &Stage<'_>) {
    let mut idlers = Idlers::wait(s, &["a", "b", "c", "d", "e"]).await;
    s.submit(&[new_run("acme"), new_run("acme"), new_run("beta")])
        .await;
    assert_eq!(idlers.woken(s).await.len(), 1);
    for woken in [1, 1, 0] {
        // Each is another process, which the one before has woken.
        let process = s.process(1).await;
        assert_eq!(process.propose(1).await.len(), 1);
        assert_eq!(idlers.woken(s).await.len(), woken);
    }
}

async fn who_is_gone_is_not_woken_in_place_of_who_listens(s: &Stage<'_>) {
    for gone in ["x", "y", "z"] {
        idle(s, gone).await;
    }
    let mut idlers = Idlers::wait(s, &["zz"]).await;
    s.submit(&[new_run("acme")]).await;
    assert_eq!(idlers.woken(s).await, ["zz"]);
    assert_eq!(size(s, "idle").await, 0);
}

async fn a_cancel_wakes_every_process(s: &Stage<'_>) {
    let (one, other) = (s.process(1).await, s.process(1).await);
    // Channels are joined with the first proposal.
    one.propose(1).await;
    other.propose(1).await;
    s.api().offer.cancel_requested(RunId::new()).await;
    one.dispatch.propose.cancel_hinted().await;
    other.dispatch.propose.cancel_hinted().await;
}
