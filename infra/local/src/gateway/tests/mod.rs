//! The gateway over real sockets, in front of closures in place of functions. Tests whose clock stands still
//! ([`Bench::in_memory`]) use pipes instead: what the kernel carries, the runtime cannot wait for.

mod closing;
mod handshake;
mod http;
mod limits;
mod messages;

use std::collections::BTreeMap;

use futures_util::{SinkExt, StreamExt, future::BoxFuture};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncWrite, duplex},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinHandle,
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Error, Message, client::IntoClientRequest, protocol::CloseFrame},
};

use super::*;
use crate::lambda::InvokeError;

const TEMPLATE: &str = r#"
Transform: AWS::Serverless-2016-10-31
Globals: {Function: {Timeout: 60}}
Resources:
  Chat:
    Type: AWS::Serverless::WebSocketApi
    Properties:
      StageName: prod
      RouteSelectionExpression: $request.body.action
      Auth: {AuthType: CUSTOM, AuthArn: !GetAtt Guard.Arn, IdentitySource: [route.request.header.Authorization]}
      Routes:
        $connect: {FunctionArn: !GetAtt Connect.Arn}
        $disconnect: {FunctionArn: !GetAtt Disconnect.Arn}
        say: {FunctionArn: !GetAtt Say.Arn, RouteResponseSelectionExpression: $default}
        mute: {FunctionArn: !GetAtt Mute.Arn}
  SayResponse:
    Type: AWS::ApiGatewayV2::RouteResponse
    Properties: {ApiId: !Ref Chat, RouteId: !Ref ChatSayRoute, RouteResponseKey: $default}
  Guard: {Type: AWS::Serverless::Function, Properties: {Handler: guard}}
  Connect: {Type: AWS::Serverless::Function, Properties: {Handler: connect}}
  Disconnect: {Type: AWS::Serverless::Function, Properties: {Handler: disconnect}}
  Say: {Type: AWS::Serverless::Function, Properties: {Handler: say}}
  Mute: {Type: AWS::Serverless::Function, Properties: {Handler: mute}}
  Page:
    Type: AWS::Serverless::Function
    Properties: {Handler: page, Events: {Page: {Type: HttpApi, Properties: {Method: POST, Path: "/page/{name}", ApiId: !Ref Web}}}}
  Web: {Type: AWS::Serverless::HttpApi, Properties: {StageName: prod}}
"#;

type Outcome = Result<Value, InvokeError>;
type Client = WebSocketStream<Box<dyn Stream>>;

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Bytes that a pipe holds, about as many as a socket's buffers.
const PIPE_BYTES: usize = 64 * 1024;

/// A gateway on a port of its own.
struct Bench {
    gateway: Gateway,
    connections: Connections,
    meter: Arc<Meter>,
    address: SocketAddr,
    in_memory: bool,
    calls: mpsc::UnboundedReceiver<(String, Value)>,
}

impl Bench {
    /// A gateway whose functions answer as in [`usual`].
    async fn start() -> Self {
        Self::with(|_, function, event| Box::pin(async move { usual(&function, &event) })).await
    }

    /// A gateway whose functions are `handler`.
    async fn with(
        handler: impl Fn(Connections, String, Value) -> BoxFuture<'static, Outcome> + Send + Sync + 'static,
    ) -> Self {
        Self::of(TEMPLATE, handler).await
    }

    /// The same, of another template.
    async fn of(
        template: &str,
        handler: impl Fn(Connections, String, Value) -> BoxFuture<'static, Outcome> + Send + Sync + 'static,
    ) -> Self {
        let template = Template::load(template, &BTreeMap::new(), &Surroundings::default()).unwrap();
        let connections = Connections::default();
        let meter = Arc::new(Meter::default());
        let (called, calls) = mpsc::unbounded_channel();
        let shared = connections.clone();
        let lambda = Lambda::for_tests(Arc::new(move |function: String, event: Value| {
            let _ = called.send((function.clone(), event.clone()));
            handler(shared.clone(), function, event)
        }));
        let gateway = Gateway::new(
            &template,
            &Surroundings::default(),
            lambda,
            Arc::clone(&meter),
            connections.clone(),
            Settings::default(),
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(accept(listener, gateway.clone()));
        Self {
            gateway,
            connections,
            meter,
            address,
            in_memory: false,
            calls,
        }
    }

    /// The same, with pipes in place of sockets.
    fn in_memory(self) -> Self {
        Self {
            in_memory: true,
            ..self
        }
    }

    /// A stream to the gateway.
    async fn stream(&self) -> Box<dyn Stream> {
        if !self.in_memory {
            return Box::new(TcpStream::connect(self.address).await.unwrap());
        }
        let (ours, theirs) = duplex(PIPE_BYTES);
        serve(theirs, self.gateway.clone(), self.address);
        Box::new(ours)
    }

    /// The next invocation of a function.
    async fn call_of(&mut self, function: &str) -> Value {
        loop {
            let (called, event) = self.calls.recv().await.unwrap();
            if called == function {
                return event;
            }
        }
    }

    /// Connects with these headers.
    async fn connect_with(&self, headers: &[(&'static str, &str)]) -> Result<Client, Error> {
        let mut request = format!("ws://{}/prod", self.address)
            .into_client_request()
            .unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        client_async(request, self.stream().await)
            .await
            .map(|(client, _)| client)
    }

    /// Connects as one who may.
    async fn connect(&self) -> Client {
        self.connect_with(&[("Authorization", "let me in")])
            .await
            .unwrap()
    }

    /// Connects, and gives the id of the connection.
    async fn connect_known(&mut self) -> (Client, String) {
        let client = self.connect().await;
        let event = self.call_of("connect").await;
        (
            client,
            event["requestContext"]["connectionId"]
                .as_str()
                .unwrap()
                .to_owned(),
        )
    }

    /// The status with which a handshake is refused.
    async fn refusal(&self, headers: &[(&'static str, &str)]) -> u16 {
        match self.connect_with(headers).await {
            Err(Error::Http(response)) => response.status().as_u16(),
            Err(other) => panic!("not refused, but {other}"),
            Ok(_) => panic!("not refused"),
        }
    }
}

async fn accept(listener: TcpListener, gateway: Gateway) {
    while let Ok((stream, client)) = listener.accept().await {
        serve(stream, gateway.clone(), client);
    }
}

fn serve(stream: impl Stream + 'static, gateway: Gateway, client: SocketAddr) -> JoinHandle<()> {
    let service = service_fn(move |request| {
        let gateway = gateway.clone();
        async move { Ok::<_, std::convert::Infallible>(gateway.handle(request, client).await) }
    });
    let serving = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    // An error says that the client went away.
    tokio::spawn(async move { drop(serving.await) })
}

/// Lets everybody in, and gives every message back.
fn usual(function: &str, event: &Value) -> Outcome {
    Ok(match function {
        "guard" => policy("Allow", event),
        "say" => json!({"statusCode": 200, "body": event["body"]}),
        _ => json!({"statusCode": 200, "body": "done"}),
    })
}

fn policy(effect: &str, event: &Value) -> Value {
    let statement = json!({"Effect": effect, "Action": "execute-api:Invoke", "Resource": event["methodArn"]});
    json!({
        "principalId": "alice",
        "policyDocument": {"Version": "2012-10-17", "Statement": [statement]},
        "context": {"device": 3},
    })
}

fn failed(message: &str) -> InvokeError {
    InvokeError::Failed {
        kind: "Error".to_owned(),
        message: message.to_owned(),
    }
}

/// A message for the route `say` of exactly this many bytes.
fn message_of(bytes: usize) -> String {
    let frame = r#"{"action":"say","pad":""}"#;
    frame.replace(
        r#"pad":""#,
        &format!(r#"pad":"{}"#, "x".repeat(bytes - frame.len())),
    )
}

async fn say(client: &mut Client, text: impl Into<String>) {
    client.send(Message::text(text.into())).await.unwrap();
}

async fn hear(client: &mut Client) -> String {
    match client.next().await {
        Some(Ok(Message::Text(text))) => text.to_string(),
        other => panic!("no text: {other:?}"),
    }
}

/// The code with which the gateway closes.
async fn close_code(client: &mut Client) -> u16 {
    loop {
        match client.next().await {
            Some(Ok(Message::Close(Some(CloseFrame { code, .. })))) => return code.into(),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            other => panic!("no close frame: {other:?}"),
        }
    }
}
