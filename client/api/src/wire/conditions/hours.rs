//! Hours of the week, in the time of a place.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::Weekday;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::text_form;

/// The most spans of one week.
const SPANS_MAX: usize = 14;
/// The most characters of the text.
const TEXT_MAX: usize = 300;
const MINUTES_A_DAY: u16 = 24 * 60;
const MINUTES_A_WEEK: u16 = 7 * MINUTES_A_DAY;

/// Hours of the week in one time zone: `Mon-Fri 08:00-18:00, Sat 09:00-12:00 Europe/Berlin`.
///
/// A span that ends at or before its beginning goes on into the next day. Summer time is the zone's: at eight o'clock
/// people are there, whatever UTC says. The rules of the zones are those this program was built with, so that every node
/// and every reader has the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeeklyHours {
    spans: Vec<Span>,
    zone: TimeZone,
}

/// `Mon-Fri 08:00-18:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    first: Weekday,
    last: Weekday,
    from: u16,
    to: u16,
}

/// Which of the week's minutes are in some hours.
#[derive(Clone, PartialEq, Eq)]
pub struct Minutes(Vec<bool>);

/// What is wrong with hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "hours are days, times and a time zone, e.g. 'Mon-Fri 08:00-18:00, Sat 09:00-12:00 Europe/Berlin': up to 14 spans of \
     Mon to Sun and 00:00 to 24:00, and a zone of the IANA database"
)]
pub struct BadHours;

impl WeeklyHours {
    /// Whether this instant is in them. The first minute is, the last is the one before the end.
    pub fn contain(&self, at: Timestamp) -> bool {
        let local = self.zone.to_datetime(at);
        let day = Weekday::to_monday_zero_offset(local.weekday());
        let time = local.time();
        let minute = u16::from(time.hour().unsigned_abs()) * 60 + u16::from(time.minute().unsigned_abs());
        let in_week = u16::from(day.unsigned_abs()) * MINUTES_A_DAY + minute;
        self.stretches()
            .any(|(from, to)| (from..to).contains(&in_week) || (from..to).contains(&(in_week + MINUTES_A_WEEK)))
    }

    /// Whether every instant of these is one of `outer`. Hours of another zone are only found within the whole week, or
    /// they would be within on one day and not on the day the clocks change.
    pub fn within(&self, outer: &Self) -> bool {
        let outer_minutes = outer.minutes();
        if outer_minutes.0.iter().all(|open| *open) {
            return true;
        }
        self.zone == outer.zone && self.minutes().0.iter().zip(&outer_minutes.0).all(|(own, outer)| !own || *outer)
    }

    /// Which minutes of the week, local time, are in them.
    pub fn minutes(&self) -> Minutes {
        let mut minutes = vec![false; usize::from(MINUTES_A_WEEK)];
        for minute in self.stretches().flat_map(|(from, to)| from..to) {
            if let Some(open) = minutes.get_mut(usize::from(minute % MINUTES_A_WEEK)) {
                *open = true;
            }
        }
        Minutes(minutes)
    }

    /// From and to, in minutes since Monday 00:00; the last may end in the week after.
    fn stretches(&self) -> impl Iterator<Item = (u16, u16)> + '_ {
        self.spans.iter().flat_map(|span| {
            let whole = if span.to > span.from { span.to - span.from } else { span.to + MINUTES_A_DAY - span.from };
            span.days().map(move |day| {
                let from = day * MINUTES_A_DAY + span.from;
                (from, from + whole)
            })
        })
    }
}

impl Span {
    /// Its days, Monday is 0.
    fn days(self) -> impl Iterator<Item = u16> {
        let first = u16::from(self.first.to_monday_zero_offset().unsigned_abs());
        let last = u16::from(self.last.to_monday_zero_offset().unsigned_abs());
        let count = (last + 7 - first) % 7 + 1;
        (first..first + count).map(|day| day % 7)
    }
}

impl FromStr for WeeklyHours {
    type Err = BadHours;

    fn from_str(text: &str) -> Result<Self, BadHours> {
        if text.len() > TEXT_MAX {
            return Err(BadHours);
        }
        let (spans, zone) = text.rsplit_once(' ').ok_or(BadHours)?;
        let spans = spans.split(", ").map(span).collect::<Option<Vec<Span>>>().ok_or(BadHours)?;
        // `get` takes names in any case and gives the canonical one; what is no IANA name has none.
        let zone = TimeZoneDatabase::bundled().get(zone).map_err(|_| BadHours)?;
        if spans.len() > SPANS_MAX || zone.iana_name().is_none() {
            return Err(BadHours);
        }
        Ok(Self { spans, zone })
    }
}

fn span(text: &str) -> Option<Span> {
    let (days, times) = text.split_once(' ')?;
    let (first, last) = days.split_once('-').unwrap_or((days, days));
    let (from, to) = times.split_once('-')?;
    let span = Span { first: weekday(first)?, last: weekday(last)?, from: minute(from)?, to: minute(to)? };
    (span.from < MINUTES_A_DAY).then_some(span)
}

/// The days as they are written.
const DAYS: [(&str, Weekday); 7] = [
    ("Mon", Weekday::Monday),
    ("Tue", Weekday::Tuesday),
    ("Wed", Weekday::Wednesday),
    ("Thu", Weekday::Thursday),
    ("Fri", Weekday::Friday),
    ("Sat", Weekday::Saturday),
    ("Sun", Weekday::Sunday),
];

fn weekday(text: &str) -> Option<Weekday> {
    DAYS.iter().find(|(name, _)| *name == text).map(|(_, day)| *day)
}

fn name(day: Weekday) -> &'static str {
    DAYS.iter().find(|(_, known)| *known == day).map_or("", |(name, _)| *name)
}

/// `HH:MM`, 00:00 to 24:00.
fn minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let two = |text: &str| {
        (text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse::<u16>().ok()).flatten()
    };
    let (hour, minute) = (two(hour)?, two(minute)?);
    let all = hour * 60 + minute;
    (minute < 60 && all <= MINUTES_A_DAY).then_some(all)
}

impl fmt::Display for WeeklyHours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, span) in self.spans.iter().enumerate() {
            let Span { first, last, from, to } = *span;
            f.write_str(if number == 0 { "" } else { ", " })?;
            f.write_str(name(first))?;
            if first != last {
                write!(f, "-{}", name(last))?;
            }
            write!(f, " {:02}:{:02}-{:02}:{:02}", from / 60, from % 60, to / 60, to % 60)?;
        }
        write!(f, " {}", self.zone.iana_name().unwrap_or_default())
    }
}

text_form!(
    WeeklyHours,
    r"^((Mon|Tue|Wed|Thu|Fri|Sat|Sun)[-A-Za-z]* [0-9:]+-[0-9:]+(, )?)+ [A-Za-z0-9_+/-]+$",
    TEXT_MAX
);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hours(text: &str) -> WeeklyHours {
        text.parse().unwrap_or_else(|_| panic!("{text}"))
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn hours_have_one_form() {
        for text in [
            "Mon-Fri 08:00-18:00 Europe/Berlin",
            "Mon-Fri 08:00-18:00, Sat 09:00-12:00 America/New_York",
            "Sun 00:00-24:00 UTC",
            "Fri-Mon 22:00-06:00 Asia/Kolkata",
        ] {
            assert_eq!(hours(text).to_string(), text);
        }
        assert_eq!(hours("Mon 08:00-09:00 europe/berlin").to_string(), "Mon 08:00-09:00 Europe/Berlin");
        for text in [
            "",
            "Mon-Fri 08:00-18:00",
            "Mon-Fri 08:00-18:00 Europe/Nowhere",
            "Mon-Fri 8:00-18:00 UTC",
            "Mon-Fri 08:00-24:01 UTC",
            "Mon-Fri 24:00-08:00 UTC",
            "Mon-Fri 08:60-18:00 UTC",
            "mon 08:00-18:00 UTC",
            "Mon 08:00 UTC",
            "Mon 08:00-18:00,Tue 08:00-18:00 UTC",
            "Mon  08:00-18:00 UTC",
            "Mon 08:00-18:00 UTC ",
            "Mon +8:00-18:00 UTC",
        ] {
            assert_eq!(text.parse::<WeeklyHours>(), Err(BadHours), "{text}");
        }
    }

    /// 2026-03-29 and 2026-10-25 are Sundays; at 01:00 UTC the clocks of Berlin change.
    #[test]
    fn the_hour_is_the_places_own() {
        let office = hours("Mon-Fri 08:00-18:00 Europe/Berlin");
        assert!(!office.contain(at("2026-03-27T06:59:59.999Z")) && office.contain(at("2026-03-27T07:00:00Z")));
        assert!(office.contain(at("2026-03-27T16:59:59.999Z")) && !office.contain(at("2026-03-27T17:00:00Z")));
        assert!(office.contain(at("2026-03-30T06:00:00Z")) && !office.contain(at("2026-03-30T16:00:00Z")), "summer");
        assert!(!office.contain(at("2026-03-28T10:00:00Z")), "Saturday");
        let night = hours("Sat 22:00-04:00 Europe/Berlin");
        assert!(night.contain(at("2026-10-24T20:00:00Z")), "Saturday, summer");
        assert!(night.contain(at("2026-10-25T00:30:00Z")) && night.contain(at("2026-10-25T01:30:00Z")), "twice 02:30");
        assert!(night.contain(at("2026-10-25T02:59:59Z")) && !night.contain(at("2026-10-25T03:00:00Z")), "winter");
    }

    #[test]
    fn a_night_goes_on_into_the_next_day_and_week() {
        let nights = hours("Sun 22:00-06:00 UTC");
        assert!(nights.contain(at("2026-11-29T22:00:00Z")) && nights.contain(at("2026-11-30T05:59:00Z")));
        assert!(!nights.contain(at("2026-11-30T06:00:00Z")) && !nights.contain(at("2026-11-29T21:59:00Z")));
        let around = hours("Sat-Mon 12:00-12:00 UTC");
        assert!(around.contain(at("2026-11-28T12:00:00Z")) && around.contain(at("2026-12-01T11:59:00Z")));
        assert!(!around.contain(at("2026-12-01T12:00:00Z")) && !around.contain(at("2026-11-28T11:59:00Z")));
    }

    #[test]
    fn hours_of_another_zone_are_within_the_whole_week_only() {
        let (berlin, tokyo) = (hours("Mon 08:00-09:00 Europe/Berlin"), hours("Mon-Sun 00:00-23:59 Asia/Tokyo"));
        assert!(!berlin.within(&tokyo));
        assert!(berlin.within(&hours("Mon-Sun 00:00-24:00 Asia/Tokyo")));
        assert!(berlin.within(&hours("Mon-Fri 08:00-18:00 Europe/Berlin")));
    }

    proptest! {
        /// What is within another's hours is open at no instant at which the other is closed.
        #[test]
        fn within_means_every_instant(inner in weeks(), outer in weeks(), minute in 0_i64..10_080) {
            let instant = at("2026-11-30T00:00:00Z") + jiff::SignedDuration::from_mins(minute);
            if inner.within(&outer) {
                prop_assert!(!inner.contain(instant) || outer.contain(instant));
            }
            prop_assert_eq!(inner.contain(instant), inner.minutes().0[usize::try_from(minute).unwrap()]);
            prop_assert_eq!(inner.to_string().parse::<WeeklyHours>(), Ok(inner));
        }
    }

    fn weeks() -> impl Strategy<Value = WeeklyHours> {
        let span = (0..7_usize, 0..7_usize, 0_u16..1440, 0_u16..=1440).prop_map(|(first, last, from, to)| Span {
            first: DAYS[first].1,
            last: DAYS[last].1,
            from,
            to,
        });
        prop::collection::vec(span, 1..4)
            .prop_map(|spans| WeeklyHours { spans, zone: TimeZoneDatabase::bundled().get("UTC").unwrap() })
    }
}
