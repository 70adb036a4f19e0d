//! How a command fails: one line of cause, one of remedy, and an exit status.
//!
//! The errors of the crates display as two lines, cause and remedy; those that know no remedy get one here, from who called.

use anyhow::Error;
use std::{fmt, io, process::ExitCode};

/// What the line of remedy begins with.
const REMEDY: &str = "remedy: ";

/// A cause that has its remedy with it.
#[derive(Debug)]
struct Remedied {
    cause: Error,
    remedy: String,
}

impl fmt::Display for Remedied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{REMEDY}{}", whole(&self.cause), self.remedy)
    }
}

impl std::error::Error for Remedied {}

/// Gives errors a remedy.
pub trait OrRemedy<T> {
    /// Adds `remedy` to an error of one line; one of more lines has its own.
    fn or_remedy(self, remedy: &str) -> Result<T, Error>;
    /// Adds `remedy` to an error of any number of lines.
    fn remedy(self, remedy: &str) -> Result<T, Error>;
}

impl<T, E: Into<Error>> OrRemedy<T> for Result<T, E> {
    fn or_remedy(self, remedy: &str) -> Result<T, Error> {
        let result = self.map_err(Into::into);
        match result {
            Err(error) if whole(&error).contains('\n') => Err(error),
            result => result.remedy(remedy),
        }
    }

    fn remedy(self, remedy: &str) -> Result<T, Error> {
        self.map_err(|error| {
            Remedied {
                cause: error.into(),
                remedy: remedy.to_owned(),
            }
            .into()
        })
    }
}

/// What to do about something that the system does not let us read; `None` where it is not that.
pub fn of_reading(error: &Error) -> Option<&'static str> {
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
    causes.find_map(|cause| match cause.kind() {
        io::ErrorKind::PermissionDenied => Some("it belongs to somebody else: do this as that user, or as root"),
        io::ErrorKind::NotFound => Some("check its name, and the directory that you are in"),
        _ => None,
    })
}

/// Tells the error and says how the command ends.
pub fn tell(error: &Error) -> ExitCode {
    if is_closed_pipe(error) {
        // `plumb ledger … | head`: nobody reads any more, which is nobody's mistake.
        return ExitCode::SUCCESS;
    }
    eprintln!("error: {}", with_remedy_marked(&whole(error)));
    ExitCode::FAILURE
}

/// The error with its causes behind it, in its first line; those that it tells itself are not told again.
pub fn whole(error: &Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if text.contains(&cause) {
            continue;
        }
        text = match text.split_once('\n') {
            None => format!("{text}: {cause}"),
            Some((first, rest)) => format!("{first}: {}\n{rest}", cause.lines().next().unwrap_or_default()),
        };
    }
    text
}

/// Marks the last of several lines as the remedy, unless one is marked.
fn with_remedy_marked(text: &str) -> String {
    match text.trim_end().rsplit_once('\n') {
        Some((cause, remedy)) if !text.contains(REMEDY) => format!("{cause}\n{REMEDY}{remedy}"),
        _ => text.trim_end().to_owned(),
    }
}

fn is_closed_pipe(error: &Error) -> bool {
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
    causes.any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_told_once_and_before_the_remedy() {
        let inner = || anyhow::Error::from(io::Error::other("not a regular file"));
        let repeating = inner().context("/dev/null: not a regular file\nname another");
        assert_eq!(whole(&repeating), "/dev/null: not a regular file\nname another");
        let adding = inner().context("cannot read x\nname another");
        assert_eq!(whole(&adding), "cannot read x: not a regular file\nname another");
        assert_eq!(
            whole(&inner().context("cannot read x")),
            "cannot read x: not a regular file"
        );
    }

    #[test]
    fn every_error_is_told_with_one_remedy() {
        let told = |error: Error| with_remedy_marked(&error.to_string());
        let bare = || Err::<(), Error>(anyhow::anyhow!("the cause"));
        let own = || Err::<(), Error>(anyhow::anyhow!("the cause\ndo that"));
        assert_eq!(
            bare().or_remedy("do this").map_err(told),
            Err("the cause\nremedy: do this".to_owned())
        );
        assert_eq!(
            own().or_remedy("do this").map_err(told),
            Err("the cause\nremedy: do that".to_owned())
        );
        assert_eq!(
            own().remedy("do this").map_err(told),
            Err("the cause\ndo that\nremedy: do this".to_owned())
        );
    }
}
