//! Dates for templates that tell the model today's: Python's `strftime` in UTC.

const DAYS: [&str; 7] = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// The moment `seconds` after 1970 in the form `format`; `None` if it has a directive that is not known.
pub(crate) fn strftime(seconds: u64, format: &str) -> Option<String> {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute) = (second / 3600, second / 60 % 60);
    let weekday = DAYS[(days % 7) as usize];
    let month_name = MONTHS[month as usize - 1];
    let mut text = String::new();
    let mut letters = format.chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            text.push(letter);
            continue;
        }
        text += &match letters.next()? {
            'Y' => year.to_string(),
            'y' => format!("{:02}", year % 100),
            'm' => format!("{month:02}"),
            'd' => format!("{day:02}"),
            'B' => month_name.into(),
            'b' => month_name[..3].into(),
            'A' => weekday.into(),
            'a' => weekday[..3].into(),
            'H' => format!("{hour:02}"),
            'I' => format!("{:02}", (hour + 11) % 12 + 1),
            'p' => if hour < 12 { "AM" } else { "PM" }.into(),
            'M' => format!("{minute:02}"),
            'S' => format!("{:02}", second % 60),
            'F' => format!("{year}-{month:02}-{day:02}"),
            '%' => "%".into(),
            '-' => match letters.next()? {
                'd' => day.to_string(),
                'm' => month.to_string(),
                'H' => hour.to_string(),
                _ => return None,
            },
            _ => return None,
        };
    }
    Some(text)
}

/// Year, month and day of the Gregorian calendar: Howard Hinnant's `civil_from_days`.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468; // since 1 March of year 0
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::strftime;

    #[test]
    fn known_moments() {
        let cases = [
            (0, "%a %d %b %Y %H:%M:%S", "Thu 01 Jan 1970 00:00:00"),
            (951_782_400, "%A, %-d %B %y", "Tuesday, 29 February 00"),
            (1_709_251_199, "%F %I:%M %p", "2024-02-29 11:59 PM"),
            (1_753_531_200, "%d %b %Y 100%%", "26 Jul 2025 100%"),
            (4_107_542_400, "%m/%d", "03/01"),
        ];
        for (seconds, format, wanted) in cases {
            assert_eq!(strftime(seconds, format).as_deref(), Some(wanted));
        }
        assert_eq!(strftime(0, "%Q"), None);
        assert_eq!(strftime(0, "%"), None);
    }
}
