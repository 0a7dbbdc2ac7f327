//! The report as one page that asks nobody for anything: style and plots are in it, scripts there are none.

use std::collections::BTreeMap;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{
    Report,
    plot::{Bar, Mark, bars},
};

/// The page's style.
const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1b2430; --paper: #fff; --quiet: #68737f; --line: #d5dae0;
  --now: #2b6cb0; --more: #c05621; --less: #2f855a; --planned: #b7a36b; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ed; --paper: #14181d; --quiet: #98a2ad; --line: #39424c;
  --now: #63a4e0; --more: #e08a54; --less: #5cb888; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 62rem;
  margin: 2rem auto; padding: 0 1rem; }
h1 { margin-bottom: 0; } h2 { margin-top: 2.5rem; } .quiet { color: var(--quiet); }
table { border-collapse: collapse; margin: 1rem 0; } th, td { padding: .2rem .8rem .2rem 0; text-align: left;
  border-bottom: 1px solid var(--line); } td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
svg { max-width: 100%; height: auto; } svg text { font-size: 13px; fill: var(--ink); }
.now { fill: var(--now); } .more { fill: var(--more); } .less { fill: var(--less); } .planned { fill: var(--planned); }
.axis { stroke: var(--quiet); } line.mark { stroke: var(--more); stroke-dasharray: 4 3; }
.met { color: var(--less); } .missed { color: var(--more); } .wide { overflow-x: auto; }
";

impl Report {
    /// The report as a page.
    pub fn to_html(&self) -> String {
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    title { "What Waxwing costs" }
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    (self.head())
                    (self.headline())
                    (self.waterfall())
                    (self.month())
                    @if !self.compare.is_empty() { (self.alternatives()) }
                    (self.tornado())
                    (self.use_cases())
                    (self.assumptions())
                    (self.all_lines())
                }
            }
        };
        page.into_string()
    }

    fn head(&self) -> Markup {
        html! {
            h1 { "What Waxwing costs" }
            p .quiet {
                "Prices of " (self.region) ", " (self.prices_of) ". Functions on " (self.architecture.to_string()) ". "
                (self.prices_note)
            }
            @if !self.prices_unchecked.is_empty() {
                p .missed { "Compared with no public text: the prices of " (self.prices_unchecked.join("; ")) "." }
            }
        }
    }

    fn headline(&self) -> Markup {
        let figures = &self.per_million;
        let row = |what: &str, dollars: f64, bar: Option<(f64, bool)>| {
            html! {
                tr {
                    td { (what) }
                    td .n { (money(dollars)) }
                    td {
                        @match bar {
                            Some((bar, true)) => span .met { "at most " (money(bar)) ": met" },
                            Some((bar, false)) => span .missed { "at most " (money(bar)) ": missed by " (money(dollars - bar)) },
                            None => "",
                        }
                    }
                }
            }
        };
        html! {
            h2 { "A million of each, at list price" }
            table {
                tr { th { "what" } th .n { "dollars" } th { "bar" } }
                (row("online 1:1 message, accepted at once", figures.online_immediate,
                    Some((self.bar.online_immediate, self.bar.immediate_met))))
                (row("online 1:1 message, windowed, as the client does it today", figures.online_windowed,
                    Some((self.bar.online_windowed, self.bar.windowed_met))))
                (row(&format!("online 1:1 message, {} to a send frame", self.workload.tuning.messages_per_frame),
                    figures.online_windowed_if_batched, None))
                (row("1:1 message to a device that is away", figures.offline, None))
                (row("claim of a device's prekeys", figures.claim, None))
                (row("floor", figures.floor, None))
            }
            p .quiet {
                "First tier, nothing free, without data transfer, which adds "
                (money(self.transfer_per_million_online)) " to a million online messages. Acks: "
                (self.workload.tuning.acks_per_frame) " envelopes to a frame."
            }
        }
    }

    fn waterfall(&self) -> Markup {
        let steps = |dollars: fn(&crate::message::Step) -> f64| {
            let mut reached = 0.0;
            let mut all: Vec<_> = self
                .steps
                .iter()
                .map(|step| {
                    let from = reached;
                    reached += dollars(step);
                    Bar {
                        name: step.what.to_owned(),
                        from,
                        to: reached,
                        figure: money(dollars(step)),
                        class: "now",
                    }
                })
                .collect();
            all.push(Bar {
                name: "together".to_owned(),
                from: 0.0,
                to: reached,
                figure: money(reached),
                class: "more",
            });
            all
        };
        let mark = |at: f64| {
            [Mark {
                at,
                name: format!("bar {}", money(at)),
            }]
        };
        html! {
            h2 { "From the floor to the price" }
            h3 { "accepted at once" }
            (bars("Online message, accepted at once: dollars for a million, step by step",
                &steps(|step| step.immediate), &mark(self.bar.online_immediate)))
            h3 { "windowed, " (number(self.messages_per_frame_today.min(self.workload.tuning.messages_per_frame)))
                " message(s) to a send frame" }
            (bars("Online message, windowed: dollars for a million, step by step",
                &steps(|step| step.windowed), &mark(self.bar.online_windowed)))
        }
    }

    fn month(&self) -> Markup {
        let month = &self.month;
        html! {
            h2 { "A month of this workload: " (money(month.total)) }
            p {
                (number(month.messages)) " messages by " (number(self.workload.people)) " people with "
                (number(self.workload.devices_each)) " device(s) each. "
                (money(month.per_million_messages)) " for a million messages, with connections, newcomers and storage. "
                (number(month.acks_per_frame)) " envelopes share an ack."
                @if month.planned > 0.0 { " Of the total, " (money(month.planned)) " is for what is planned and not built." }
                @if self.free_tier { " What is free for ever is taken off." }
            }
            (shares("By service", &month.by_service))
            (shares("By function", &month.by_function))
            (shares("By use case", &month.by_use_case))
        }
    }

    fn alternatives(&self) -> Markup {
        html! {
            h2 { "What if" }
            table {
                tr {
                    th { "change" } th .n { "a month" } th .n { "difference" }
                    th .n { "a million immediate" } th .n { "a million windowed" }
                }
                @for one in &self.compare {
                    tr {
                        td { (one.setting) }
                        td .n { (money(one.total)) }
                        td .n { (signed(one.difference)) }
                        td .n { (money(one.per_million.online_immediate)) }
                        td .n { (money(one.per_million.online_windowed)) }
                    }
                }
            }
        }
    }

    fn tornado(&self) -> Markup {
        let side = |name: String, (value, difference): &(String, f64)| Bar {
            name,
            from: 0.0,
            to: *difference,
            figure: format!("{} at {value}", signed(*difference)),
            class: if *difference > 0.0 { "more" } else { "less" },
        };
        let all: Vec<_> = self
            .sensitivity
            .iter()
            .filter(|one| one.span() > 0.0)
            .take(MOST_SENSITIVE)
            .flat_map(|one| {
                [
                    side(one.field.to_owned(), &one.low),
                    side(String::new(), &one.high),
                ]
            })
            .filter(|bar| bar.to != 0.0 || !bar.name.is_empty())
            .collect();
        html! {
            h2 { "What moves the bill most" }
            p .quiet { "Dollars a month more or less with one field changed: numbers halved and doubled, the others as named." }
            (bars("Dollars a month by which each field moves the bill", &all, &[]))
        }
    }

    fn use_cases(&self) -> Markup {
        html! {
            h2 { "A million of each measured use case" }
            div .wide {
                table {
                    tr {
                        th { "use case" } th .n { "dollars" } th .n { "frames" } th .n { "invocations" }
                        th .n { "GB-seconds" } th .n { "writes" } th .n { "reads" } th .n { "HTTP" }
                    }
                    @for one in &self.use_cases {
                        tr {
                            td { (one.name.replace('_', " ")) }
                            td .n { (money(one.total)) }
                            @for dollars in [one.dollars.frames, one.dollars.invocations, one.dollars.gb_seconds,
                                one.dollars.write_units, one.dollars.read_units, one.dollars.http_requests] {
                                td .n { (money(dollars)) }
                            }
                        }
                    }
                }
            }
        }
    }

    fn assumptions(&self) -> Markup {
        let durations = &self.workload.durations;
        html! {
            h2 { "Assumptions" }
            ul {
                li {
                    "An invocation takes " (durations.overhead_ms) " ms, " (durations.table_call_ms) " ms for each call to a table, "
                    (durations.post_ms) " ms for each post, and " (durations.cpu_ms) " ms of a whole virtual CPU."
                    " Nothing of this was measured on Lambda."
                }
                li {
                    (durations.cold_share * 100.0) " % of invocations start an instance, at " (durations.cold_gb_seconds) " GB-seconds each."
                }
                @for (function, ms) in &durations.functions { li { (function) " takes " (ms) " ms." } }
                li { "Counts are the local runner's; WebSocket pings, connects and disconnects are no billed messages." }
                li { "Groups and media are planned: what they cost is modelled, not measured." }
            }
        }
    }

    fn all_lines(&self) -> Markup {
        html! {
            h2 { "Every line of the month" }
            details {
                summary { (self.month.lines.len()) " lines" }
                table {
                    tr { th { "use case" } th { "function" } th { "unit" } th .n { "quantity" } th .n { "dollars" } }
                    @for line in &self.month.lines {
                        tr {
                            td { (line.use_case) @if line.planned { " (planned)" } }
                            td { (line.function.as_deref().unwrap_or("")) }
                            td { (line.service) " " (line.item.label()) }
                            td .n { (number(line.quantity)) }
                            td .n { (money(line.dollars)) }
                        }
                    }
                }
            }
        }
    }
}

/// Fields of the sensitivity that are drawn.
const MOST_SENSITIVE: usize = 12;

fn shares(title: &str, sums: &BTreeMap<String, f64>) -> Markup {
    let mut largest_first: Vec<_> = sums.iter().filter(|(_, dollars)| **dollars > 0.0).collect();
    largest_first.sort_by(|a, b| b.1.total_cmp(a.1));
    let all: Vec<_> = largest_first
        .into_iter()
        .map(|(name, dollars)| Bar {
            name: name.clone(),
            from: 0.0,
            to: *dollars,
            figure: money(*dollars),
            class: "now",
        })
        .collect();
    html! { h3 { (title) } (bars(title, &all, &[])) }
}

/// Dollars for a reader.
pub(super) fn money(dollars: f64) -> String {
    format!("${}", number_with(dollars, 2))
}

fn signed(dollars: f64) -> String {
    let sign = if dollars < 0.0 { "−" } else { "+" };
    format!("{sign}{}", money(dollars.abs()))
}

fn number(figure: f64) -> String {
    number_with(figure, if figure.fract() == 0.0 { 0 } else { 1 })
}

/// A figure with thousands apart.
fn number_with(figure: f64, places: usize) -> String {
    let text = format!("{:.places$}", figure.abs());
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = String::new();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let sign = if figure < 0.0 { "-" } else { "" };
    format!("{sign}{grouped}{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::model;

    #[test]
    fn the_page_asks_nobody_for_anything_and_runs_nothing() {
        let settings = ["tuning.memory_mb=128".to_owned()];
        let page = Report::of(&model(), &settings).unwrap().to_html();
        for foreign in [
            "http:", "https:", "<script", "<link", "<img", "url(", "@import", "NaN",
        ] {
            assert!(!page.contains(foreign), "{foreign}");
        }
        assert!(page.contains("<svg") && page.contains("tuning.memory_mb=128"));
    }

    #[test]
    fn text_from_files_is_escaped() {
        let mut model = model();
        model.book.note = "<script>alert(1)</script>".to_owned();
        model.book.region = "\"><img src=x>".to_owned();
        model
            .workload
            .durations
            .functions
            .insert("<i>send".to_owned(), 3.0);
        let page = Report::of(&model, &[]).unwrap().to_html();
        for tag in ["<script", "<img", "<i>"] {
            assert!(!page.contains(tag), "{tag}");
        }
    }

    #[test]
    fn figures_are_for_readers() {
        assert_eq!(money(1_234_567.891), "$1,234,567.89");
        assert_eq!(signed(-0.5), "−$0.50");
        assert_eq!((number(1000.0), number(1.25)), ("1,000".into(), "1.2".into()));
    }
}
