//! Numbers with a fraction as sprig calculates with them: in decimals, so that 0.1 and 0.2 are 0.3.

use crate::template::go::value::{GoResult, GoValue, fault};

/// Digits behind the point of a quotient.
const QUOTIENT_PLACES: u32 = 16;

/// `digits` with the point before the last `places` of them.
#[derive(Clone, Copy)]
pub(super) struct Decimal {
    digits: i128,
    places: u32,
}

impl Decimal {
    /// The number with the fewest digits that is `number` as a float; nothing if it has too many.
    fn of(number: f64) -> Option<Self> {
        let text = number.to_string();
        let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
        let places = u32::try_from(fraction.len()).ok()?;
        Some(Self { digits: format!("{whole}{fraction}").parse().ok()?, places })
    }

    fn float(self) -> f64 {
        let scale = format!("{}e-{}", self.digits, self.places);
        scale.parse().unwrap_or(0.0)
    }

    fn with_places(self, places: u32) -> Option<i128> {
        self.digits.checked_mul(10_i128.checked_pow(places.checked_sub(self.places)?)?)
    }

    pub(super) fn plus(self, other: Self) -> Option<Self> {
        let places = self.places.max(other.places);
        Some(Self { digits: self.with_places(places)?.checked_add(other.with_places(places)?)?, places })
    }

    pub(super) fn minus(self, other: Self) -> Option<Self> {
        self.plus(Self { digits: other.digits.checked_neg()?, ..other })
    }

    pub(super) fn times(self, other: Self) -> Option<Self> {
        let digits = self.digits.checked_mul(other.digits)?;
        Some(Self { digits, places: self.places.checked_add(other.places)? })
    }

    /// The quotient, rounded half up.
    pub(super) fn divided_by(self, other: Self) -> Option<Self> {
        let dividend = self.with_places(self.places.max(other.places) + QUOTIENT_PLACES)?;
        let divisor = other.with_places(self.places.max(other.places))?;
        let (quotient, rest) = (dividend.checked_div(divisor)?, dividend.checked_rem(divisor)?);
        let is_up = rest.unsigned_abs().checked_mul(2)? >= divisor.unsigned_abs();
        let sign = dividend.signum() * divisor.signum();
        Some(Self { digits: quotient + if is_up { sign } else { 0 }, places: QUOTIENT_PLACES })
    }
}

/// `numbers` one after the other by `exact`, or by `nearly` where a number has too many digits.
pub(super) fn folded(
    numbers: &[f64],
    exact: fn(Decimal, Decimal) -> Option<Decimal>,
    nearly: fn(f64, f64) -> f64,
) -> GoResult {
    let decimals: Option<Vec<Decimal>> = numbers.iter().copied().map(Decimal::of).collect();
    let sum = decimals.and_then(|decimals| {
        let (first, rest) = decimals.split_first()?;
        rest.iter().try_fold(*first, |sum, next| exact(sum, *next))
    });
    let number = match sum {
        Some(sum) => sum.float(),
        None => numbers.iter().copied().reduce(nearly).unwrap_or(0.0),
    };
    if number.is_finite() {
        Ok(GoValue::Float(number))
    } else {
        fault("a division by 0, or a number that is too large")
    }
}
