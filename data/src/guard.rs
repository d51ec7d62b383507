//! Libraries of file formats panic on some damaged files, where this crate promises an error.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::DataError;

/// Reads with a library, whose panic is an error of the file. Nothing of what the library made is used after a panic.
pub(crate) fn guarded<Read>(
    place: &str,
    read: impl FnOnce() -> Result<Read, DataError>,
) -> Result<Read, DataError> {
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(result) => result,
        Err(panic) => {
            let reason = panic.downcast_ref::<String>().map(String::as_str);
            let reason = reason.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic");
            Err(DataError::mismatch(place, "a file that its library can read", reason))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_that_names_file_and_reason() {
        let error =
            guarded::<()>("file", || panic!("attempt to divide by zero")).expect_err("it panics").to_string();
        assert_eq!(error, "file must be a file that its library can read, got attempt to divide by zero");
    }
}
