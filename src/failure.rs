//! How a command fails: one line of cause, one of remedy, and an exit status.

use anyhow::Error;
use std::{fmt, io, process::ExitCode};

/// What a line of remedy begins with, here and in the errors of the crates.
const REMEDY: &str = "remedy: ";

/// A cause that has its remedy with it.
#[derive(Debug)]
struct Remedied {
    cause: Error,
    remedy: String,
}

impl fmt::Display for Remedied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}\n{REMEDY}{}", self.cause, self.remedy)
    }
}

impl std::error::Error for Remedied {}

/// Gives errors a remedy.
pub trait OrRemedy<T> {
    /// Adds `remedy`, unless the error tells one already.
    fn or_remedy(self, remedy: &str) -> Result<T, Error>;
}

impl<T, E: Into<Error>> OrRemedy<T> for Result<T, E> {
    fn or_remedy(self, remedy: &str) -> Result<T, Error> {
        self.map_err(|error| {
            let cause = error.into();
            if format!("{cause:#}").contains(REMEDY) {
                return cause;
            }
            Remedied {
                cause,
                remedy: remedy.to_owned(),
            }
            .into()
        })
    }
}

/// Wrong usage that only the command itself can see.
#[derive(Debug)]
pub struct WrongUsage(pub String);

impl fmt::Display for WrongUsage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for WrongUsage {}

/// Tells the error and says how the command ends.
pub fn tell(error: &Error) -> ExitCode {
    if is_closed_pipe(error) {
        // `plumb ledger … | head`: nobody reads any more, which is nobody's mistake.
        return ExitCode::SUCCESS;
    }
    eprintln!("error: {error:#}");
    ExitCode::from(if error.is::<WrongUsage>() { 2 } else { 1 })
}

fn is_closed_pipe(error: &Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remedy_is_added_once() {
        let bare: Result<(), Error> = Err(anyhow::anyhow!("the cause"));
        let remedied = bare.or_remedy("do this").unwrap_err();
        assert_eq!(remedied.to_string(), "the cause\nremedy: do this");
        let again = Err::<(), Error>(remedied).or_remedy("do that").unwrap_err();
        assert_eq!(again.to_string(), "the cause\nremedy: do this");
    }
}
