//! Which class is next: smooth weighted round-robin, the scheme nginx uses for its upstreams. Every class with work is
//! picked at least once in as many picks as the weights sum up to, and picks are spread, not bunched.

use crate::domain::Class;

/// The state of the rotation.
#[derive(Debug, Clone, Default)]
pub struct Rotation {
    credit: [i64; Class::ALL.len()],
}

impl Rotation {
    /// The next class among those for which `has_work` says so; none when none has. Only classes with work gain
    /// credit, so a class that was idle does not come back with a claim on everything.
    pub fn next(&mut self, has_work: impl Fn(Class) -> bool) -> Option<Class> {
        let mut total = 0;
        let mut best: Option<usize> = None;
        for (index, class) in Class::ALL.into_iter().enumerate() {
            if !has_work(class) {
                self.credit[index] = 0;
                continue;
            }
            let weight = i64::from(class.weight());
            self.credit[index] += weight;
            total += weight;
            if best.is_none_or(|best| self.credit[index] > self.credit[best]) {
                best = Some(index);
            }
        }
        let best = best?;
        self.credit[best] -= total;
        Some(Class::ALL[best])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dozen_picks_are_shared_by_weight() {
        let mut rotation = Rotation::default();
        let picks: Vec<_> = std::iter::repeat_with(|| rotation.next(|_| true).unwrap())
            .take(24)
            .collect();
        for class in Class::ALL {
            let count = picks.iter().filter(|pick| **pick == class).count();
            assert_eq!(count, 2 * class.weight() as usize, "{class}");
        }
        assert!(picks[..12].contains(&Class::Batch));
    }

    #[test]
    fn an_idle_class_leaves_its_share_to_the_others() {
        let mut rotation = Rotation::default();
        for _ in 0..100 {
            assert_eq!(rotation.next(|class| class == Class::Batch), Some(Class::Batch));
        }
        assert_eq!(rotation.next(|_| false), None);
        assert_eq!(rotation.next(|_| true), Some(Class::Interactive));
    }
}
