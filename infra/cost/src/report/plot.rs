//! Plots as inline SVG: bars that lie on their side, which is all a bill needs.

use maud::{Markup, html};

/// Where bars begin: room for their names to the left, in pixels.
const NAMES: f64 = 330.0;
/// The longest bar, in pixels.
const LONGEST: f64 = 420.0;
/// Room for figures to the right, in pixels.
const FIGURES: f64 = 190.0;
/// From bar to bar, in pixels.
const PITCH: f64 = 26.0;
/// A bar's height, in pixels.
const HEIGHT: f64 = 18.0;

/// A bar from one figure to another.
pub(super) struct Bar {
    pub(super) name: String,
    pub(super) from: f64,
    pub(super) to: f64,
    /// What is written at its end.
    pub(super) figure: String,
    /// Its colour, as the style sheet calls it.
    pub(super) class: &'static str,
}

/// A line across all bars.
pub(super) struct Mark {
    pub(super) at: f64,
    pub(super) name: String,
}

/// Bars below one another, on one scale.
pub(super) fn bars(title: &str, bars: &[Bar], marks: &[Mark]) -> Markup {
    let ends = bars.iter().flat_map(|bar| [bar.from, bar.to]);
    let ends = ends.chain(marks.iter().map(|mark| mark.at)).chain([0.0]);
    let (least, most) = ends.fold((0.0_f64, 0.0_f64), |(least, most), end| {
        (least.min(end), most.max(end))
    });
    let scale = if most > least {
        LONGEST / (most - least)
    } else {
        0.0
    };
    let x = |figure: f64| NAMES + (figure - least) * scale;
    let top = if marks.is_empty() { 4.0 } else { 22.0 };
    let (width, height) = (NAMES + LONGEST + FIGURES, top + PITCH * bars.len() as f64 + 4.0);
    html! {
        svg role="img" aria-label=(title) width=(width) height=(height) viewBox=(format!("0 0 {width} {height}")) {
            title { (title) }
            @for mark in marks {
                line class="mark" x1=(px(x(mark.at))) x2=(px(x(mark.at))) y1=(top - 4.0) y2=(height) {}
                text class="mark" x=(px(x(mark.at))) y="12" text-anchor="middle" { (mark.name) }
            }
            line class="axis" x1=(px(x(0.0))) x2=(px(x(0.0))) y1=(top) y2=(height) {}
            @for (row, bar) in bars.iter().enumerate() {
                @let y = top + PITCH * row as f64;
                @let (left, right) = (bar.from.min(bar.to), bar.from.max(bar.to));
                text x=(NAMES - 8.0) y=(px(y + 14.0)) text-anchor="end" { (bar.name) }
                rect class=(bar.class) x=(px(x(left))) y=(px(y + 1.0)) width=(px((right - left) * scale)) height=(HEIGHT) {}
                text x=(px(x(right) + 6.0)) y=(px(y + 14.0)) { (bar.figure) }
            }
        }
    }
}

/// A length as SVG has it.
fn px(length: f64) -> String {
    format!("{length:.1}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_long_as_their_figures() {
        let bar = |from, to| Bar {
            name: "<b>".to_owned(),
            from,
            to,
            figure: String::new(),
            class: "now",
        };
        let svg = bars("t", &[bar(0.0, 2.0), bar(2.0, 4.0), bar(-1.0, 0.0)], &[]).into_string();
        // Five dollars are 420 pixels wide, zero lies 84 to the right.
        assert!(
            svg.contains("x=\"414.0\"") && svg.contains("width=\"168.0\""),
            "{svg}"
        );
        assert!(
            svg.contains("x=\"330.0\"") && svg.contains("width=\"84.0\""),
            "{svg}"
        );
        assert!(!svg.contains("<b>"));
    }

    #[test]
    fn no_bars_and_bars_of_nothing_draw() {
        let nothing = Bar {
            name: String::new(),
            from: 0.0,
            to: 0.0,
            figure: String::new(),
            class: "now",
        };
        for svg in [bars("t", &[], &[]), bars("t", &[nothing], &[])] {
            assert!(!svg.into_string().contains("NaN"));
        }
    }
}
