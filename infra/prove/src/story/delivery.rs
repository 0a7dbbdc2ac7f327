//! One request on its way: what API Gateway, a function and the client do for it, in steps that others may come between.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use serde_json::Value;
use waxwing_local::gateway::by_hand::{self, Client};
use waxwing_wire::{ClientFrame, MessageId, ServiceFrame};

use super::{Reply, Request, Story, status};
use crate::{
    Trouble,
    devices::Socket,
    faults::Faulty,
    promises,
    service::{Ended, SOURCE_IP},
};

/// A request under way.
pub struct Delivery {
    request: Request,
    stage: Stage,
    /// Messages that every recipient's device had at some moment of this delivery.
    everywhere: BTreeSet<MessageId>,
}

/// How far it is.
enum Stage {
    /// The authorizer is asked about a new connection.
    Admitting(Client),
    /// `$connect` runs.
    Connecting(Client),
    /// `$connect` has agreed; the connection is not open yet.
    Opening(Client),
    /// The connection is about to break off, of which this event will tell.
    Breaking(String, Value),
    /// The function runs; its answer goes to this connection, or back to where the request came from.
    Running(Option<String>),
    /// The function has answered; the answer is not at the connection yet.
    Answering(String, Ended),
}

/// What happens next for a request.
pub enum Next {
    /// This function runs on this event; then [`Story::ended`].
    Run(String, Value),
    /// API Gateway does this; then [`Story::gateway_does`].
    Gateway(Gateway),
    /// Nothing: the client has this.
    Done(Reply),
}

/// What API Gateway does to a connection by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gateway {
    /// It opens: from now on it may be posted to.
    Opens(String),
    /// It breaks off.
    Breaks(String),
    /// A route's response goes out over it.
    Answers(String),
}

impl Delivery {
    fn new(request: &Request, stage: Stage) -> Self {
        Self {
            request: request.clone(),
            stage,
            everywhere: BTreeSet::new(),
        }
    }

    /// Whether the run that is next only lets a connection in.
    fn is_admitting(&self) -> bool {
        matches!(self.stage, Stage::Admitting(_))
    }
}

impl Story {
    /// Delivers a request once, with what `faulty` does to its function.
    ///
    /// # Errors
    /// [`Trouble`]: it cannot be delivered, whoever answers.
    pub async fn deliver(&mut self, request: &Request, faulty: &Arc<Faulty>) -> Result<Reply, Trouble> {
        if let Request::Frame(place, _) | Request::Nonsense(place, _) = request
            && self.device(*place)?.socket.is_none()
        {
            Box::pin(self.deliver(&Request::Connect(*place), &Faulty::new(None))).await?;
        }
        let (mut delivery, mut next) = self.begin(request)?;
        loop {
            next = match next {
                Next::Done(reply) => return Ok(reply),
                Next::Gateway(_) => self.gateway_does(&mut delivery).await?,
                Next::Run(function, event) => {
                    let clean = Faulty::new(None);
                    let faulty = if delivery.is_admitting() { &clean } else { faulty };
                    let ended = self.service.invoke(&function, event, faulty).await?;
                    self.ended(&mut delivery, ended).await?
                }
            };
        }
    }

    /// Begins to deliver a request.
    ///
    /// # Errors
    /// [`Trouble`]: it makes no sense here.
    pub fn begin(&mut self, request: &Request) -> Result<(Delivery, Next), Trouble> {
        let now = self.service.since_epoch();
        let delivery = |stage| Delivery::new(request, stage);
        Ok(match request {
            Request::Authorize(place) => {
                let client = self.device(*place)?.handshake("c0", &self.service, now)?;
                let event = self.service.events.authorize(&client);
                let next = Next::Run("authorize".to_owned(), event);
                (delivery(Stage::Running(None)), next)
            }
            Request::Connect(place) => {
                self.connections += 1;
                let id = format!("c{}", self.connections);
                // No two connections are opened in the same millisecond.
                let at = now + std::time::Duration::from_millis(self.connections.into());
                let client = self.device(*place)?.handshake(&id, &self.service, at)?;
                let event = self.service.events.authorize(&client);
                let next = Next::Run("authorize".to_owned(), event);
                (delivery(Stage::Admitting(client)), next)
            }
            Request::Disconnect(place) => {
                let socket = self.device(*place)?.socket.as_ref();
                let client = &socket.ok_or("no socket to break off")?.client;
                let event = self.service.events.disconnect(client, now);
                let id = client.id().to_owned();
                let next = Next::Gateway(Gateway::Breaks(id.clone()));
                (delivery(Stage::Breaking(id, event)), next)
            }
            Request::LateDisconnect(place) => {
                let first = self.device(*place)?.former.first().ok_or("no former socket")?;
                let event = self.service.events.disconnect(&first.client, now);
                let next = Next::Run("disconnect".to_owned(), event);
                (delivery(Stage::Running(None)), next)
            }
            Request::Wake => {
                let next = Next::Run("wake".to_owned(), self.service.tick("wake")?);
                (delivery(Stage::Running(None)), next)
            }
            Request::Frame(place, frame) => {
                let function = self.note_asked(*place, frame)?;
                let text = serde_json::to_string(frame).map_err(|error| Trouble(error.to_string()))?;
                self.message_event(request, *place, function, function, &text)?
            }
            Request::Nonsense(place, text) => {
                self.message_event(request, *place, "$default", "reject", text)?
            }
            Request::Http { device, body, .. } => {
                let (function, event) = self.http_event(request)?;
                self.note_published(*device, body)?;
                (delivery(Stage::Running(None)), Next::Run(function, event))
            }
        })
    }

    fn message_event(
        &self,
        request: &Request,
        place: usize,
        route: &str,
        function: &str,
        text: &str,
    ) -> Result<(Delivery, Next), Trouble> {
        let socket = self.device(place)?.socket.as_ref().ok_or("no socket")?;
        let now = self.service.since_epoch();
        let event = self.service.events.message(&socket.client, now, route, text);
        let stage = Stage::Running(Some(socket.client.id().to_owned()));
        let next = Next::Run(function.to_owned(), event);
        Ok((Delivery::new(request, stage), next))
    }

    fn http_event(&self, request: &Request) -> Result<(String, Value), Trouble> {
        let Request::Http {
            device,
            route,
            path,
            body,
        } = request
        else {
            return Err(Trouble::from("no HTTP request"));
        };
        let (method, default) = route.split_once(' ').ok_or("no route")?;
        let path = path.as_deref().unwrap_or(default);
        let mut head = http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.service.stage_path()))
            .header("content-type", "application/json");
        if let Some(place) = device {
            let token = self.device(*place)?.token(self.service.now())?;
            head = head.header("authorization", format!("Bearer {token}"));
        }
        let text = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let request = head
            .body(Bytes::from(text))
            .map_err(|error| Trouble(error.to_string()))?;
        let service = &self.service;
        let made = service
            .events
            .http(request, SOURCE_IP, service.since_epoch(), "r");
        made.ok_or(Trouble::from("no route takes the request"))
    }

    /// What follows when the function that ran for a request has ended.
    ///
    /// # Errors
    /// [`Trouble`]: no function of this request runs.
    pub async fn ended(&mut self, delivery: &mut Delivery, ended: Ended) -> Result<Next, Trouble> {
        let stage = std::mem::replace(&mut delivery.stage, Stage::Running(None));
        Ok(match stage {
            Stage::Admitting(mut client) => {
                let Ended::Answer(answer) = ended else {
                    return Ok(Next::Done(Reply::Status(401, Value::Null)));
                };
                if !self.service.events.admit(&mut client, answer) {
                    return Ok(Next::Done(Reply::Status(403, Value::Null)));
                }
                let event = self.service.events.connect(&client);
                delivery.stage = Stage::Connecting(client);
                Next::Run("connect".to_owned(), event)
            }
            Stage::Connecting(client) => {
                let reply = status(ended);
                if reply != Reply::Status(200, Value::Null) {
                    return Ok(Next::Done(reply));
                }
                let next = Next::Gateway(Gateway::Opens(client.id().to_owned()));
                delivery.stage = Stage::Opening(client);
                next
            }
            Stage::Running(Some(connection)) => {
                let next = Next::Gateway(Gateway::Answers(connection.clone()));
                delivery.stage = Stage::Answering(connection, ended);
                next
            }
            Stage::Running(None) => Next::Done(match (&delivery.request, ended) {
                (Request::Authorize(_) | Request::Wake, Ended::Answer(answer)) => Reply::Authorized(answer),
                (_, ended) => status(ended),
            }),
            Stage::Opening(_) | Stage::Breaking(..) | Stage::Answering(..) => {
                return Err(Trouble::from("no function runs for this request"));
            }
        })
    }

    /// Does what API Gateway does next for a request.
    ///
    /// # Errors
    /// [`Trouble`]: it does nothing next.
    pub async fn gateway_does(&mut self, delivery: &mut Delivery) -> Result<Next, Trouble> {
        let stage = std::mem::replace(&mut delivery.stage, Stage::Running(None));
        match stage {
            Stage::Opening(client) => {
                if let Request::Connect(place) = delivery.request {
                    self.open_socket(place, client)?;
                }
                Ok(Next::Done(Reply::Status(200, Value::Null)))
            }
            Stage::Breaking(id, event) => {
                let sockets = self
                    .devices
                    .iter_mut()
                    .filter_map(|device| device.socket.as_mut());
                for socket in sockets.filter(|socket| socket.client.id() == id) {
                    socket.listen()?;
                }
                by_hand::cut(&self.service.cloud.connections, &id);
                Ok(Next::Run("disconnect".to_owned(), event))
            }
            Stage::Answering(connection, ended) => {
                if self.service.cloud.connections.info(&connection).is_err() {
                    return Ok(Next::Done(Reply::Lost));
                }
                self.answered(delivery, &connection, ended).await.map(Next::Done)
            }
            Stage::Admitting(_) | Stage::Connecting(_) | Stage::Running(_) => {
                Err(Trouble::from("API Gateway does nothing for this request now"))
            }
        }
    }

    /// A device keeps the connection that it asked for last.
    fn open_socket(&mut self, place: usize, client: Client) -> Result<(), Trouble> {
        let number = |client: &Client| client.id().get(1..).and_then(|id| id.parse::<u32>().ok());
        let line = client.open(&self.service.cloud.connections);
        let socket = Socket {
            client,
            line,
            frames: Vec::new(),
            has_asked: false,
        };
        let device = self.devices.get_mut(place).ok_or("no such device")?;
        let has_newer = device
            .socket
            .as_ref()
            .is_some_and(|newer| number(&newer.client) > number(&socket.client));
        if has_newer {
            by_hand::cut(&self.service.cloud.connections, socket.client.id());
            device.former.push(socket);
        } else {
            let former = device.socket.replace(socket);
            device.former.extend(former);
        }
        Ok(())
    }

    async fn answered(
        &mut self,
        delivery: &Delivery,
        connection: &str,
        ended: Ended,
    ) -> Result<Reply, Trouble> {
        let answer = match ended {
            Ended::Answer(answer) => answer,
            ended => return Ok(Reply::None(ended)),
        };
        let Some(body) = answer.get("body").and_then(Value::as_str) else {
            return Ok(status(Ended::Answer(answer)));
        };
        let frame: ServiceFrame = serde_json::from_str(body).map_err(|error| Trouble(error.to_string()))?;
        if let Request::Frame(place, asked) = &delivery.request {
            let owner = self.device(*place)?.device;
            self.note(owner, connection, asked, &frame, &delivery.everywhere)
                .await?;
        }
        Ok(Reply::Frame(Box::new(frame)))
    }

    /// Looks whether every recipient's device has, at this moment, what a request under way sends.
    ///
    /// # Errors
    /// [`Trouble`]: the tables could not be read.
    pub async fn look_everywhere(&self, delivery: &mut Delivery) -> Result<(), Trouble> {
        let Request::Frame(place, ClientFrame::Send(send)) = &delivery.request else {
            return Ok(());
        };
        let owner = self.device(*place)?.device;
        for message in &send.messages {
            if !delivery.everywhere.contains(&message.message)
                && promises::who_lacks(self, owner, message).await?.is_empty()
            {
                delivery.everywhere.insert(message.message);
            }
        }
        Ok(())
    }
}
