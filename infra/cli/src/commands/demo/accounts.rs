//! The last chapter: accounts and devices. Carol links a laptop and a tablet and revokes the tablet; Dave loses his
//! phone, and Carol is asked before anything is sent to the new one.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use waxwing_client::{AccountId, Comparison, Event, Events, Fingerprint};
use waxwing_local::runner::Runner;

use super::DemoError;
use crate::{
    console::Console,
    people::{self, Device, PeopleError},
    service,
};

/// How long something that must happen may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Seconds after which a second code is sent to a number.
const CODE_PAUSE_SECONDS: i64 = 61;

/// A promise about accounts that was not kept.
#[derive(Debug, thiserror::Error)]
pub enum AccountsError {
    /// A device did not tell what it was to tell.
    #[error("{0}, and nothing came of it in a minute")]
    Waited(&'static str),
    /// The owner of an account could not change its devices.
    #[error("the tablet was not revoked: {0}")]
    Revoke(#[from] waxwing_client::DevicesError),
    /// The two could not compare.
    #[error("no safety number: {0}")]
    Verify(#[from] waxwing_client::VerifyError),
    /// The two compared, and the numbers differ.
    #[error("the safety numbers differ")]
    Differ,
    /// The new key was not taken.
    #[error("the new key was not taken: {0}")]
    Trust(#[from] waxwing_client::TrustError),
    /// A message was sent to a key that nobody had confirmed.
    #[error("a message left before its sender was asked")]
    SentUnasked,
}

/// Tells the chapter.
///
/// # Errors
/// [`DemoError`].
pub(super) async fn tell(runner: &Runner, clock: &AtomicI64, console: &Console) -> Result<(), DemoError> {
    console.say("\nAccounts and devices");
    let config = || service::client_config(runner);
    let carol = people::register("Carol's phone", config(), runner).await?;
    let laptop = people::link(&carol, "Carol's laptop", config()).await?;
    let tablet = people::link(&carol, "Carol's tablet", config()).await?;
    console.say(format_args!(
        "  Carol's phone registered by a code that was sent to it, and linked {} and {} by QR code",
        laptop.name, tablet.name
    ));
    revoke(&carol, &tablet, console).await?;

    let number = people::new_number()?;
    let dave = people::register_as("Dave's phone", config(), runner, &number).await?;
    greet(&carol, &dave).await?;
    // Between two codes to one number a minute passes.
    clock.fetch_add(CODE_PAUSE_SECONDS, Ordering::Relaxed);
    let again = people::register_as("Dave's new phone", config(), runner, &number).await?;
    console.say("  Dave lost his phone; a new one took his number's account over");
    ask(&carol, &again, console).await?;
    for device in [carol, laptop, tablet, dave, again] {
        device.client.disconnect().await;
    }
    Ok(())
}

/// Carol ends her tablet, which is connected.
async fn revoke(carol: &Device, tablet: &Device, console: &Console) -> Result<(), DemoError> {
    let mut on_tablet = observe(tablet).await?;
    tablet.client.connect();
    wait(&mut on_tablet, "the tablet was to connect", |event| {
        matches!(event, Event::Drained { .. }).then_some(())
    })
    .await?;
    let revoked = carol.client.revoke(tablet.address.device).await;
    revoked.map_err(AccountsError::from)?;
    wait(&mut on_tablet, "the tablet was to hear that it is out", |event| {
        matches!(event, Event::Removed { .. }).then_some(())
    })
    .await?;
    console.say(format_args!(
        "  {} was revoked, and was told so while connected",
        tablet.name
    ));
    Ok(())
}

/// Carol and Dave get to know each other.
async fn greet(carol: &Device, dave: &Device) -> Result<(), DemoError> {
    let mut on_dave = observe(dave).await?;
    carol.client.connect();
    dave.client.connect();
    carol
        .client
        .send_text(dave.address.account, "Hello, Dave.")
        .await?;
    wait(&mut on_dave, "Dave was to get a message", |event| {
        matches!(event, Event::Message(_)).then_some(())
    })
    .await?;
    Ok(())
}

/// Carol hears that Dave's key is another; what she writes waits until she has compared the number with him.
async fn ask(carol: &Device, dave: &Device, console: &Console) -> Result<(), DemoError> {
    let (mut on_carol, mut on_dave) = (observe(carol).await?, observe(dave).await?);
    dave.client.connect();
    dave.client
        .send_text(carol.address.account, "My new phone.")
        .await?;
    let account = dave.address.account;
    let fingerprint = wait(&mut on_carol, "Carol was to be alerted", |event| {
        alert(&event, account)
    })
    .await?;
    console
        .say("  Carol was alerted: Dave's account key is another; what she writes him waits for her answer");
    carol.client.send_text(account, "Is it you?").await?;
    if carol
        .client
        .pending()
        .map_err(|error| PeopleError::Store(carol.name.clone(), error))?
        != 1
    {
        return Err(AccountsError::SentUnasked.into());
    }
    let ours = carol
        .client
        .safety_number(account)
        .await
        .map_err(AccountsError::from)?;
    let theirs = dave.client.safety_number(carol.address.account).await;
    let theirs = theirs.map_err(AccountsError::from)?;
    if ours.compare_code(&theirs.code()) != Ok(Comparison::Match) {
        return Err(AccountsError::Differ.into());
    }
    console.say(format_args!("  They compared: {ours}"));
    let trusted = carol.client.trust(account, fingerprint).await;
    trusted.map_err(AccountsError::from)?;
    wait(&mut on_dave, "Dave was to get what waited", |event| {
        matches!(event, Event::Message(message) if message.text == "Is it you?").then_some(())
    })
    .await?;
    console.say("  Then Carol said yes, and what had waited arrived");
    Ok(())
}

fn alert(event: &Event, whose: AccountId) -> Option<Fingerprint> {
    match event {
        Event::AccountKeyChanged { account, fingerprint } if *account == whose => Some(*fingerprint),
        _ => None,
    }
}

async fn observe(device: &Device) -> Result<Events, PeopleError> {
    let observed = device.client.observe().await;
    observed.map_err(|error| PeopleError::Store(device.name.clone(), error))
}

/// Waits for an event that `is` makes something of.
async fn wait<T>(
    events: &mut Events,
    what: &'static str,
    is: impl Fn(Event) -> Option<T>,
) -> Result<T, AccountsError> {
    let waiting = async {
        loop {
            let event = events.next().await.ok_or(AccountsError::Waited(what))?;
            if let Some(found) = is(event) {
                return Ok(found);
            }
        }
    };
    tokio::time::timeout(PATIENCE, waiting)
        .await
        .unwrap_or(Err(AccountsError::Waited(what)))
}
