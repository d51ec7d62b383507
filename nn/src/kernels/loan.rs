//! A slice for closures that must not name its lifetime.
//!
//! dfdx's tape holds `'static` closures, but the caller's gradient buffer is borrowed. The buffer is lent to them for
//! the time that the tape runs, instead of being copied afterwards.

use std::cell::Cell;
use std::ptr::NonNull;

/// A place where a slice can be lent.
#[derive(Default)]
pub(crate) struct Loan {
    /// Set only while [`Loan::lend`] runs, and not while [`Loan::borrow`] does.
    slice: Cell<Option<NonNull<[f32]>>>,
}

impl Loan {
    /// Lends `slice` while `body` runs.
    pub(crate) fn lend<T>(&self, slice: &mut [f32], body: impl FnOnce() -> T) -> T {
        /// Takes the slice back, on a panic too.
        struct Return<'a>(&'a Loan);
        impl Drop for Return<'_> {
            fn drop(&mut self) {
                self.0.slice.set(None);
            }
        }
        let _return = Return(self);
        self.slice.set(Some(NonNull::from(slice)));
        body()
    }

    /// Runs `body` with the slice that is lent at the moment, if one is.
    pub(crate) fn borrow<T>(&self, body: impl FnOnce(Option<&mut [f32]>) -> T) -> T {
        // Taken out, so that a second borrow inside `body` finds nothing.
        let Some(mut slice) = self.slice.take() else { return body(None) };
        // SAFETY: the pointer is there only inside `lend` (a cell is not `Sync`, so on its thread), whose caller's
        // exclusive borrow lasts until `lend` returns, after this call.
        let result = body(Some(unsafe { slice.as_mut() }));
        self.slice.set(Some(slice));
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_is_lent_once_at_a_time_and_taken_back() {
        let loan = Loan::default();
        let mut values = [1.0, 2.0];
        assert!(loan.borrow(|slice| slice.is_none()));
        loan.lend(&mut values, || {
            loan.borrow(|slice| {
                slice.unwrap()[0] = 5.0;
                assert!(loan.borrow(|slice| slice.is_none()));
            });
            assert!(loan.borrow(|slice| slice.is_some()));
        });
        assert!(loan.borrow(|slice| slice.is_none()));
        assert_eq!(values, [5.0, 2.0]);
    }

    #[test]
    fn a_panic_takes_the_slice_back() {
        let loan = Loan::default();
        let panic = std::panic::AssertUnwindSafe(|| loan.lend(&mut [1.0], || panic!("lost")));
        assert!(std::panic::catch_unwind(panic).is_err());
        assert!(loan.borrow(|slice| slice.is_none()));
    }
}
