//! Binary forms of the types that the store reads and writes, exactly those of PostgreSQL's `*_send` functions.

use bytes::{BufMut, BytesMut};
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};

use crate::store::Day;

type Wrong = Box<dyn std::error::Error + Sync + Send>;

/// PostgreSQL's epoch, 2000-01-01, in days since 1970.
const EPOCH_DAYS: i64 = 10_957;
const EPOCH_MS: i64 = EPOCH_DAYS * 24 * 60 * 60 * 1_000;

/// Sixteen bytes: `uuid_send`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct PgUuid(pub(super) [u8; 16]);

/// Microseconds since 2000: `timestamptz_send`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct PgTime(i64);

/// Days since 2000: `date_send`. The ends of the type are `-infinity` and `infinity`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PgDay(pub(super) Day);

impl PgTime {
    /// First and last whole millisecond in the range of `timestamptz`: 4713-11-24 BC and the end of the year 294276
    /// (`MIN_TIMESTAMP` and `END_TIMESTAMP` in `datatype/timestamp.h`).
    const RANGE_MS: std::ops::RangeInclusive<i64> =
        (-211_813_488_000_000 + EPOCH_MS)..=(9_223_371_331_200_000 - 1 + EPOCH_MS);

    /// Converts milliseconds since 1970; `None` outside the range of the type.
    pub(super) fn of_ms(time_ms: i64) -> Option<Self> {
        Self::RANGE_MS.contains(&time_ms).then(|| Self((time_ms - EPOCH_MS) * 1_000))
    }

    /// Converts milliseconds since 1970 to the nearest time in the range of the type.
    pub(super) fn clamped_ms(time_ms: i64) -> Self {
        let time_ms = time_ms.clamp(*Self::RANGE_MS.start(), *Self::RANGE_MS.end());
        Self((time_ms - EPOCH_MS) * 1_000)
    }

    /// Returns milliseconds since 1970.
    pub(super) fn ms(self) -> i64 {
        self.0.div_euclid(1_000) + EPOCH_MS
    }
}

impl PgDay {
    fn to_wire(self) -> i32 {
        let days = self.0.0.saturating_sub(EPOCH_DAYS);
        i32::try_from(days).unwrap_or(if days < 0 { i32::MIN } else { i32::MAX })
    }

    fn of_wire(days: i32) -> Self {
        Self(if days == i32::MIN { Day::MIN } else { Day(i64::from(days) + EPOCH_DAYS) })
    }
}

impl ToSql for PgUuid {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Wrong> {
        out.put_slice(&self.0);
        Ok(IsNull::No)
    }
    accepts!(UUID);
    to_sql_checked!();
}

impl ToSql for PgTime {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Wrong> {
        out.put_i64(self.0);
        Ok(IsNull::No)
    }
    accepts!(TIMESTAMPTZ);
    to_sql_checked!();
}

impl ToSql for PgDay {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Wrong> {
        out.put_i32(self.to_wire());
        Ok(IsNull::No)
    }
    accepts!(DATE);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for PgUuid {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Wrong> {
        Ok(Self(raw.try_into()?))
    }
    accepts!(UUID);
}

impl<'a> FromSql<'a> for PgTime {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Wrong> {
        Ok(Self(i64::from_be_bytes(raw.try_into()?)))
    }
    accepts!(TIMESTAMPTZ);
}

impl<'a> FromSql<'a> for PgDay {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Wrong> {
        Ok(Self::of_wire(i32::from_be_bytes(raw.try_into()?)))
    }
    accepts!(DATE);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn times_round_trip_or_are_refused(time_ms: i64) {
            if let Some(time) = PgTime::of_ms(time_ms) {
                prop_assert_eq!(time.ms(), time_ms);
                prop_assert_eq!(PgTime::clamped_ms(time_ms), time);
            }
        }

        #[test]
        fn days_round_trip(day in -2_400_000_i64..100_000_000) {
            prop_assert_eq!(PgDay::of_wire(PgDay(Day(day)).to_wire()).0, Day(day));
        }
    }

    #[test]
    fn times_and_days_count_from_2000() {
        assert_eq!(PgTime::of_ms(946_684_800_000), Some(PgTime(0)));
        assert_eq!(PgTime::of_ms(946_684_799_999), Some(PgTime(-1_000)));
        assert_eq!(PgTime::of_ms(i64::MAX), None);
        assert_eq!(PgTime::of_ms(i64::MIN), None);
        assert_eq!(PgDay("2000-01-02".parse().unwrap()).to_wire(), 1);
        assert_eq!(PgDay(Day::MIN).to_wire(), i32::MIN);
        assert_eq!(PgDay::of_wire(i32::MIN).0, Day::MIN);
    }
}
