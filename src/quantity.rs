//! Quantities as Kubernetes reads them (`k8s.io/apimachinery/pkg/api/resource`).

/// A quantity in thousandths, rounded away from zero, as Kubernetes compares it: a number with a sign, a fraction, and
/// a unit or an exponent. `None`: the text is no quantity.
pub fn thousandths(text: &str) -> Option<i128> {
    const LARGEST: i128 = i64::MAX as i128 * 1000;
    let (digits, is_negative) = match text.strip_prefix('-') {
        Some(digits) => (digits, true),
        None => (text.strip_prefix('+').unwrap_or(text), false),
    };
    let end = digits.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(digits.len());
    let (digits, unit) = digits.split_at(end);
    let points = digits.matches('.').count();
    if points > 1 || digits.len() == points {
        return None;
    }
    // Powers of 1024 and of ten. An exponent can have a sign.
    let (binary, exponent): (u32, i32) = match unit {
        "Ki" | "Mi" | "Gi" | "Ti" | "Pi" | "Ei" => (1 + "KMGTPE".find(&unit[..1])? as u32, 0),
        "n" | "u" | "m" | "" => (0, 3 * ("num".find(unit).filter(|_| !unit.is_empty()).unwrap_or(3) as i32 - 3)),
        "k" | "M" | "G" | "T" | "P" | "E" => (0, 3 + 3 * "kMGTPE".find(unit)? as i32),
        _ => {
            let power = unit.strip_prefix(['e', 'E'])?;
            let number = power.strip_prefix(['+', '-']).unwrap_or(power);
            if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            (0, power.parse().unwrap_or(if power.starts_with('-') { -99 } else { 99 }))
        }
    };
    let (mut value, mut scale, mut is_more) = (0_i128, exponent.clamp(-99, 99) + 3, false);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    for (index, digit) in whole.bytes().chain(fraction.bytes()).enumerate() {
        let is_kept = value < 1_i128 << 70;
        match is_kept {
            true => value = value * 10 + i128::from(digit - b'0'),
            false => is_more |= digit != b'0',
        }
        scale += match (is_kept, index < whole.len()) {
            (true, false) => -1,
            (false, true) => 1,
            _ => 0,
        };
    }
    value = value.saturating_mul(1024_i128.pow(binary));
    for _ in 0..scale.max(0) {
        value = value.saturating_mul(10);
    }
    for _ in scale.min(0)..0 {
        is_more |= value % 10 != 0;
        value /= 10;
    }
    let value = value.saturating_add(i128::from(is_more)).min(LARGEST);
    Some(if is_negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_compared_in_thousandths() {
        for (text, expected) in [
            ("0", Some(0)),
            ("1", Some(1000)),
            ("250m", Some(250)),
            ("0.5", Some(500)),
            (".5", Some(500)),
            ("5.", Some(5000)),
            ("1n", Some(1)),
            ("1500u", Some(2)),
            ("-1", Some(-1000)),
            ("+1k", Some(1_000_000)),
            ("1Ki", Some(1_024_000)),
            ("1.5Gi", Some(1_610_612_736_000)),
            ("1e3", Some(1_000_000)),
            ("1E", Some(1_000_000_000_000_000_000_000)),
            ("12E-1", Some(1200)),
            ("9999999999999999999999999999", Some(9_223_372_036_854_775_807_000)),
            ("1e99999999999", Some(9_223_372_036_854_775_807_000)),
            ("1e-99999999999", Some(1)),
            ("", None),
            (".", None),
            ("1K", None),
            ("1e", None),
            ("1 Gi", None),
            ("1.2.3", None),
            ("Gi", None),
        ] {
            assert_eq!(thousandths(text), expected, "{text}");
        }
    }
}
