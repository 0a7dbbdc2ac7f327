//! The report for a person at a terminal.

use std::collections::BTreeMap;

use waxwing_cost::{measured::Excess, report::Report};

use crate::console::{Console, printable};

/// Fields of the sensitivity that are told of.
const MOST_SENSITIVE: usize = 8;

/// Tells everything there is to say.
pub(super) fn tell(console: &Console, report: &Report, local_ms: &BTreeMap<String, f64>) {
    console.say(format_args!(
        "What Waxwing costs: {} list prices of {}, functions on {}",
        printable(&report.region),
        printable(&report.prices_of),
        report.architecture
    ));
    headline(console, report);
    steps(console, report);
    month(console, report);
    if !report.compare.is_empty() {
        compare(console, report);
    }
    sensitivity(console, report);
    assumptions(console, report, local_ms);
}

/// Tells which use cases take more than the budget allows, and what to do.
pub(super) fn tell_exceeding(console: &Console, exceeding: &[Excess]) {
    if exceeding.is_empty() {
        return;
    }
    console.warn("\nMore than the budget allows (infra/cost/budget.toml):");
    for excess in exceeding {
        console.warn(format_args!("  {excess}"));
    }
    console.warn(
        "Make it cheaper, or accept it with `cargo waxwing cost --accept` and say why in the commit that changes the \
         budget.",
    );
}

fn headline(console: &Console, report: &Report) {
    let figures = &report.per_million;
    console.say(format_args!(
        "\nA million of each, at list price ({} acks to a frame, no data transfer)",
        report.workload.tuning.acks_per_frame
    ));
    let bar = |most: f64, met: bool| {
        let verdict = if met { "met" } else { "MISSED" };
        format!("bar {most:.2}: {verdict}")
    };
    let rows = [
        (
            "online 1:1, accepted at once".to_owned(),
            figures.online_immediate,
            bar(report.bar.online_immediate, report.bar.immediate_met),
        ),
        (
            format!(
                "online 1:1, windowed, {} to a frame",
                report
                    .messages_per_frame_today
                    .min(report.workload.tuning.messages_per_frame)
            ),
            figures.online_windowed,
            bar(report.bar.online_windowed, report.bar.windowed_met),
        ),
        (
            "1:1 to a device that is away".to_owned(),
            figures.offline,
            String::new(),
        ),
        (
            "claim of a device's prekeys".to_owned(),
            figures.claim,
            String::new(),
        ),
        ("floor".to_owned(), figures.floor, String::new()),
    ];
    for (what, dollars, note) in rows {
        console.say(format_args!("  {what:<42}{dollars:>8.2} $   {note}"));
    }
    console.say(format_args!(
        "  {:<42}{:>8.2} $",
        "data transfer, besides, of online 1:1", report.transfer_per_million_online
    ));
}

fn steps(console: &Console, report: &Report) {
    console.say(format_args!(
        "\n{:<46}{:>10}{:>10}",
        "From the floor to the price, dollars a million", "at once", "windowed"
    ));
    for step in &report.steps {
        console.say(format_args!(
            "  {:<44}{:>10.3}{:>10.3}",
            step.what, step.immediate, step.windowed
        ));
    }
}

fn month(console: &Console, report: &Report) {
    let month = &report.month;
    let workload = &report.workload;
    console.say(format_args!(
        "\nA month: {} people, {} device(s) each, {} messages a day each: {:.2} $, {:.2} $ for a million messages",
        workload.people,
        workload.devices_each,
        workload.messages_a_day,
        month.total,
        month.per_million_messages
    ));
    for (title, sums) in [
        ("by service", &month.by_service),
        ("by function", &month.by_function),
        ("by use case", &month.by_use_case),
    ] {
        console.say(format_args!("  {title}"));
        let mut largest_first: Vec<_> = sums.iter().collect();
        largest_first.sort_by(|a, b| b.1.total_cmp(a.1));
        for (name, dollars) in largest_first {
            let share = if month.total > 0.0 {
                dollars / month.total * 100.0
            } else {
                0.0
            };
            console.say(format_args!("    {name:<38}{dollars:>12.2} $ {share:>5.1} %"));
        }
    }
    if month.planned > 0.0 {
        console.say(format_args!(
            "  {:.2} $ of it are modelled, not measured (text messages, passes over devices that wait, and groups and media if any)",
            month.planned
        ));
    }
}

fn compare(console: &Console, report: &Report) {
    console.say(format_args!(
        "\n{:<42}{:>12}{:>14}{:>10}{:>10}",
        "What if", "a month", "difference", "at once", "windowed"
    ));
    for one in &report.compare {
        console.say(format_args!(
            "  {:<40}{:>12.2}{:>+14.2}{:>10.3}{:>10.3}",
            printable(&one.setting),
            one.total,
            one.difference,
            one.per_million.online_immediate,
            one.per_million.online_windowed
        ));
    }
}

fn sensitivity(console: &Console, report: &Report) {
    console.say("\nWhat moves the bill most, dollars a month");
    let told = report.sensitivity.iter().filter(|one| one.span() > 0.0);
    for one in told.take(MOST_SENSITIVE) {
        let side = |(value, difference): &(String, f64)| format!("{difference:+.2} at {value}");
        console.say(format_args!(
            "  {:<34}{:>26}{:>26}",
            one.field,
            side(&one.low),
            side(&one.high)
        ));
    }
}

fn assumptions(console: &Console, report: &Report, local_ms: &BTreeMap<String, f64>) {
    let durations = &report.workload.durations;
    console.say(format_args!(
        "\nAssumed on Lambda: {} ms an invocation, {} a table call, {} a post, {} of a whole CPU; {} % cold.\n\
         None of it was measured there; change it with --set durations.… or --duration-ms send=30.",
        durations.overhead_ms,
        durations.table_call_ms,
        durations.post_ms,
        durations.cpu_ms,
        durations.cold_share * 100.0
    ));
    if !local_ms.is_empty() {
        let each: Vec<_> = local_ms
            .iter()
            .map(|(function, ms)| format!("{function} {ms:.1}"))
            .collect();
        console.say(format_args!(
            "Measured on this machine, tables a function call away: {} ms.",
            each.join(", ")
        ));
    }
    if !report.prices_unchecked.is_empty() {
        console.say(format_args!(
            "Prices compared with no public text: {}.",
            printable(&report.prices_unchecked.join("; "))
        ));
    }
}
