//! Points on the globe, and which of two is nearer: for the order of regions and of sources.
//!
//! No more than that is asked, so degrees are read and the haversine is computed here. The standard
//! library's ways are exact to the last bit, and were 12 KB of the compressed module: tables that
//! read any number, and sines of any size.

use core::f64::consts::PI;

/// A point on the globe, in degrees.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Place {
    /// North.
    pub latitude: f64,
    /// East.
    pub longitude: f64,
}

impl Place {
    /// Reads both, each a decimal number; `None` where one is none, or is not on the globe.
    pub fn parse(latitude: &str, longitude: &str) -> Option<Self> {
        let (latitude, longitude) = (degrees(latitude, 90)?, degrees(longitude, 180)?);
        Some(Self { latitude, longitude })
    }

    /// A number between 0 and 1 that grows with the way to another place along the surface.
    pub fn distance(self, to: Self) -> f64 {
        let half = |degrees: f64| {
            let sine = sine(degrees / 2.0);
            sine * sine
        };
        let across = cosine(self.latitude) * cosine(to.latitude);
        half(self.latitude - to.latitude) + across * half(self.longitude - to.longitude)
    }
}

/// Reads a decimal number of degrees, in millionths: some ten centimetres.
fn degrees(text: &str, most: u32) -> Option<f64> {
    const MILLION: u32 = 1_000_000;
    let text = text.trim();
    let (sign, text) = text.strip_prefix('-').map_or((1.0, text), |text| (-1.0, text));
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || whole.len() > 3 || !digits(whole) || !digits(part) {
        return None;
    }
    let place_values = [100_000, 10_000, 1_000, 100, 10, 1];
    let of_part =
        part.bytes().zip(place_values).map(|(byte, value)| u32::from(byte - b'0') * value);
    let micro = whole.parse::<u32>().ok()? * MILLION + of_part.sum::<u32>();
    (micro <= most * MILLION).then(|| sign * f64::from(micro) / f64::from(MILLION))
}

/// The sine of an angle between -180 and 180 degrees, to about 1e-10: its series, up to the
/// fifteenth power, for an angle between -90 and 90.
fn sine(degrees: f64) -> f64 {
    let folded = if degrees > 90.0 {
        180.0 - degrees
    } else if degrees < -90.0 {
        -180.0 - degrees
    } else {
        degrees
    };
    let angle = folded * PI / 180.0;
    let (mut sum, mut term, mut power) = (angle, angle, 1.0);
    while power < 15.0 {
        term *= -angle * angle / ((power + 1.0) * (power + 2.0));
        sum += term;
        power += 2.0;
    }
    sum
}

/// The cosine of a latitude.
fn cosine(latitude: f64) -> f64 {
    sine(90.0 - latitude)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sines_are_those_of_the_standard_library() {
        for tenth in -1800..=1800 {
            let degrees = f64::from(tenth) / 10.0;
            assert!((sine(degrees) - degrees.to_radians().sin()).abs() < 1e-10, "{degrees}");
            if (-900..=900).contains(&tenth) {
                let off = cosine(degrees) - degrees.to_radians().cos();
                assert!(off.abs() < 1e-10, "{degrees}");
            }
        }
    }

    #[test]
    fn degrees_are_read_as_the_standard_library_reads_them() {
        for text in ["0", "-0.5", "8.7", "50.11090", "-74.0060152", " 90 ", "-90", "89.999999999"] {
            let expected: f64 = text.trim().parse().expect("a number");
            let read = degrees(text, 90).expect(text);
            assert!((read - expected).abs() < 1.1e-6, "{text}: {read}");
        }
        for text in ["", "-", ".5", "90.000001", "--1", "+1", "1e1", "NaN", "inf", "1.2.3", "1,5"] {
            assert_eq!(degrees(text, 90), None, "{text}");
        }
        assert_eq!(Place::parse("1.5", "180.1"), None);
        assert_eq!(Place::parse("-1.5", "-180"), Some(Place { latitude: -1.5, longitude: -180.0 }));
    }

    #[test]
    fn a_way_is_as_long_back_and_over_the_date_line() {
        let place = |latitude, longitude| Place { latitude, longitude };
        let (fiji, sydney) = (place(-18.1, -178.4), place(-33.9, 151.2));
        assert_eq!(fiji.distance(sydney), sydney.distance(fiji));
        assert!(fiji.distance(sydney) < fiji.distance(place(1.3, 103.8)));
        let poles = place(90.0, 0.0).distance(place(-90.0, 77.0));
        assert!((poles - 1.0).abs() < 1e-9, "{poles}");
    }
}
