//! Being woken instead of asking over and over. That an offer is heard at all is every backend's contract (see
//! `proposing`); that it is heard at once, and never lost on the way, is what dispatch inside one process adds.

use std::pin::pin;
use std::task::Poll;

use futures_util::poll;
use shared::domain::RunId;

use crate::stage::Stage;

crate::contract!(ledger:
    an_offer_wakes_at_once_inside_one_process,
    an_offer_is_kept_for_who_does_not_wait_yet,
    an_offer_is_not_lost_with_who_stopped_waiting,
    cancels_wake_at_once_inside_one_process,
);

async fn an_offer_wakes_at_once_inside_one_process(s: &Stage<'_>) {
    let dispatch = s.dispatch();
    let mut waiting = pin!(dispatch.propose.ready());
    assert_eq!(poll!(&mut waiting), Poll::Pending);
    dispatch.offer.offer(&[]).await;
    assert_eq!(poll!(&mut waiting), Poll::Ready(()));
    // One offer, one wake-up.
    assert_eq!(poll!(pin!(dispatch.propose.ready())), Poll::Pending);
}

async fn an_offer_is_kept_for_who_does_not_wait_yet(s: &Stage<'_>) {
    let dispatch = s.dispatch();
    dispatch.offer.offer(&[]).await;
    assert_eq!(poll!(pin!(dispatch.propose.ready())), Poll::Ready(()));
}

async fn an_offer_is_not_lost_with_who_stopped_waiting(s: &Stage<'_>) {
    let dispatch = s.dispatch();
    {
        let mut waiting = pin!(dispatch.propose.ready());
        assert_eq!(poll!(&mut waiting), Poll::Pending);
        dispatch.offer.offer(&[]).await;
    }
    assert_eq!(poll!(pin!(dispatch.propose.ready())), Poll::Ready(()));
}

async fn cancels_wake_at_once_inside_one_process(s: &Stage<'_>) {
    let dispatch = s.dispatch();
    let mut waiting = pin!(dispatch.propose.cancel_hinted());
    assert_eq!(poll!(&mut waiting), Poll::Pending);
    dispatch.offer.offer(&[]).await;
    assert_eq!(poll!(&mut waiting), Poll::Pending, "an offer is no cancel");
    dispatch.offer.cancel_requested(RunId::new()).await;
    assert_eq!(poll!(&mut waiting), Poll::Ready(()));
}
