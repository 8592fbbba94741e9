//! Dates of HTTP.

/// Seconds since 1970 of a date such as `Sun, 06 Nov 1994 08:49:37 GMT`, see
/// <https://www.rfc-editor.org/rfc/rfc9110#field.date>.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let mut words = text.split(' ');
    let mut next = || words.next();
    let (_, day, month, year, time, zone) = (next()?, next()?, next()?, next()?, next()?, next()?);
    if text.len() != 29 || zone != "GMT" {
        return None;
    }
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = months.iter().position(|m| *m == month)? as i64 + 1;
    let mut parts = time.split(':').map(|n| n.parse::<u8>().ok().map(i64::from));
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    let (year, day) = (year.parse::<u16>().ok()?, day.parse::<u8>().ok()?);
    Some(((days(year.into(), month, day.into()) * 24 + hour) * 60 + minute) * 60 + second)
}

/// Days since 1970 of a date of the Gregorian calendar, whose years begin in March here.
fn days(mut year: i64, mut month: i64, day: i64) -> i64 {
    if month <= 2 {
        (year, month) = (year - 1, month + 12);
    }
    year * 365 + year / 4 - year / 100 + year / 400 + (153 * (month - 3) + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    #[test]
    fn dates_are_read() {
        for (text, want) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Thu, 29 Feb 2024 23:59:59 GMT", Some(1_709_251_199)),
            ("Sun, 06 Nov 1994 08:49:37 CET", None),
            ("Sun, 06 Abc 1994 08:49:37 GMT", None),
            ("120", None),
            ("", None),
        ] {
            assert_eq!(super::parse(text), want, "{text}");
        }
    }
}
