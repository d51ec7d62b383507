//! Numbers, moments and tables as text.

use std::path::Path;
use std::time::SystemTime;

/// A table in Markdown with a header, columns padded to their widest cell.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.max().unwrap_or(0).max(header[column].chars().count())
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> = cells.zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        format!("| {} |", padded.join(" | "))
    };
    let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
    let mut lines = vec![line(&mut header.iter().copied()), format!("|-{}-|", rule.join("-|-"))];
    lines.extend(rows.iter().map(|row| line(&mut row.iter().map(String::as_str))));
    lines.join("\n")
}

/// A number with a unit prefix.
pub(crate) fn human(value: f64) -> String {
    match value {
        v if v >= 1e6 => format!("{:.2}M", v / 1e6),
        v if v >= 1e3 => format!("{:.1}k", v / 1e3),
        v => format!("{v:.0}"),
    }
}

/// A number of steps: `5000`, `100_000`, `1e6`, `10k` or `2M`.
pub(crate) fn steps(text: &str) -> Result<u64, String> {
    let wrong = || format!("expected a number of steps, such as 5000, 100_000, 1e6, 10k or 2M, got `{text}`");
    let plain = text.trim().replace('_', "");
    if let Ok(steps) = plain.parse() {
        return Ok(steps);
    }
    let (number, unit) = match plain.strip_suffix(['k', 'K']) {
        Some(number) => (number, 1e3),
        None => plain.strip_suffix(['m', 'M']).map_or((plain.as_str(), 1.0), |number| (number, 1e6)),
    };
    let steps = number.parse::<f64>().map_err(|_| wrong())? * unit;
    whole(steps).ok_or_else(wrong)
}

/// A number that is whole, as an integer that TOML can hold.
pub(crate) fn whole(value: f64) -> Option<u64> {
    let holds = value >= 0.0 && value < i64::MAX as f64 && value.fract() == 0.0;
    holds.then_some(value as u64)
}

/// A number with so many significant digits, those before the decimal point at least; tiny and huge ones with an exponent.
pub(crate) fn significant(value: f64, digits: usize) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-4..1e7).contains(&size) {
        return format!("{value:.*e}", digits.saturating_sub(1));
    }
    let before = if size > 0.0 { size.log10().floor() as i32 + 1 } else { 1 };
    format!("{value:.*}", (digits as i32 - before).max(0) as usize)
}

/// Seconds in hours, minutes and seconds.
pub(crate) fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0) as u64;
    match whole {
        0..60 => format!("{seconds:.1}s"),
        60..3600 => format!("{}m{:02}s", whole / 60, whole % 60),
        _ => format!("{}h{:02}m", whole / 3600, whole % 3600 / 60),
    }
}

/// A moment in UTC, to the second, as RFC 3339 writes it.
pub(crate) fn utc(moment: SystemTime) -> String {
    let seconds = moment.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Days since the first of March of year 0: leap days come last. See H. Hinnant, "chrono-compatible low-level date algorithms".
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (year, month) = (era * 400 + year + month / 10, (month + 2) % 12 + 1);
    let (hour, minute, second) = (rest / 3600, rest % 3600 / 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// The command line that the process was started with. Where its program lies is the machine's business.
pub(crate) fn command_line() -> String {
    let mut arguments = std::env::args();
    let program = arguments.next().unwrap_or_default();
    let name = Path::new(&program).file_name().map_or(program.clone(), |n| n.to_string_lossy().into_owned());
    std::iter::once(name).chain(arguments).map(|argument| shell_word(&argument)).collect::<Vec<_>>().join(" ")
}

/// An argument as a shell reads it back: in quotes where it has to be.
pub(crate) fn shell_word(argument: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=,+@%^".contains(c);
    if !argument.is_empty() && argument.chars().all(is_plain) {
        return argument.to_owned();
    }
    format!("'{}'", argument.replace('\'', r"'\''"))
}

/// A text in lines of at most `width` characters, each behind `indent` spaces; longer words have a line of their own.
pub(crate) fn wrapped(text: &str, indent: usize, width: usize) -> String {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(format!("{:indent$}{word}", "")),
        }
    }
    lines.join("\n")
}

/// A text in lines of at most `width` characters, all but the first a little indented.
pub(crate) fn broken(text: &str, width: usize) -> String {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            None => lines.push(word.to_owned()),
            Some(_) => lines.push(format!("  {word}")),
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_units() {
        assert_eq!([999.4, 1250.0, 2.5e6].map(human), ["999", "1.2k", "2.50M"]);
        assert_eq!([0.25, 61.0, 3725.0].map(duration), ["0.2s", "1m01s", "1h02m"]);
    }

    #[test]
    fn arguments_are_quoted_where_a_shell_would_read_something_else() {
        let words = ["train", "agent.gamma=0.99", "env.wrappers=[{kind='x'}]", "", "two words", "10k"];
        let quoted = words.map(shell_word);
        let expected =
            ["train", "agent.gamma=0.99", r"'env.wrappers=[{kind='\''x'\''}]'", "''", "'two words'", "10k"];
        assert_eq!(quoted, expected);
    }

    #[test]
    fn moments_are_days_and_seconds_of_the_calendar() {
        let at = |seconds| utc(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(at(4_107_542_399), "2100-02-28T23:59:59Z");
        assert_eq!(at(4_107_542_400), "2100-03-01T00:00:00Z");
        assert_eq!(at(1_798_761_599), "2026-12-31T23:59:59Z");
    }

    #[test]
    fn steps_have_units_and_powers() {
        for (text, expected) in [
            ("5000", 5000),
            ("100_000", 100_000),
            ("1e6", 1_000_000),
            ("10k", 10_000),
            ("2.5M", 2_500_000),
            ("0", 0),
        ] {
            assert_eq!(steps(text), Ok(expected));
        }
        for text in ["", "k", "-1", "1.5", "1e30", "nan", "inf", "10kk", "many"] {
            assert!(steps(text).unwrap_err().contains(&format!("got `{text}`")), "{text}");
        }
    }

    #[test]
    fn digits_that_matter_are_kept() {
        let numbers = [0.0, 0.000_123_4, 1.234e-7, 0.5, -12.345, 123.4, 12_345.6, 9.8e9];
        let texts = ["0.00", "0.000123", "1.23e-7", "0.500", "-12.3", "123", "12346", "9.80e9"];
        assert_eq!(numbers.map(|number| significant(number, 3)), texts);
        assert_eq!(significant(f64::INFINITY, 3), "inf");
    }

    #[test]
    fn texts_are_wrapped_at_words() {
        assert_eq!(wrapped("a few words and more", 2, 11), "  a few\n  words and\n  more");
        assert_eq!(wrapped("immeasurable", 0, 3), "immeasurable");
        assert_eq!(broken("a few words and more", 11), "a few words\n  and more");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = vec![vec!["a".to_owned(), "long".to_owned()]];
        assert_eq!(table(&["name", "b"], &rows), "| name | b    |\n|------|------|\n| a    | long |");
    }
}
