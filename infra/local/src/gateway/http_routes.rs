//! Which route an HTTP request takes.
//!
//! API Gateway developer guide, "Create routes for HTTP APIs", "Routing API requests": the full match of path and
//! method first, then a match with a greedy variable, then `$default`. Among full matches, text goes before
//! variables, and a method before `ANY`.

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use crate::template::HttpRoute;

/// The routes of an API, the most particular first.
#[derive(Debug)]
pub(super) struct Routes(Vec<Route>);

#[derive(Debug)]
struct Route {
    route: HttpRoute,
    segments: Vec<Segment>,
}

/// A part of a route's path. The order is that of precedence.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    /// Itself.
    Text(String),
    /// `{name}`: any one part.
    Variable(String),
    /// `{name+}`: all that is left.
    Greedy(String),
    /// `$default`: anything at all.
    Default,
}

/// The route of a request.
#[derive(Debug, PartialEq)]
pub(super) struct Found<'a> {
    /// The route.
    pub(super) route: &'a HttpRoute,
    /// Its variables, decoded.
    pub(super) parameters: Map<String, Value>,
}

impl Routes {
    pub(super) fn new(routes: &[HttpRoute]) -> Self {
        let routes = routes.iter().map(|route| Route {
            route: route.clone(),
            segments: segments(&route.path),
        });
        let mut routes: Vec<_> = routes.collect();
        routes.sort_by_cached_key(|Route { route, segments }| {
            let catches_all = match segments.last() {
                Some(Segment::Default) => 2,
                Some(Segment::Greedy(_)) => 1,
                _ => 0,
            };
            (catches_all, segments.clone(), route.method == "ANY")
        });
        Self(routes)
    }

    /// The route for a method and a path, which is as it came in but without the stage.
    pub(super) fn find(&self, method: &str, path: &str) -> Option<Found<'_>> {
        let path: Vec<_> = path.strip_prefix('/').unwrap_or(path).split('/').collect();
        self.0
            .iter()
            .filter(|Route { route, .. }| route.method == "ANY" || route.method == method)
            .find_map(|Route { route, segments }| {
                Some(Found {
                    route,
                    parameters: bind(segments, &path)?,
                })
            })
    }
}

fn segments(path: &str) -> Vec<Segment> {
    if path == "$default" {
        return vec![Segment::Default];
    }
    let parts = path.strip_prefix('/').unwrap_or(path).split('/');
    let parse = |part: &str| {
        let Some(name) = part.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
            return Segment::Text(part.to_owned());
        };
        match name.strip_suffix('+') {
            Some(name) => Segment::Greedy(name.to_owned()),
            None => Segment::Variable(name.to_owned()),
        }
    };
    parts.map(parse).collect()
}

/// The values of a route's variables, if the path has the route's form.
fn bind(segments: &[Segment], mut path: &[&str]) -> Option<Map<String, Value>> {
    let mut parameters = Map::new();
    for segment in segments {
        let (first, rest) = path.split_first()?;
        match segment {
            Segment::Default => return Some(parameters),
            Segment::Text(text) if *text == decode(first)? => path = rest,
            Segment::Variable(name) if !first.is_empty() => {
                parameters.insert(name.clone(), decode(first)?.into());
                path = rest;
            }
            Segment::Greedy(name) if !first.is_empty() => {
                parameters.insert(name.clone(), decode(&path.join("/"))?.into());
                path = &[];
            }
            _ => return None,
        }
    }
    path.is_empty().then_some(parameters)
}

/// `None` for bytes that are no text: no route has those.
fn decode(part: &str) -> Option<String> {
    percent_decode_str(part).decode_utf8().ok().map(Into::into)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn routes(keys: &[&str]) -> Routes {
        let route = |key: &&str| {
            let (method, path) = key.split_once(' ').unwrap_or(("ANY", key));
            HttpRoute {
                method: method.to_owned(),
                path: path.to_owned(),
                function: key.to_string(),
            }
        };
        Routes::new(&keys.iter().map(route).collect::<Vec<_>>())
    }

    /// The example of the developer guide, and more.
    #[test]
    fn the_most_particular_route_answers() {
        let routes = routes(&[
            "$default",
            "ANY /{proxy+}",
            "GET /pets/{proxy+}",
            "GET /pets/dog/{id}",
            "GET /pets/dog/1",
            "ANY /pets/dog/{id}",
            "POST /",
        ]);
        for (request, expected, parameters) in [
            ("GET /pets/dog/1", "GET /pets/dog/1", json!({})),
            ("GET /pets/dog/2", "GET /pets/dog/{id}", json!({"id": "2"})),
            ("PUT /pets/dog/2", "ANY /pets/dog/{id}", json!({"id": "2"})),
            ("GET /pets/cat/1", "GET /pets/{proxy+}", json!({"proxy": "cat/1"})),
            (
                "POST /pets/cat/1",
                "ANY /{proxy+}",
                json!({"proxy": "pets/cat/1"}),
            ),
            ("POST /", "POST /", json!({})),
            ("GET /", "$default", json!({})),
        ] {
            let (method, path) = request.split_once(' ').unwrap();
            let found = routes.find(method, path).unwrap();
            assert_eq!(
                (found.route.function.as_str(), Value::Object(found.parameters)),
                (expected, parameters),
                "{request}"
            );
        }
    }

    #[test]
    fn a_request_without_a_route_has_none() {
        let routes = routes(&["GET /v1/keys/{userId}", "POST /v1/keys"]);
        for (method, path) in [
            ("DELETE", "/v1/keys"),
            ("GET", "/v1/keys"),
            ("GET", "/v1/keys/"),
            ("GET", "/v1/keys/a/b"),
            ("POST", "/v1/keys/"),
            ("POST", "/V1/keys"),
            ("GET", "/v1/keys/%FF"),
        ] {
            assert_eq!(routes.find(method, path), None, "{method} {path}");
        }
    }

    #[test]
    fn variables_are_decoded_one_by_one() {
        let routes = routes(&["GET /a/{x}/{y}"]);
        let found = routes.find("GET", "/a/1%2F2/%C3%A9").unwrap();
        assert_eq!(Value::Object(found.parameters), json!({"x": "1/2", "y": "é"}));
    }
}
