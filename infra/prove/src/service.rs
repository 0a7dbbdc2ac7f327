//! One service whose every run repeats itself: the template's tables, policies and functions, with time and randomness
//! as values and nobody's sockets.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use aws_smithy_runtime_api::client::http::SharedHttpClient;
use futures_util::{FutureExt, future::BoxFuture};
use rand::{SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use waxwing_backend::{Backend, Clock, Config};
use waxwing_functions::FunctionError;
use waxwing_local::{
    clock::OffsetClock,
    cloud::Cloud,
    gateway::by_hand::Events,
    lambda::environment,
    meter::Meter,
    runner::{Storage, TEMPLATE},
    schedule,
    template::{Surroundings, Template},
};

use crate::{
    Trouble,
    connector::{Connector, Hook, RunId, ask, hooked, short},
    controls::Control,
    faults::Faulty,
};

/// When every service begins: some second of 2026.
const BEGINNING: u64 = 1_790_000_000;

/// Where every client is.
pub const SOURCE_IP: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 23));

/// What the functions are told instead of the runner's address. Nothing is sent there.
const ENDPOINT: &str = "http://aws.invalid";

/// How an invocation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With this answer.
    Answer(Value),
    /// With an error, or at its timeout.
    Failed,
    /// Its instance was killed.
    Killed,
}

/// Every item of every table, as text: table, then the items in order.
pub type State = BTreeMap<String, Vec<String>>;

/// A function as it is deployed.
struct Installed {
    config: Config,
    /// Its instance, from its first run on.
    backend: OnceLock<Backend>,
}

/// What comes of a run. None at its timeout.
pub type Run = BoxFuture<'static, Option<Result<Value, FunctionError>>>;

/// The service.
pub struct Service {
    /// What functions call.
    pub cloud: Cloud,
    /// What API Gateway says.
    pub events: Events,
    /// Randomness of the clients.
    pub rng: StdRng,
    template: Template,
    functions: BTreeMap<String, Installed>,
    client: SharedHttpClient,
    seed: u64,
    time: Arc<AtomicU64>,
    runs: AtomicU32,
}

impl Service {
    /// A new service, right or wrong in this way. All it draws at random follows from `seed`.
    ///
    /// # Errors
    /// [`Trouble`]: the template does not run here.
    pub async fn open(seed: u64, control: Option<Control>) -> Result<Self, Trouble> {
        let surroundings = Surroundings::default();
        let template = template(&surroundings)?;
        let meter = Arc::new(Meter::default());
        let cloud = Cloud::open(&template, Storage::Memory, OffsetClock::default(), &meter).await?;
        let events = Events::of(&template, &surroundings).ok_or("the template has not both APIs")?;
        let time = Arc::new(AtomicU64::new(BEGINNING));
        let client = SharedHttpClient::new(Connector::new(cloud.aws.clone(), control));
        let mut functions = BTreeMap::new();
        for spec in template.functions.values() {
            let variables = environment::variables(spec, ENDPOINT);
            let config = Config::read(|name| variables.get(name).cloned())
                .map_err(|error| Trouble(format!("{}: {error}", spec.handler)))?;
            let backend = OnceLock::new();
            functions.insert(spec.handler.clone(), Installed { config, backend });
        }
        Ok(Self {
            cloud,
            events,
            rng: StdRng::seed_from_u64(seed),
            template,
            functions,
            client,
            seed,
            time,
            runs: AtomicU32::new(0),
        })
    }

    /// The time, in seconds of Unix time.
    pub fn now(&self) -> u64 {
        self.time.load(Ordering::Relaxed)
    }

    /// The time since 1970.
    pub fn since_epoch(&self) -> Duration {
        Duration::from_secs(self.now())
    }

    /// Lets time pass.
    pub fn pass(&self, seconds: u64) {
        self.time.fetch_add(seconds, Ordering::Relaxed);
    }

    /// What paths of the HTTP API begin with.
    pub fn stage_path(&self) -> String {
        match self.template.http.as_ref().map(|api| api.stage.as_str()) {
            None | Some("$default") => String::new(),
            Some(stage) => format!("/{stage}"),
        }
    }

    /// A number that no run had before.
    pub fn next_run(&self) -> RunId {
        RunId(self.runs.fetch_add(1, Ordering::Relaxed))
    }

    /// Runs a function on an event, its calls seen by `hook`. None at its timeout.
    ///
    /// # Errors
    /// [`Trouble`]: there is no such function.
    pub async fn run(
        &self,
        function: &str,
        event: Value,
        hook: Arc<dyn Hook>,
    ) -> Result<Option<Result<Value, FunctionError>>, Trouble> {
        let Installed { config, backend } = self.installed(function)?;
        let backend = backend.get_or_init(|| self.instance(config, self.seed));
        let invocation = waxwing_functions::invoke(function, backend, event);
        let hooked = hooked(self.next_run(), hook, invocation);
        Ok(tokio::time::timeout(self.time_of(function)?, hooked).await.ok())
    }

    /// Begins a run that others may overlap, in an instance of its own: what it draws at random follows from `seed`, and
    /// from nothing that other runs do.
    ///
    /// # Errors
    /// [`Trouble`]: there is no such function.
    pub fn begin(
        &self,
        function: &str,
        event: Value,
        hook: Arc<dyn Hook>,
        seed: u64,
    ) -> Result<Run, Trouble> {
        let backend = self.instance(&self.installed(function)?.config, seed);
        let (function, time, run) = (function.to_owned(), self.time_of(function)?, self.next_run());
        let invocation = async move { waxwing_functions::invoke(&function, &backend, event).await };
        let hooked = hooked(run, hook, invocation);
        Ok(async move { tokio::time::timeout(time, hooked).await.ok() }.boxed())
    }

    fn instance(&self, config: &Config, seed: u64) -> Backend {
        let clock = Clock::standing(Arc::clone(&self.time));
        Backend::seeded(config, clock, Some(self.client.clone()), seed)
    }

    fn installed(&self, function: &str) -> Result<&Installed, Trouble> {
        let installed = self.functions.get(function);
        installed.ok_or_else(|| Trouble(format!("there is no function {function}")))
    }

    fn time_of(&self, function: &str) -> Result<Duration, Trouble> {
        let spec = self.template.functions.get(function);
        let spec = spec.ok_or_else(|| Trouble(format!("there is no function {function}")))?;
        Ok(Duration::from_secs(u64::from(spec.timeout_seconds)))
    }

    /// Key attributes of every table, by its name in calls: partition, and sort if it has one.
    pub fn keys(&self) -> BTreeMap<String, Vec<String>> {
        let tables = self.template.tables.values();
        let keys = tables.map(|table| {
            let keys = std::iter::once(&table.partition_key).chain(&table.sort_key);
            (short(&table.name), keys.map(|key| key.name.clone()).collect())
        });
        keys.collect()
    }

    /// What the clock says to a function.
    ///
    /// # Errors
    /// [`Trouble`]: there is no such function.
    pub fn tick(&self, function: &str) -> Result<Value, Trouble> {
        let spec = self.template.functions.get(function);
        let spec = spec.ok_or_else(|| Trouble(format!("there is no function {function}")))?;
        Ok(schedule::event(spec, self.since_epoch(), "tick"))
    }

    /// Runs a function on an event with what `faulty` does to it.
    ///
    /// # Errors
    /// [`Trouble`]: there is no such function.
    pub async fn invoke(&self, function: &str, event: Value, faulty: &Arc<Faulty>) -> Result<Ended, Trouble> {
        let run = self.run(function, event, Arc::<Faulty>::clone(faulty));
        tokio::select! {
            biased;
            ended = run => Ok(match ended? {
                Some(Ok(answer)) => Ended::Answer(answer),
                Some(Err(_)) | None => Ended::Failed,
            }),
            () = faulty.killed() => Ok(Ended::Killed),
        }
    }

    /// Every item of every table.
    ///
    /// # Errors
    /// [`Trouble`]: a table could not be read.
    pub async fn state(&self) -> Result<State, Trouble> {
        let mut state = State::new();
        for (logical_id, table) in &self.template.tables {
            let mut items: Vec<_> = self
                .scan(&table.name)
                .await?
                .iter()
                .map(Value::to_string)
                .collect();
            items.sort();
            let name = logical_id.strip_suffix("Table").unwrap_or(logical_id);
            state.insert(name.to_owned(), items);
        }
        Ok(state)
    }

    /// Every item of the table that the template calls `logical_id`.
    ///
    /// # Errors
    /// [`Trouble`]: the table could not be read.
    pub async fn table(&self, logical_id: &str) -> Result<Vec<Value>, Trouble> {
        let table = self.template.tables.get(logical_id);
        let table = table.ok_or_else(|| Trouble(format!("there is no table {logical_id}")))?;
        self.scan(&table.name).await
    }

    async fn scan(&self, table: &str) -> Result<Vec<Value>, Trouble> {
        let mut items = Vec::new();
        let mut start = Value::Null;
        loop {
            let mut body = json!({ "TableName": table, "ConsistentRead": true });
            if let (Some(body), false) = (body.as_object_mut(), start.is_null()) {
                body.insert("ExclusiveStartKey".into(), start);
            }
            let mut answer = self.ask("Scan", &body).await?;
            if let Some(Value::Array(found)) = answer.get_mut("Items").map(Value::take) {
                items.extend(found);
            }
            start = answer
                .get_mut("LastEvaluatedKey")
                .map(Value::take)
                .unwrap_or_default();
            if start.is_null() {
                return Ok(items);
            }
        }
    }

    /// Asks DynamoDB as a tool, past every hook.
    ///
    /// # Errors
    /// [`Trouble`]: it refused.
    pub async fn ask(&self, operation: &str, body: &Value) -> Result<Value, Trouble> {
        ask(&self.cloud.aws, operation, body).await
    }
}

/// The template, read once.
fn template(surroundings: &Surroundings) -> Result<Template, Trouble> {
    static READ: OnceLock<Result<Template, String>> = OnceLock::new();
    let read = READ.get_or_init(|| {
        Template::load(TEMPLATE, &BTreeMap::new(), surroundings).map_err(|error| error.to_string())
    });
    read.clone().map_err(Trouble)
}
