//! Pacing by example, and the promise that no minute sees more than the limit.

use std::collections::VecDeque;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn at(millis: u64) -> Moment {
    Moment::from_nanos(millis * 1_000_000 + 1)
}

fn pacing(limits: Limits, keys: usize) -> Arc<Pacing> {
    Arc::new(Pacing::new(limits, keys, NonZeroU32::MIN))
}

const NONE: Limits = Limits {
    rpm: None,
    tpm: None,
    concurrency: None,
};

#[test]
fn retry_after_closes_the_key_until_then() {
    let pacing = pacing(NONE, 1);
    let call = pacing.try_admit(1, at(0)).unwrap();
    let retry_after = Some(Duration::from_secs(7));
    call.end(Verdict::Paced { retry_after }, at(0));
    assert_eq!(pacing.held(at(6_999)), Some(Held::RateLimited(at(7_000))));
    assert_eq!(
        pacing.try_admit(1, at(6_999)).unwrap_err(),
        Held::RateLimited(at(7_000))
    );
    assert_eq!(pacing.held(at(7_000)), None);
    assert!(pacing.try_admit(1, at(7_000)).is_ok());
}

#[test]
fn refusals_without_a_time_pause_longer_each_and_a_success_forgets_them() {
    let pacing = pacing(NONE, 1);
    let refuse = |now| {
        let call = pacing.try_admit(1, now).unwrap();
        call.end(Verdict::Paced { retry_after: None }, now);
        let Some(Held::RateLimited(until)) = pacing.held(now) else {
            panic!("not held back");
        };
        until.since(now)
    };
    assert_eq!(refuse(at(0)), Duration::from_secs(1));
    assert_eq!(refuse(at(1_000)), Duration::from_secs(2));
    assert_eq!(refuse(at(3_000)), Duration::from_secs(4));
    pacing
        .try_admit(1, at(9_000))
        .unwrap()
        .end(Verdict::Well, at(9_000));
    assert_eq!(refuse(at(9_000)), Duration::from_secs(1));
}

#[test]
fn keys_take_turns_and_one_that_is_closed_is_left_out() {
    let pacing = pacing(NONE, 3);
    let keys: Vec<usize> = (0..6)
        .map(|_| pacing.try_admit(1, at(0)).unwrap().key())
        .collect();
    assert_eq!(keys, [0, 1, 2, 0, 1, 2]);
    let refused = pacing.try_admit(1, at(0)).unwrap();
    assert_eq!(refused.key(), 0);
    refused.end(Verdict::KeyRefused, at(0));
    for _ in 0..6 {
        assert_ne!(pacing.try_admit(1, at(30_000)).unwrap().key(), 0);
    }
    assert_eq!(pacing.held(at(30_000)), None);
    let keys: Vec<usize> = (0..3)
        .map(|_| pacing.try_admit(1, at(61_000)).unwrap().key())
        .collect();
    assert!(keys.contains(&0));
}

#[test]
fn illness_and_mistakes_of_the_request_change_no_pace() {
    let pacing = pacing(NONE, 1);
    for verdict in [Verdict::Ill, Verdict::NoWord] {
        pacing.try_admit(1, at(0)).unwrap().end(verdict, at(0));
        assert_eq!(pacing.held(at(0)), None);
    }
}

#[test]
fn a_prompt_larger_than_the_bucket_goes_and_is_paid_for() {
    let limits = Limits {
        tpm: Some(6_000),
        ..NONE
    };
    let pacing = pacing(limits, 1);
    drop(pacing.try_admit(12_000, at(0)).unwrap());
    // 3,000 fit the bucket; 9,000 more are a minute and a half.
    assert_eq!(pacing.held(at(89_000)), Some(Held::RateLimited(at(90_000))));
    assert!(pacing.try_admit(10, at(90_000)).is_ok());
}

#[test]
fn a_fleet_shares_the_limits() {
    let limits = Limits {
        rpm: Some(40),
        tpm: None,
        concurrency: Some(9),
    };
    let pacing = Arc::new(Pacing::new(limits, 1, NonZeroU32::new(4).unwrap()));
    let admitted: Vec<_> = std::iter::from_fn(|| pacing.try_admit(1, at(0)).ok()).collect();
    assert_eq!(admitted.len(), 1, "a tenth of ten at once");
    drop(admitted);
    let two: Vec<_> = [at(30_000), at(60_000)]
        .into_iter()
        .filter_map(|now| pacing.try_admit(1, now).ok())
        .collect();
    assert_eq!(two.len(), 2);
    assert_eq!(pacing.try_admit(1, at(90_000)).unwrap_err(), Held::Concurrency);
    assert_eq!(pacing.held(at(90_000)), Some(Held::Concurrency));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever comes when: in no minute more goes out than the limit says; and over a long time most of it does.
    #[test]
    fn no_minute_sees_more_than_the_limit(
        rpm in 1_u32..120,
        tpm in 1_000_u64..50_000,
        calls in vec((0_u64..3_000, 1_u32..400), 1..300),
    ) {
        let limits = Limits { rpm: Some(rpm), tpm: Some(tpm), concurrency: None };
        let pacing = pacing(limits, 1);
        let mut millis = 0;
        let mut minute: VecDeque<(u64, u32)> = VecDeque::new();
        for (wait, tokens) in calls {
            millis += wait;
            while minute.front().is_some_and(|(sent, _)| millis - sent >= 60_000) {
                minute.pop_front();
            }
            if pacing.try_admit(tokens, at(millis)).is_ok() {
                minute.push_back((millis, tokens));
            }
            prop_assert!(minute.len() <= rpm as usize);
            prop_assert!(minute.iter().map(|(_, tokens)| u64::from(*tokens)).sum::<u64>() <= tpm);
        }
    }

    /// Holding back is not starving: who asks every 100 ms for ten minutes gets at least four fifths of the limit.
    #[test]
    fn most_of_the_limit_can_be_used(rpm in 10_u32..300) {
        let pacing = pacing(Limits { rpm: Some(rpm), ..NONE }, 1);
        let sent = (0..6_000).filter(|step| pacing.try_admit(1, at(step * 100)).is_ok()).count();
        prop_assert!(sent >= rpm as usize * 8, "{} of {}", sent, rpm * 10);
    }
}

/// With one key there is nothing to turn to: its refusal has to be told to each run, not waited out.
#[test]
fn an_only_key_that_is_refused_goes_on_being_tried() {
    let pacing = pacing(NONE, 1);
    let refused = pacing.try_admit(1, at(0)).unwrap();
    refused.end(Verdict::KeyRefused, at(0));
    assert_eq!(pacing.held(at(0)), None);
}
