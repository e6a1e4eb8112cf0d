//! The chart of the pairs: each one's delta in parts of the best outside tool's bytes.

use anyhow::Result;

use super::{Row, exact};

const SETS: [(&str, &str); 4] =
    [("phish", "#b98522"), ("uniswap", "#3f8f5c"), ("solana", "#7b64ad"), ("bcd", "#2f6f9f")];

/// One dot a pair, over the best tool's bytes; both axes named.
pub(super) fn svg(rows: &[Row]) -> Result<String> {
    let (left, right, top, bottom) = (70.0, 650.0, 40.0, 300.0);
    // 100 bytes to 1 MB, by powers of ten.
    let x = |bytes: u64| left + (right - left) * (exact(bytes.max(100)).log10() - 2.0) / 4.0;
    let y = |ratio: f64| bottom - (bottom - top) * ratio.min(1.2) / 1.2;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 720 380\" role=\"img\" \
         font-family=\"system-ui, sans-serif\" font-size=\"12\">\n<title>Deltas, in parts of the \
         best outside tool's bytes</title>\n<rect width=\"720\" height=\"380\" rx=\"12\" \
         fill=\"#f7f9fb\"/>\n<g fill=\"#16232e\">\n<text x=\"{left}\" y=\"24\">delta, of the best \
         outside tool</text>\n<text x=\"{right}\" y=\"340\" text-anchor=\"end\">bytes of the best \
         outside tool</text>\n"
    );
    for step in 0..=6u8 {
        let ratio = f64::from(step) / 5.0;
        let colour = if step == 5 { "#b3423a" } else { "#c9d4de" };
        svg += &format!(
            "<line x1=\"{left}\" x2=\"{right}\" y1=\"{0:.1}\" y2=\"{0:.1}\" stroke=\"{colour}\"/>\n\
             <text x=\"{1}\" y=\"{2:.1}\" text-anchor=\"end\">{ratio:.1}</text>\n",
            y(ratio),
            left - 8.0,
            y(ratio) + 4.0,
        );
    }
    for (power, label) in ["100", "1 k", "10 k", "100 k", "1 M"].into_iter().enumerate() {
        let at = x(10u64.pow(u32::try_from(power)? + 2));
        let under = bottom + 20.0;
        svg +=
            &format!("<text x=\"{at:.1}\" y=\"{under}\" text-anchor=\"middle\">{label}</text>\n");
    }
    for row in rows {
        let best = row.best()?.bytes;
        let colour = SETS.iter().find(|(name, _)| *name == row.set).map_or("#16232e", |s| s.1);
        svg += &format!(
            "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"5\" fill=\"{colour}\"/>\n",
            x(best),
            y(exact(row.bytes()) / exact(best)),
        );
    }
    for ((name, colour), at) in SETS.into_iter().zip([0.0, 100.0, 200.0, 300.0]) {
        let at = left + at;
        svg += &format!("<text x=\"{at}\" y=\"364\" fill=\"{colour}\">● {name}</text>\n");
    }
    svg += "</g>\n</svg>\n";
    Ok(svg)
}
