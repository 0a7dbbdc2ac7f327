//! The checks, one function each, in the order of [`Check`].

use std::time::{Duration, Instant};

use reqwest::Url;
use tokio::time::sleep;
use waxwing_client::AccountId;

use super::{
    Order,
    codes::{CodeError, Codes},
    finding::{Check, Finding, State},
    patient::{JoinError, Patient, Trouble},
    probe::{Answer, Probe, is_loopback},
};
use crate::{
    console::Console,
    tables::{Expiry, Tables},
};

/// Days that a message waits, as the service promises.
const DAYS_KEPT: u64 = 30;

/// Seconds by which the clocks of this machine and of the service may differ.
const CLOCK_SLACK: u64 = 15 * 60;

/// How often the tables are looked into while a connection ends.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What is sent: long enough that no other text is it by chance.
const TEXTS: [&str; 3] = [
    "waxwing doctor: from the first to the second, online",
    "waxwing doctor: from the second to the first, online",
    "waxwing doctor: from the first to the second, offline",
];

/// Passed, with what was seen; or what is wrong and what to do.
type Outcome = Result<String, Wrong>;

struct Wrong {
    problem: String,
    remedy: String,
}

fn wrong(problem: impl ToString, remedy: impl ToString) -> Wrong {
    Wrong {
        problem: problem.to_string(),
        remedy: remedy.to_string(),
    }
}

/// Two devices with accounts.
struct Pair {
    first: Patient,
    second: Patient,
    accounts: [AccountId; 2],
}

/// Makes every check; those that need one that failed are not tried.
pub(super) async fn all(order: &Order, console: &Console) -> Vec<Finding> {
    let mut report = Report {
        console,
        findings: Vec::new(),
    };
    let probe = match Probe::new(order.patience) {
        Ok(probe) => probe,
        Err(error) => {
            let outcome = wrong(
                error,
                "see that this machine has certificates of authorities to trust",
            );
            report.add(Check::Addresses, Err(outcome));
            return report.finish();
        }
    };
    report.add(Check::Addresses, addresses(order));
    report.add(Check::Http, http(order, &probe).await);
    report.add(Check::WebSocket, websocket(order, &probe).await);

    let codes = Codes::of(order, &probe, console).await;
    let mut pair = match join(order, &codes).await {
        Ok((pair, seen)) => {
            report.add(Check::Registration, Ok(seen));
            pair
        }
        Err(outcome) => {
            report.add(Check::Registration, Err(outcome));
            return report.finish();
        }
    };
    devices(&mut report, &mut pair, order, codes.are_local()).await;
    pair.first.discard().await;
    pair.second.discard().await;
    report.finish()
}

/// Everything that two devices can show.
async fn devices(report: &mut Report<'_>, pair: &mut Pair, order: &Order, local: bool) {
    if !report.add(Check::Connection, connection(pair).await) {
        return;
    }
    if !report.add(Check::Online, online(pair).await) {
        return;
    }
    let sent = send_away(pair).await;
    match (&sent, local) {
        (Ok(()), true) => drop(report.add(Check::Expiry, expiry(order).await)),
        (Ok(()), false) => report.skip(
            Check::Expiry,
            "not to be seen by a client; run `aws dynamodb describe-time-to-live --table-name` for the mailbox table",
        ),
        (Err(_), _) => {}
    }
    let read = match sent {
        Ok(()) => read_back(pair).await,
        Err(wrong) => Err(wrong),
    };
    if !report.add(Check::Offline, read) {
        return;
    }
    if report.add(Check::Deletion, deletion(pair).await) {
        report.add(Check::CleanUp, clean_up(pair, order, local).await);
    }
}

fn addresses(order: &Order) -> Outcome {
    let pairs = [
        (&order.endpoints.websocket_url, "wss", "ws"),
        (&order.endpoints.http_url, "https", "http"),
    ];
    for (address, private, open) in pairs {
        let url: Url = address.parse().map_err(|error| {
            wrong(
                format_args!("{address} is no address: {error}"),
                "copy the stack's outputs WebSocketUrl and HttpUrl",
            )
        })?;
        if url.scheme() != private && (url.scheme() != open || !is_loopback(&url)) {
            return Err(wrong(
                format_args!(
                    "{address} does not begin with {private}://, and everyone on the way sees the tokens"
                ),
                "copy the stack's outputs WebSocketUrl and HttpUrl",
            ));
        }
    }
    Ok("well formed, and private on the way".to_owned())
}

async fn http(order: &Order, probe: &Probe) -> Outcome {
    match probe.keys_without_token(&order.endpoints.http_url).await {
        Ok(Answer::Refused) => Ok("answers, and refuses who has no token".to_owned()),
        Ok(Answer::Other(answer)) => Err(wrong(
            format_args!("whoever has no token is answered {answer}"),
            "compare --http-endpoint with the stack's output HttpUrl, stage included; then read the log of fetch",
        )),
        Err(error) => Err(unreachable(error, "--http-endpoint", "HttpUrl")),
    }
}

async fn websocket(order: &Order, probe: &Probe) -> Outcome {
    match probe.socket_without_token(&order.endpoints.websocket_url).await {
        Ok(Answer::Refused) => Ok("answers, and refuses who has no token".to_owned()),
        Ok(Answer::Other(answer)) => Err(wrong(
            format_args!("whoever has no token is answered {answer}"),
            "the route $connect must ask the authorizer: see Auth of WebSocketApi in template.yaml, and the URL's stage",
        )),
        Err(error) => Err(unreachable(error, "--endpoint", "WebSocketUrl")),
    }
}

fn unreachable(error: reqwest::Error, argument: &str, output: &str) -> Wrong {
    // The address is known; what went wrong on the way to it is the cause behind.
    let cause = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
    wrong(
        format_args!("cannot be reached: {cause}"),
        format_args!(
            "compare {argument} with the stack's output {output}; for this machine run `cargo waxwing local`"
        ),
    )
}

async fn join(order: &Order, codes: &Codes<'_>) -> Result<(Pair, String), Wrong> {
    let begun = Instant::now();
    let Some([first, second]) = codes.phones(&order.phones) else {
        return Err(wrong(
            "a deployment sends codes to phones, and no phone is named",
            "name two phones that you can read, --phone NUMBER --phone NUMBER",
        ));
    };
    let first = Patient::join("the first device", &first, order, codes)
        .await
        .map_err(|error| not_joined("the first device", &error))?;
    let second = Patient::join("the second device", &second, order, codes)
        .await
        .map_err(|error| not_joined("the second device", &error))?;
    let (Some(one), Some(two)) = (first.account(), second.account()) else {
        return Err(wrong(
            "a device that registered has no account",
            "this is a fault of the client; report it",
        ));
    };
    let pair = Pair {
        first,
        second,
        accounts: [one, two],
    };
    Ok((pair, format!("two devices got accounts by code{}", took(begun))))
}

fn not_joined(name: &str, error: &JoinError) -> Wrong {
    let remedy = match error {
        JoinError::Request(_) => {
            "read the log of challenge: it needs sns:Publish, its tables, and an SNS account out of the SMS sandbox; \
             after many tries the number's budget is used up for a while"
        }
        JoinError::Code(CodeError::NoneCame(_)) => {
            "read the log of challenge: the code was accepted for sending, but not sent"
        }
        JoinError::Code(_) => "run the examination again",
        JoinError::Confirm(_) => "read the log of confirm; a code is good once and for a few minutes",
        JoinError::HasAccount => "take numbers that nobody uses, or add --take-over if these are for tests",
        JoinError::Register(_) => "read the log of register: it needs its tables, and a number without a PIN",
        JoinError::Open(_) => "correct the addresses",
        JoinError::Store(_) => "this is a fault of this machine: free some memory",
    };
    wrong(format_args!("{name}: {error}"), remedy)
}

async fn connection(pair: &mut Pair) -> Outcome {
    let begun = Instant::now();
    for patient in [&mut pair.first, &mut pair.second] {
        let name = patient.name;
        patient.connect().await.map_err(|trouble| {
            wrong(
                format_args!("{name} could not connect and read its mailbox: {trouble}"),
                "read the logs of authorize, connect and receive; --audience must be the template's TokenAudience, \
                 and this machine's clock be right",
            )
        })?;
    }
    Ok(format!("both devices are connected{}", took(begun)))
}

async fn online(pair: &mut Pair) -> Outcome {
    let [first, second] = pair.accounts;
    let [there, back, _] = TEXTS;
    let begun = Instant::now();
    pair.first.send(second, there).await.map_err(not_accepted)?;
    pair.second.read(there).await.map_err(not_delivered)?;
    let one_way = took(begun);
    pair.second.send(first, back).await.map_err(not_accepted)?;
    pair.first.read(back).await.map_err(not_delivered)?;
    Ok(format!(
        "a message each way was decrypted; the first with a new session{one_way}"
    ))
}

fn not_accepted(trouble: Trouble) -> Wrong {
    wrong(
        format_args!("a message was not accepted: {trouble}"),
        "read the logs of claim and send: they need their tables",
    )
}

fn not_delivered(trouble: Trouble) -> Wrong {
    wrong(
        format_args!("a message was accepted and not delivered to a connected device: {trouble}"),
        "send needs execute-api:ManageConnections for POST, and CONNECTIONS_ENDPOINT must be the API's own address",
    )
}

/// The second device leaves; the first writes to it.
async fn send_away(pair: &mut Pair) -> Result<(), Wrong> {
    let [_, second] = pair.accounts;
    pair.second.disconnect().await;
    pair.first.send(second, TEXTS[2]).await.map_err(not_accepted)
}

async fn read_back(pair: &mut Pair) -> Outcome {
    let begun = Instant::now();
    let lost = |trouble: Trouble| {
        wrong(
            format_args!("a message that waited did not come: {trouble}"),
            "read the log of receive: it needs dynamodb:Query on the mailbox table",
        )
    };
    let waited = pair.second.connect().await.map_err(lost)?;
    if waited == 0 {
        let nothing = "a message was accepted for a device that was away, and nothing waited for it";
        return Err(wrong(
            nothing,
            "send must write to the mailbox table that receive reads: compare MAILBOX_TABLE",
        ));
    }
    pair.second.read(TEXTS[2]).await.map_err(lost)?;
    Ok(format!(
        "a message waited for a device that was away{}",
        took(begun)
    ))
}

/// Only on this machine: the mailbox as its tables hold it, while a message waits.
async fn expiry(order: &Order) -> Outcome {
    let remedy = "MailboxTable in template.yaml needs TimeToLiveSpecification with AttributeName expires_at";
    let found = Tables::at(&origin(order)?).expiries("MailboxTable").await;
    let expiries = match found {
        Ok(Some(Expiry { attribute, values })) if !values.is_empty() => (attribute == "expires_at")
            .then_some(values)
            .ok_or_else(|| wrong("the table deletes by another attribute", remedy))?,
        Ok(Some(_)) => {
            return Err(wrong(
                "what waits has no time at which it expires",
                "send must write expires_at",
            ));
        }
        Ok(None) => return Err(wrong("the mailbox table never deletes what has expired", remedy)),
        Err(error) => return Err(wrong(error, remedy)),
    };
    let seconds = crate::tables::now_in_seconds();
    let kept = DAYS_KEPT * 24 * 60 * 60;
    let promised = (seconds + kept).saturating_sub(CLOCK_SLACK)..=seconds + kept + CLOCK_SLACK;
    match expiries.iter().all(|at| *at <= *promised.end()) && expiries.iter().any(|at| promised.contains(at))
    {
        true => Ok(format!("what waits is deleted after {DAYS_KEPT} days")),
        false => Err(wrong(
            format_args!("what waits does not expire after {DAYS_KEPT} days"),
            "compare the clocks of this machine and of the service",
        )),
    }
}

async fn deletion(pair: &mut Pair) -> Outcome {
    pair.second.disconnect().await;
    let again = pair.second.connect().await.map_err(|trouble| {
        wrong(
            format_args!("the second device could not come back: {trouble}"),
            "read the logs of connect and receive",
        )
    })?;
    match again {
        0 => Ok("what was acked did not come again".to_owned()),
        count => Err(wrong(
            format_args!("{count} envelopes that were acked came again"),
            "read the log of ack: it needs dynamodb:BatchWriteItem on the mailbox table",
        )),
    }
}

async fn clean_up(pair: &mut Pair, order: &Order, local: bool) -> Outcome {
    pair.second.disconnect().await;
    pair.first.disconnect().await;
    let left = pair.first.connect().await;
    pair.first.disconnect().await;
    match left {
        Ok(0) => {}
        Ok(count) => {
            return Err(wrong(
                format_args!("{count} envelopes are left in the first device's mailbox"),
                "read the log of ack: it needs dynamodb:BatchWriteItem on the mailbox table",
            ));
        }
        Err(trouble) => {
            return Err(wrong(
                format_args!("the first device could not come back: {trouble}"),
                "read the logs of connect, disconnect and receive",
            ));
        }
    }
    if !local {
        return Ok("both mailboxes are empty; the two numbers keep accounts without messages".to_owned());
    }
    forgotten(pair, order).await
}

/// Only on this machine: no table says that one of the devices is connected any more.
async fn forgotten(pair: &Pair, order: &Order) -> Outcome {
    let end = Instant::now() + order.patience;
    let tables = Tables::at(&origin(order)?);
    loop {
        let connected = tables.connected(&pair.accounts).await;
        match connected.map_err(|error| wrong(error, "run the examination again"))? {
            0 => return Ok("both mailboxes are empty, and both devices are known to be away".to_owned()),
            // The route runs after the socket is closed.
            _ if Instant::now() < end => sleep(LOOK_AGAIN).await,
            count => {
                return Err(wrong(
                    format_args!(
                        "{count} devices that left count as connected; messages to them are posted in vain"
                    ),
                    "read the log of disconnect: it needs dynamodb:UpdateItem on the devices table",
                ));
            }
        }
    }
}

/// Where the tables of a local runner are: at its own address.
fn origin(order: &Order) -> Result<String, Wrong> {
    let url: Url = order
        .endpoints
        .http_url
        .parse()
        .map_err(|error| wrong(error, "run the examination again"))?;
    Ok(url.origin().ascii_serialization())
}

fn took(begun: Instant) -> String {
    format!(" ({} ms)", begun.elapsed().as_millis())
}

/// The findings so far.
struct Report<'a> {
    console: &'a Console,
    findings: Vec<Finding>,
}

impl Report<'_> {
    /// Adds a finding, and tells whether the check passed.
    fn add(&mut self, check: Check, outcome: Outcome) -> bool {
        let passed = outcome.is_ok();
        let state = match outcome {
            Ok(seen) => State::Passed { seen },
            Err(Wrong { problem, remedy }) => State::Failed { problem, remedy },
        };
        self.push(Finding { check, state });
        passed
    }

    fn skip(&mut self, check: Check, reason: &str) {
        let reason = reason.to_owned();
        self.push(Finding {
            check,
            state: State::Skipped { reason },
        });
    }

    fn push(&mut self, finding: Finding) {
        self.console.say(&finding);
        self.findings.push(finding);
    }

    /// Every check in order; those never reached are skipped.
    fn finish(mut self) -> Vec<Finding> {
        for check in Check::ALL {
            if !self.findings.iter().any(|finding| finding.check == check) {
                self.skip(check, "not tried: it needs what is wrong above");
            }
        }
        self.findings.sort_by_key(|finding| finding.check);
        self.findings
    }
}
