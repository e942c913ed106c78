//! Filters of policies that are in use: whoever makes many boxes by one policy
//! compiles it once.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::{Compiled, Rules, compile, prebuilt, table};
use crate::error::Result;
use crate::policy::Policy;

/// Policies whose filters are known.
const MOST: usize = 16;

/// By the policy itself, which is not kept by being known: nothing else can lie at its place meanwhile.
static KNOWN: Mutex<Vec<(Weak<Policy>, Arc<Compiled>)>> = Mutex::new(Vec::new());

/// The filters of this policy.
///
/// # Errors
/// As for [`compile`].
pub fn filters_of(policy: &Arc<Policy>) -> Result<Arc<Compiled>> {
    let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let is_it = |(of, _): &&(Weak<Policy>, Arc<Compiled>)| std::ptr::eq(of.as_ptr(), Arc::as_ptr(policy));
    if let Some((_, filters)) = known().iter().find(is_it) {
        return Ok(Arc::clone(filters));
    }
    let filters = Arc::new(match prebuilt(policy) {
        Some(filters) => filters,
        None => compile(&Rules::of(policy, &table))?,
    });
    let mut all = known();
    all.retain(|(of, _)| of.strong_count() > 0);
    if all.len() == MOST {
        all.remove(0);
    }
    all.push((Arc::downgrade(policy), Arc::clone(&filters)));
    Ok(filters)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::load_builtin;

    #[test]
    fn filters_are_those_of_the_policy_and_known_for_it_alone() {
        let native = Arc::new(load_builtin("native").unwrap());
        let first = filters_of(&native).unwrap();
        assert_eq!(Some(&*first), prebuilt(&native).as_ref());
        assert!(Arc::ptr_eq(&first, &filters_of(&native).unwrap()));
        let mut changed = Policy::clone(&native);
        let gone = changed.syscalls.allow.pop().unwrap();
        let changed = Arc::new(changed);
        let other = filters_of(&changed).unwrap();
        assert_ne!(other, first, "without {gone:?}");
        assert_eq!(*other, compile(&Rules::of(&changed, &table)).unwrap());
        // Equal, but another one: it is compiled for itself.
        let same = Arc::new(Policy::clone(&native));
        assert!(!Arc::ptr_eq(&first, &filters_of(&same).unwrap()));
        assert_eq!(first, filters_of(&same).unwrap());
    }

    #[test]
    fn policies_that_are_gone_are_not_kept() {
        let gone: Vec<Weak<Policy>> = (0..2 * MOST)
            .map(|_| {
                let policy = Arc::new(load_builtin("strict").unwrap());
                filters_of(&policy).unwrap();
                Arc::downgrade(&policy)
            })
            .collect();
        assert!(gone.iter().all(|policy| policy.upgrade().is_none()));
        let of_them = |of: &Weak<Policy>| gone.iter().any(|gone| gone.ptr_eq(of));
        let known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(known.iter().filter(|(of, _)| of_them(of)).count() <= 1);
    }
}
