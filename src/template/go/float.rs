//! Numbers with a fraction, written as Go's `strconv` does.

/// `float` in the format `verb` (one of `e f g x b`), shortest without `precision`.
pub(super) fn written(float: f64, verb: char, precision: Option<usize>) -> String {
    if float.is_nan() {
        return "NaN".to_owned();
    }
    if float.is_infinite() {
        return if float > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    match (verb, precision) {
        ('f', Some(precision)) => format!("{float:.precision$}"),
        ('f', None) => format!("{float}"),
        ('e', Some(precision)) => with_exponent(&format!("{float:.precision$e}")),
        ('e', None) => with_exponent(&format!("{float:e}")),
        ('x', _) => hexadecimal(float),
        ('b', _) => binary(float),
        _ => general(float, precision),
    }
}

/// What `{{ x }}` prints.
pub(super) fn shortest(float: f64) -> String {
    written(float, 'g', None)
}

/// Go writes the exponent with a sign and at least two digits.
fn with_exponent(text: &str) -> String {
    let Some((mantissa, exponent)) = text.split_once('e') else { return text.to_owned() };
    let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
    format!("{mantissa}e{sign}{digits:0>2}")
}

fn general(float: f64, precision: Option<usize>) -> String {
    let precision = precision.map(|precision| precision.max(1));
    let text = match precision {
        Some(precision) => format!("{float:.*e}", precision - 1),
        None => format!("{float:e}"),
    };
    let Some((mantissa, exponent)) = text.split_once('e') else { return text };
    let exponent = exponent.parse::<i32>().unwrap_or_default();
    let mantissa =
        if mantissa.contains('.') { mantissa.trim_end_matches('0').trim_end_matches('.') } else { mantissa };
    let count = mantissa.bytes().filter(u8::is_ascii_digit).count();
    let count = i32::try_from(count).unwrap_or(i32::MAX);
    let most = match precision {
        None => 6,
        Some(precision) => {
            let precision = i32::try_from(precision).unwrap_or(i32::MAX);
            if precision > count && count > exponent { count } else { precision }
        }
    };
    // Without a precision, Go compares with the digits too: 123456789 has nine, and still an exponent.
    if exponent < -4 || exponent >= most {
        return with_exponent(&format!("{mantissa}e{exponent}"));
    }
    let decimals = usize::try_from(count - exponent - 1).unwrap_or_default();
    let rounded = format!("{mantissa}e{exponent}").parse::<f64>().unwrap_or(float);
    format!("{rounded:.decimals$}")
}

/// Sign, mantissa of 53 bits and exponent of two.
fn parts(float: f64) -> (&'static str, u64, i64) {
    let bits = float.to_bits();
    let sign = if bits >> 63 == 1 { "-" } else { "" };
    let biased = i64::try_from((bits >> 52) & 0x7ff).unwrap_or_default();
    let fraction = bits & ((1 << 52) - 1);
    if biased == 0 { (sign, fraction, -1074) } else { (sign, fraction | 1 << 52, biased - 1075) }
}

fn hexadecimal(float: f64) -> String {
    let (sign, mut mantissa, mut exponent) = parts(float);
    if mantissa == 0 {
        return format!("{sign}0x0p+00");
    }
    while mantissa >> 52 == 0 {
        mantissa <<= 1;
        exponent -= 1;
    }
    let digits = format!("{:013x}", mantissa & ((1 << 52) - 1));
    let digits = digits.trim_end_matches('0');
    let point = if digits.is_empty() { "" } else { "." };
    let exponent = exponent + 52;
    let exponent_sign = if exponent < 0 { '-' } else { '+' };
    format!("{sign}0x1{point}{digits}p{exponent_sign}{:02}", exponent.abs())
}

fn binary(float: f64) -> String {
    let (sign, mantissa, exponent) = parts(float);
    format!("{sign}{mantissa}p{exponent:+}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_written_as_go_does() {
        for (float, text) in [
            (1.0, "1"),
            (1.5, "1.5"),
            (100_000.0, "100000"),
            (1_000_000.0, "1e+06"),
            (12_345_678_901.0, "1.2345678901e+10"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (-2.5e-7, "-2.5e-07"),
            (0.0, "0"),
            (1e100, "1e+100"),
        ] {
            assert_eq!(shortest(float), text);
        }
        assert_eq!(written(2.718_5, 'g', Some(3)), "2.72");
        assert_eq!(written(1234.5, 'g', Some(2)), "1.2e+03");
        assert_eq!(written(1000.0, 'e', Some(6)), "1.000000e+03");
        assert_eq!(written(3.5, 'x', None), "0x1.cp+01");
        assert_eq!(written(3.5, 'b', None), "7881299347898368p-51");
    }
}
