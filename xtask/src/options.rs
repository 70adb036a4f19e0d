//! What stands behind a task's name: options, some of them with a value, and words.

use std::str::FromStr;

/// What follows an option: its value, where it has one.
pub struct Rest<'a>(std::slice::Iter<'a, &'a str>);

impl Rest<'_> {
    /// The next word; `None` where there is none.
    pub fn text(&mut self) -> Option<String> {
        self.0.next().map(|word| (*word).to_owned())
    }

    /// The next word as a number above 0.
    pub fn number<N: FromStr + PartialOrd + Default>(&mut self) -> Option<N> {
        self.0.next()?.parse().ok().filter(|number| *number > N::default())
    }
}

/// Hands every option to `take`, which changes `options` by it and reads its value; `None` where one is not known or has no good value.
pub fn read<O>(
    mut options: O,
    arguments: &[&str],
    mut take: impl FnMut(&mut O, &str, &mut Rest) -> Option<()>,
) -> Option<O> {
    let mut rest = Rest(arguments.iter());
    while let Some(argument) = rest.0.next() {
        take(&mut options, argument, &mut rest)?;
    }
    Some(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Option<(String, u32, bool)> {
        read((String::new(), 1, false), arguments, |options, option, rest| {
            match option {
                "--name" => options.0 = rest.text()?,
                "--turns" => options.1 = rest.number()?,
                "--twice" => options.2 = true,
                _ => return None,
            }
            Some(())
        })
    }

    #[test]
    fn options_are_read_in_any_order_and_wrong_ones_refused() {
        assert_eq!(parse(&[]), Some((String::new(), 1, false)));
        assert_eq!(
            parse(&["--twice", "--turns", "3", "--name", "x"]),
            Some(("x".to_owned(), 3, true))
        );
        for wrong in [
            &["--turns"][..],
            &["--turns", "0"],
            &["--turns", "-1"],
            &["--name"],
            &["--tvice"],
            &["x"],
        ] {
            assert_eq!(parse(wrong), None, "{wrong:?}");
        }
    }
}
