//! Devices in pairs that write to each other: registered, connected, their sessions open.

use std::sync::Arc;

use waxwing_local::runner::Runner;

use super::{LoadError, sending::Member};
use crate::{
    console::Console,
    ledger::DeviceNumber,
    people::{self, Device},
    run::Run,
    service,
};

/// Every device, in pairs.
pub(super) struct Crowd {
    pub(super) run: Arc<Run>,
    pub(super) members: Vec<Member>,
}

impl Crowd {
    /// Registers and connects everybody, and lets each device send one message.
    pub(super) async fn gather(count: usize, runner: &Runner, console: &Console) -> Result<Self, LoadError> {
        let run = Run::new();
        let progress = console.progress("registering devices", count);
        let mut devices = Vec::with_capacity(count);
        for number in 1..=count {
            let config = service::client_config(runner);
            let device = people::register(&format!("device {number}"), config, runner).await?;
            let in_run = run.add(&device).await?;
            devices.push((device, in_run));
            progress.step();
        }
        drop(progress);
        let crowd = Self {
            members: pair_up(&run, &devices),
            run,
        };
        crowd.warm_up(console).await?;
        Ok(crowd)
    }

    async fn warm_up(&self, console: &Console) -> Result<(), LoadError> {
        let _progress = console.spinner("opening sessions");
        let everybody = self.members.len();
        for member in &self.members {
            member.device.client.connect();
        }
        self.run
            .until("every device is connected", |state| {
                state.told_by_all().drained >= everybody
            })
            .await?;
        for member in &self.members {
            let text = "The first message opens the session.";
            self.run
                .send(member.number, &member.device, member.partner, text)
                .await?;
        }
        self.run
            .until("every session is open", |state| {
                state.accepted() >= everybody
                    && state.shown() >= everybody
                    && state.told_by_all().acked >= everybody
            })
            .await?;
        for member in &self.members {
            self.run.set_present(member.number, true);
        }
        Ok(())
    }
}

/// Each device writes to its neighbour.
fn pair_up(run: &Run, devices: &[(Device, DeviceNumber)]) -> Vec<Member> {
    let mut members = Vec::with_capacity(devices.len());
    for pair in devices.chunks_exact(2) {
        let [(first, first_number), (second, second_number)] = pair else {
            continue;
        };
        for (device, number, partner, partner_number) in [
            (first, first_number, second, second_number),
            (second, second_number, first, first_number),
        ] {
            run.route(*number, [*partner_number]);
            members.push(Member {
                device: device.clone(),
                number: *number,
                partner: partner.address.account,
            });
        }
    }
    members
}
