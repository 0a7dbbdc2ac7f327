//! The terminal app: conversations at the left, the chosen one at the right, dialogs over both.
//!
//! # Layout
//! - [`app`]: all that is known, and [`App::update`](app::App::update), which takes what happens and gives what is to be
//!   done. [`keys`]: what keys do; [`heard`]: what the client tells; [`answers`]: what came of what was asked for. [`talk`],
//!   [`dialogs`] and [`editor`] are its parts. No clock, no store, no terminal in any of them.
//! - [`layout`] and [`text`]: where things are, and how texts become lines. [`view`]: draws the state.
//! - [`tasks`]: does things with the client. [`session`]: keeps app and client together. Here: keys, time, signals.

mod answers;
mod app;
mod dialogs;
mod editor;
mod heard;
mod keys;
mod layout;
#[cfg(test)]
mod screens;
mod session;
#[cfg(test)]
mod stories;
mod talk;
mod tasks;
#[cfg(test)]
mod testing;
mod text;
mod view;
#[cfg(test)]
mod wishes;

use std::{io, time::Duration};

use jiff::{Timestamp, tz::TimeZone};
use ratatui::{
    crossterm::event::{self, KeyEventKind},
    layout::Size,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::Instant,
};

use self::{app::Happening, session::Session};
use super::{Args, ChatError, alerts::Alerts};
use crate::{
    address_book::AddressBook,
    console::{Canvas, Console},
    people::Device,
};

/// The shortest time between two drawings: nobody sees more of them, and a mailbox full of messages is shown at once.
const FRAME: Duration = Duration::from_millis(33);

/// How often the app looks at the clock.
const SECOND: Duration = Duration::from_secs(1);

/// Fills the terminal until the person has had enough. Gives the device back, and whether it is connected.
pub(super) async fn talk(
    args: &Args,
    device: Device,
    alerts: Alerts,
    console: &Console,
) -> Result<(Device, bool), ChatError> {
    let book = AddressBook::in_directory(&args.data);
    if let Err(error) = book.enter(&args.name, device.address.account) {
        console.warn(format_args!("{} is not in the address book: {error}", args.name));
    }
    let mut canvas = Canvas::take()?;
    let (size, now) = (canvas.size()?, now());
    let mut session = Session::begin(&device, args.name.clone(), book, TimeZone::system(), size, now).await?;
    session.hear(alerts);
    if let Some(peer) = args.to.clone() {
        session.turn_to(peer).await;
    }
    device.client.connect();
    let ended = fill(&mut canvas, &mut session).await;
    let connected = session.is_connected();
    session.end().await;
    drop(canvas);
    ended?;
    Ok((device, connected))
}

/// Draws, and takes what happens, until the person leaves or the system says so.
async fn fill(canvas: &mut Canvas, session: &mut Session) -> io::Result<()> {
    let mut keys = typed();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let mut second = tokio::time::interval(SECOND);
    let mut next_frame = Instant::now();
    let mut changed = true;
    while !session.app().quits {
        tokio::select! {
            () = tokio::time::sleep_until(next_frame), if changed => {
                session.take(Happening::Resized(canvas.size()?)).await;
                session.catch_up().await;
                canvas.draw(|frame| view::draw(session.app(), frame))?;
                changed = false;
                next_frame = Instant::now() + FRAME;
                continue;
            }
            key = keys.recv() => match key {
                Some(key) => session.take(key).await,
                None => break,
            },
            happening = session.next() => match happening {
                Some(happening) => session.take(happening).await,
                None => break,
            },
            _ = second.tick() => session.take(Happening::Now(now())).await,
            _ = terminate.recv() => break,
            _ = hang_up.recv() => break,
        }
        changed = true;
    }
    Ok(())
}

/// What the terminal tells, as it comes. Ends with the terminal.
fn typed() -> mpsc::UnboundedReceiver<Happening> {
    let (sender, receiver) = mpsc::unbounded_channel();
    // A thread of its own: a read from a terminal cannot be cancelled, and must not hold up the end.
    std::thread::spawn(move || {
        while let Ok(event) = event::read() {
            let Some(happening) = happening(event) else {
                continue;
            };
            if sender.send(happening).is_err() {
                break;
            }
        }
    });
    receiver
}

fn happening(event: event::Event) -> Option<Happening> {
    Some(match event {
        event::Event::Key(key) if key.kind != KeyEventKind::Release => Happening::Key(key),
        event::Event::Paste(text) => Happening::Pasted(text),
        event::Event::Resize(width, height) => Happening::Resized(Size::new(width, height)),
        event::Event::FocusGained => Happening::InFront(true),
        event::Event::FocusLost => Happening::InFront(false),
        _ => return None,
    })
}

/// Milliseconds of Unix time.
fn now() -> u64 {
    u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0)
}
