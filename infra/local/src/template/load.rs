//! From the text of a template to what it asks for: parameters, then references, then resource by resource.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::{
    FunctionSpec, Surroundings, Template, Warning,
    apis::{self, HandlersByArn},
    error::{Problem, TemplateError},
    functions::{self, HttpEvent},
    names::Names,
    parameters,
    resolve::Resolver,
    section::{Section, scalar_text},
    storage, yaml,
};

/// The macro that makes a template SAM's.
const SAM: &str = "AWS::Serverless-2016-10-31";

/// Resources that watch over a deployment, guard what is outside the functions, or give it a name: no function
/// and no client sees a difference without them.
const HARMLESS_KINDS: &[&str] = &[
    "AWS::ApiGatewayV2::ApiMapping",
    "AWS::ApiGatewayV2::DomainName",
    "AWS::Budgets::Budget",
    "AWS::CloudWatch::Alarm",
    "AWS::CloudWatch::Dashboard",
    "AWS::Logs::LogGroup",
    "AWS::Logs::MetricFilter",
    "AWS::Route53::RecordSet",
];

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// With the place in the template and what to do there. Nothing of a template with an error runs.
    pub fn load(
        text: &str,
        parameters: &BTreeMap<String, String>,
        surroundings: &Surroundings,
    ) -> Result<Template, TemplateError> {
        let document = yaml::read(text).map_err(TemplateError::Yaml)?;
        let document = Section::root(&document)?;
        let mut warnings = Vec::new();
        if !document
            .list("Transform")
            .iter()
            .any(|item| item.as_str() == Some(SAM))
        {
            let expected = format!("{SAM}, the only form of template the runner knows");
            let value = document
                .value("Transform")
                .and_then(scalar_text)
                .unwrap_or_default();
            return Err(document.error("Transform", Problem::WrongValue { value, expected }));
        }
        let declared = document.section("Parameters")?;
        let values = parameters::evaluate(declared.as_ref(), parameters, surroundings, &mut warnings)?;
        let resources = document
            .value("Resources")
            .ok_or_else(|| document.error("Resources", Problem::Missing))?;
        let resources = resources.as_object().cloned().unwrap_or_default();
        let resolver = Resolver {
            parameters: &values,
            names: Names::new(surroundings, &resources),
            mappings: document.value("Mappings"),
            conditions: document.value("Conditions"),
        };
        let texts = values
            .iter()
            .filter_map(|(name, value)| Some((name.clone(), scalar_text(value)?)));
        let mut loader = Loader {
            resolver,
            template: Template {
                parameters: texts.collect(),
                warnings,
                ..Template::default()
            },
            arns: BTreeMap::new(),
            events: Vec::new(),
        };
        loader.resources(&document)?;
        loader.outputs(&document)?;
        document.finish(
            &["AWSTemplateFormatVersion", "Description", "Metadata"],
            &mut loader.template.warnings,
        );
        let mut template = loader.template;
        template.localize(surroundings);
        Ok(template)
    }

    fn localize(&mut self, surroundings: &Surroundings) {
        let websocket = self.websocket.as_ref().map(|api| api.api_id.as_str());
        let http = self.http.as_ref().map(|api| api.api_id.as_str());
        let ids: Vec<_> = websocket.into_iter().chain(http).collect();
        let environments = self
            .functions
            .values_mut()
            .flat_map(|function| function.environment.values_mut());
        for text in environments.chain(self.outputs.values_mut()) {
            *text = surroundings.localized(text, &ids);
        }
    }
}

/// A resource with its references resolved.
struct Resource {
    logical_id: String,
    kind: String,
    properties: Value,
}

impl Resource {
    fn path(&self) -> String {
        format!("Resources.{}", self.logical_id)
    }

    fn section(&self) -> Result<Section<'_>, TemplateError> {
        Section::new(format!("{}.Properties", self.path()), &self.properties)
    }
}

struct Loader<'a> {
    resolver: Resolver<'a>,
    template: Template,
    arns: HandlersByArn,
    events: Vec<(String, HttpEvent)>,
}

impl Loader<'_> {
    fn resources(&mut self, document: &Section<'_>) -> Result<(), TemplateError> {
        let globals = self.globals(document)?;
        let Some(section) = document.section("Resources")? else {
            return Ok(());
        };
        let mut resources = Vec::new();
        for (logical_id, resource) in section.all_sections()? {
            resources.extend(self.resource(logical_id, &resource, &globals)?);
        }
        // APIs name functions, so functions come first.
        let (functions, others): (Vec<_>, Vec<_>) = resources
            .iter()
            .partition(|resource| resource.kind == "AWS::Serverless::Function");
        for function in functions {
            self.function(function)?;
        }
        let mut responses = BTreeSet::new();
        for resource in others {
            self.other(resource, &mut responses)?;
        }
        let warnings = &mut self.template.warnings;
        if let Some(websocket) = &mut self.template.websocket {
            apis::add_responses(websocket, &responses, warnings);
        }
        let declared = self.template.http.take();
        self.template.http = apis::add_routes(declared, std::mem::take(&mut self.events), warnings)?;
        Ok(())
    }

    /// `Globals`, resolved, by the resource type they are for.
    fn globals(&mut self, document: &Section<'_>) -> Result<BTreeMap<&'static str, Value>, TemplateError> {
        let mut globals = BTreeMap::new();
        let Some(section) = document.section("Globals")? else {
            return Ok(globals);
        };
        for (key, kind) in [
            ("Function", "AWS::Serverless::Function"),
            ("HttpApi", "AWS::Serverless::HttpApi"),
            ("WebSocketApi", "AWS::Serverless::WebSocketApi"),
        ] {
            if let Some(value) = section.value(key) {
                let resolved = self.resolver.resolve(value, &section.path_of(key))?;
                globals.insert(kind, resolved.unwrap_or_default());
            }
        }
        section.finish(&[], &mut self.template.warnings);
        Ok(globals)
    }

    fn resource(
        &mut self,
        logical_id: &str,
        resource: &Section<'_>,
        globals: &BTreeMap<&'static str, Value>,
    ) -> Result<Option<Resource>, TemplateError> {
        let kind = resource.required_text("Type")?;
        if let Some(condition) = resource.text("Condition")?
            && !self
                .resolver
                .condition(&condition, &resource.path_of("Condition"))?
        {
            return Ok(None);
        }
        let none = Value::Object(Map::new());
        let properties = resource.value("Properties").unwrap_or(&none);
        let properties = self
            .resolver
            .resolve(properties, &resource.path_of("Properties"))?
            .unwrap_or_default();
        let properties = match globals.get(kind.as_str()) {
            Some(global) => merge(global.clone(), properties),
            None => properties,
        };
        let harmless = ["DeletionPolicy", "DependsOn", "Metadata", "UpdateReplacePolicy"];
        resource.finish(&harmless, &mut self.template.warnings);
        Ok(Some(Resource {
            logical_id: logical_id.to_owned(),
            kind,
            properties,
        }))
    }

    fn function(&mut self, resource: &Resource) -> Result<(), TemplateError> {
        let name = self.name_of(resource)?;
        let arn = self
            .resolver
            .names
            .attribute(&resource.logical_id, &name, "Arn")
            .unwrap_or_default();
        let (spec, events) = functions::read(
            &resource.logical_id,
            name,
            &resource.section()?,
            &mut self.template.warnings,
        )?;
        let handler = spec.handler.clone();
        self.arns.insert(arn, handler.clone());
        self.events
            .extend(events.into_iter().map(|event| (handler.clone(), event)));
        match self.template.functions.insert(handler.clone(), spec) {
            None => Ok(()),
            Some(FunctionSpec {
                logical_id: other, ..
            }) => {
                let path = format!("{}.Properties.Handler", resource.path());
                Err(TemplateError::at(path, Problem::SharedHandler { handler, other }))
            }
        }
    }

    fn other(&mut self, resource: &Resource, responses: &mut BTreeSet<String>) -> Result<(), TemplateError> {
        let id = &resource.logical_id;
        let second = |first: &str| TemplateError::at(resource.path(), Problem::SecondApi(first.to_owned()));
        let name = self.name_of(resource)?;
        let properties = resource.section()?;
        let warnings = &mut self.template.warnings;
        match resource.kind.as_str() {
            "AWS::DynamoDB::Table" => {
                self.template
                    .tables
                    .insert(id.clone(), storage::read_table(name, &properties, warnings)?);
            }
            "AWS::S3::Bucket" => {
                self.template
                    .buckets
                    .insert(id.clone(), storage::read_bucket(name, &properties, warnings));
            }
            "AWS::Serverless::WebSocketApi" => {
                let spec = apis::read_websocket(id, &properties, &self.arns, warnings)?;
                if let Some(first) = self.template.websocket.replace(spec) {
                    return Err(second(&first.logical_id));
                }
            }
            "AWS::Serverless::HttpApi" => {
                let spec = apis::read_http(id, Some(&properties), warnings)?;
                if let Some(first) = self.template.http.replace(spec) {
                    return Err(second(&first.logical_id));
                }
            }
            "AWS::ApiGatewayV2::RouteResponse" => {
                responses.insert(apis::read_route_response(&properties, warnings)?);
            }
            kind if HARMLESS_KINDS.contains(&kind) => {}
            kind => warnings.push(Warning {
                path: resource.path(),
                message: format!("is left out: the runner has no {kind}"),
            }),
        }
        Ok(())
    }

    fn name_of(&self, resource: &Resource) -> Result<String, TemplateError> {
        let reference = serde_json::json!({ "Ref": resource.logical_id });
        let name = self.resolver.resolve(&reference, &resource.path())?;
        Ok(name.as_ref().and_then(scalar_text).unwrap_or_default())
    }

    fn outputs(&mut self, document: &Section<'_>) -> Result<(), TemplateError> {
        let Some(outputs) = document.section("Outputs")? else {
            return Ok(());
        };
        for (name, output) in outputs.all_sections()? {
            let condition = output.text("Condition")?;
            if let Some(condition) = condition
                && !self
                    .resolver
                    .condition(&condition, &output.path_of("Condition"))?
            {
                continue;
            }
            let value = output
                .value("Value")
                .ok_or_else(|| output.error("Value", Problem::Missing))?;
            let value = self.resolver.resolve(value, &output.path_of("Value"))?;
            let text = value.as_ref().and_then(scalar_text).unwrap_or_default();
            self.template.outputs.insert(name.to_owned(), text);
            output.finish(&["Description", "Export"], &mut self.template.warnings);
        }
        Ok(())
    }
}

/// Puts a resource's own properties over the global ones: mappings are merged, lists joined, anything else
/// replaced (SAM specification, "Globals", "Overrides").
fn merge(global: Value, own: Value) -> Value {
    match (global, own) {
        (Value::Object(mut global), Value::Object(own)) => {
            for (key, value) in own {
                let merged = match global.remove(&key) {
                    Some(below) => merge(below, value),
                    None => value,
                };
                global.insert(key, merged);
            }
            Value::Object(global)
        }
        (Value::Array(mut global), Value::Array(own)) => {
            global.extend(own);
            Value::Array(global)
        }
        (_, own) => own,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{
        super::{
            AuthorizerSpec, HttpRoute, IdentitySource, KeySpec, KeyType, RouteSpec, TableSpec, Throttle,
        },
        *,
    };

    /// Nothing in here is Waxwing's: another project's template runs as well.
    const OTHER: &str = r#"
Transform: AWS::Serverless-2016-10-31
Parameters:
  Stage: {Type: String, Default: dev}
  WithAudit: {Type: String, Default: "no"}
Conditions:
  Audited: !Equals [!Ref WithAudit, "yes"]
Globals:
  Function:
    Timeout: 7
    Environment: {Variables: {TABLE: !Ref Scores, SHARED: a}}
    Layers: [one]
Resources:
  Chat:
    Type: AWS::Serverless::WebSocketApi
    Properties:
      StageName: !Ref Stage
      RouteSelectionExpression: ${request.body.meta.kind}
      Auth: {AuthType: CUSTOM, AuthArn: !GetAtt Guard.Arn, IdentitySource: [route.request.header.X-Key, route.request.querystring.k]}
      Routes:
        $connect: {FunctionArn: !GetAtt Talk.Arn}
        say: {FunctionArn: !GetAtt Talk.Arn, RouteResponseSelectionExpression: $default, IntegrationTimeout: 500}
        hush: {FunctionArn: !GetAtt Talk.Arn, RouteResponseSelectionExpression: $default}
  SayResponse:
    Type: AWS::ApiGatewayV2::RouteResponse
    Properties: {ApiId: !Ref Chat, RouteId: !Ref ChatSayRoute, RouteResponseKey: $default}
  Guard:
    Type: AWS::Serverless::Function
    Properties: {Handler: guard, Environment: {Variables: {SHARED: b, OWN: 1}}, MemorySize: 1024}
  Talk:
    Type: AWS::Serverless::Function
    Properties:
      Handler: talk
      FunctionName: !Sub "${Stage}-talk"
      Environment: {Variables: {CALLBACK: !Sub "https://${Chat}.execute-api.${AWS::Region}.amazonaws.com/${Stage}"}}
      Policies:
        - AWSLambdaExecute
        - {Statement: [{Effect: Allow, Action: "dynamodb:GetItem", Resource: !GetAtt Scores.Arn}]}
      Events:
        Any: {Type: HttpApi}
        Read: {Type: HttpApi, Properties: {Method: get, Path: "/scores/{id}"}}
        Nightly: {Type: Schedule, Properties: {Schedule: rate(1 day)}}
  Scores:
    Type: AWS::DynamoDB::Table
    Properties:
      AttributeDefinitions: [{AttributeName: id, AttributeType: S}]
      KeySchema: [{AttributeName: id, KeyType: HASH}]
      TimeToLiveSpecification: {AttributeName: until, Enabled: true}
      StreamSpecification: {StreamViewType: KEYS_ONLY}
  Audit:
    Type: AWS::DynamoDB::Table
    Condition: Audited
    Properties: {}
  Alarm: {Type: AWS::SNS::Topic}
Outputs:
  Url: {Value: !Sub "wss://${Chat}.execute-api.${AWS::Region}.${AWS::URLSuffix}/${Stage}"}
"#;

    fn load(text: &str) -> Result<Template, TemplateError> {
        let front = Some("127.0.0.1:4000".parse().unwrap());
        let surroundings = Surroundings {
            front,
            ..Surroundings::default()
        };
        Template::load(text, &BTreeMap::new(), &surroundings)
    }

    #[test]
    fn functions_have_the_globals_merged_in_and_local_addresses() {
        let template = load(OTHER).unwrap();
        let guard = &template.functions["guard"];
        assert_eq!(
            (guard.name.as_str(), guard.timeout_seconds, guard.memory_mb),
            ("local-Guard", 7, 1024)
        );
        let expected = [("OWN", "1"), ("SHARED", "b"), ("TABLE", "local-Scores")];
        assert_eq!(
            guard.environment,
            expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into()
        );
        let talk = &template.functions["talk"];
        assert_eq!((talk.name.as_str(), talk.memory_mb), ("dev-talk", 128));
        assert_eq!(talk.environment["CALLBACK"], "http://127.0.0.1:4000/dev");
        let arn = "arn:aws:dynamodb:us-east-1:000000000000:table/local-Scores";
        assert_eq!(talk.policies[0]["Statement"][0]["Resource"], arn);
        assert_eq!(template.outputs["Url"], "ws://127.0.0.1:4000/dev");
    }

    #[test]
    fn a_websocket_api_has_its_routes_and_its_authorizer() {
        let websocket = load(OTHER).unwrap().websocket.unwrap();
        assert_eq!(
            (websocket.stage.as_str(), websocket.api_id.as_str()),
            ("dev", "chat")
        );
        assert_eq!(websocket.route_selection, ["meta", "kind"]);
        let route = |has_response, timeout| RouteSpec {
            function: "talk".to_owned(),
            has_response,
            timeout: Duration::from_millis(timeout),
        };
        let expected = [
            ("$connect".to_owned(), route(false, 29_000)),
            ("hush".to_owned(), route(false, 29_000)),
            ("say".to_owned(), route(true, 500)),
        ];
        assert_eq!(websocket.routes, expected.into());
        let sources = [
            IdentitySource::Header("x-key".to_owned()),
            IdentitySource::Query("k".to_owned()),
        ];
        let authorizer = AuthorizerSpec {
            function: "guard".to_owned(),
            identity_sources: sources.into(),
        };
        assert_eq!(websocket.authorizer, Some(authorizer));
    }

    #[test]
    fn events_of_functions_become_routes_of_the_implicit_api() {
        let http = load(OTHER).unwrap().http.unwrap();
        assert_eq!(
            (http.api_id.as_str(), http.stage.as_str()),
            ("serverlesshttpapi", "$default")
        );
        let route = |method: &str, path: &str| HttpRoute {
            method: method.to_owned(),
            path: path.to_owned(),
            function: "talk".to_owned(),
        };
        assert_eq!(
            http.routes,
            [route("ANY", "$default"), route("GET", "/scores/{id}")]
        );
    }

    #[test]
    fn tables_have_their_keys_and_their_time_to_live() {
        let template = load(OTHER).unwrap();
        let expected = TableSpec {
            name: "local-Scores".to_owned(),
            partition_key: KeySpec {
                name: "id".to_owned(),
                kind: KeyType::String,
            },
            sort_key: None,
            ttl_attribute: Some("until".to_owned()),
        };
        assert_eq!(template.tables, BTreeMap::from([("Scores".to_owned(), expected)]));
    }

    #[test]
    fn what_does_not_run_here_is_reported() {
        let warnings = load(OTHER).unwrap().warnings;
        let paths: BTreeSet<_> = warnings.iter().map(|warning| warning.path.as_str()).collect();
        let expected = [
            "Resources.Alarm",
            "Resources.Chat.Properties.Routes.hush",
            "Resources.Guard.Properties.Layers",
            "Resources.Scores.Properties.StreamSpecification",
            "Resources.Talk.Properties.Layers",
            "Resources.Talk.Properties.Policies",
        ];
        assert_eq!(paths, expected.into());
    }

    #[test]
    fn an_error_names_the_resource_the_property_and_what_to_do() {
        for (from, to, expected) in [
            (
                "Handler: guard, ",
                "",
                "Resources.Guard.Properties.Handler: is missing; add it",
            ),
            (
                "Handler: guard",
                "Handler: talk",
                "Resources.Talk.Properties.Handler: talk is the handler of Guard too; give each function its own",
            ),
            (
                "!GetAtt Guard.Arn",
                "!GetAtt Scores.Arn",
                "Resources.Chat.Properties.Auth.AuthArn: arn:aws:dynamodb:us-east-1:000000000000:table/local-Scores is not the ARN",
            ),
            (
                "TABLE: !Ref Scores",
                "TABLE: !Ref Score",
                "Globals.Function.Environment.Variables.TABLE: refers to Score,",
            ),
            (
                "AttributeType: S",
                "AttributeType: SS",
                "Resources.Scores.Properties.AttributeDefinitions[0].AttributeType: SS is",
            ),
            (
                "{AttributeName: id, KeyType",
                "{AttributeName: di, KeyType",
                "Resources.Scores.Properties.KeySchema[0].AttributeName: di is",
            ),
            (
                "${request.body.meta.kind}",
                "$request.header.kind",
                "Resources.Chat.Properties.RouteSelectionExpression: $request.header.kind is",
            ),
            (
                "AuthType: CUSTOM",
                "AuthType: AWS_IAM",
                "Resources.Chat.Properties.Auth.AuthType: AWS_IAM is not possible",
            ),
            (
                "header.X-Key",
                "body.X-Key",
                "Resources.Chat.Properties.Auth.IdentitySource[0]: route.request.body.X-Key is",
            ),
            (
                "MemorySize: 1024",
                "MemorySize: 64",
                "Resources.Guard.Properties.MemorySize: 64 is not possible",
            ),
            (
                "        hush:",
                "        hush-it:",
                "Resources.Chat.Properties.Routes.hush-it: hush-it is not possible",
            ),
            (
                "Transform: AWS::Serverless-2016-10-31",
                "",
                "Transform:  is not possible",
            ),
        ] {
            assert!(OTHER.contains(from), "{from}");
            let error = load(&OTHER.replace(from, to)).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn waxwings_own_template_loads_and_leaves_out_only_what_is_known() {
        let template = load(include_str!("../../../../template.yaml")).unwrap();
        let paths: Vec<_> = template
            .warnings
            .iter()
            .map(|warning| warning.path.as_str())
            .collect();
        let expected = [
            "Resources.AlarmsTopic",
            "Resources.AlarmsTopicPolicy",
            "Resources.DeadLetters",
            "Resources.DeadLettersPolicy",
            "Resources.MediaBucket.Properties.LifecycleConfiguration",
            "Resources.MediaBucketPolicy",
        ];
        assert_eq!(BTreeSet::from_iter(paths), expected.into());
        let websocket = template.websocket.unwrap();
        let limit = Throttle {
            per_second: 2_000,
            burst: 1_000,
        };
        assert_eq!(websocket.throttle, Some(limit));
        assert_eq!(template.http.as_ref().unwrap().throttle, Some(limit));
        assert_eq!(
            websocket
                .routes
                .values()
                .filter(|route| route.has_response)
                .count(),
            websocket.routes.len() - 3
        );
    }
}
