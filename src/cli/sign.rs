//! `sign` and `verify`: signatures of runs and files.

use super::args::{SignArgs, VerifyModelArgs};
use super::{Ending, say};
use crate::RunError;
use crate::signing::{self, PrivateKey, PublicKey};

pub(super) fn sign(args: &SignArgs) -> Result<Ending, RunError> {
    let key = PrivateKey::load(&args.key)?;
    let signature = args.signature.clone().unwrap_or_else(|| signing::default_signature(&args.path));
    let signed = signing::sign(&args.path, &key, &signature, &args.ignore)?;
    say(format_args!("{}: signed {}", signed.signature.display(), files(signed.files)))
}

pub(super) fn verify(args: &VerifyModelArgs) -> Result<Ending, RunError> {
    let key = PublicKey::load(&args.key)?;
    let signature = args.signature.clone().unwrap_or_else(|| signing::default_signature(&args.path));
    let signed = signing::verify(&args.path, &key, &signature, args.ignore_unsigned)?;
    let others = if args.ignore_unsigned { "; other files were not looked at" } else { "" };
    say(format_args!("{}: {} as they were signed{others}", args.path.display(), files(signed.files)))?;
    if !signed.ignored.is_empty() {
        say(format_args!("not signed, by the signature itself: {}", signed.ignored.join(", ")))?;
    }
    Ok(Ending::Success)
}

fn files(count: usize) -> String {
    if count == 1 { "1 file".to_owned() } else { format!("{count} files") }
}
