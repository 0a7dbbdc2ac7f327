//! The Query protocol of AWS: forms in, XML out (Smithy, "AWS Query protocol").

use std::collections::BTreeMap;

use aws_smithy_xml::encode::XmlWriter;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};

use super::error::invalid_parameter;
use crate::aws::answer::AwsError;

/// The namespace of SNS's answers: its API version.
const NAMESPACE: &str = "http://sns.amazonaws.com/doc/2010-03-31/";

/// The parameters of a request.
#[derive(Debug, Default)]
pub(super) struct Form {
    parameters: BTreeMap<String, String>,
}

impl Form {
    /// The parameters in a form's body. Of one that comes twice the last counts.
    pub(super) fn read(body: &[u8]) -> Self {
        Self {
            parameters: form_urlencoded::parse(body).into_owned().collect(),
        }
    }

    /// A parameter, if there is one with a value.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let text = self.parameters.get(name)?;
        (!text.is_empty()).then_some(text)
    }

    /// A parameter that has to be there.
    pub(super) fn required(&self, name: &str) -> Result<&str, AwsError> {
        self.text(name)
            .ok_or_else(|| invalid_parameter(format!("{name} Reason: no value for required parameter")))
    }

    /// A map: `NAME.entry.1.KEY`, `NAME.entry.1.VALUE`, counted from 1.
    pub(super) fn map(&self, name: &str, key: &str, value: &str) -> BTreeMap<String, String> {
        let entries = (1..).map_while(|number| {
            let part = |part: &str| {
                self.parameters
                    .get(&format!("{name}.entry.{number}.{part}"))
                    .cloned()
            };
            Some((part(key)?, part(value).unwrap_or_default()))
        });
        entries.collect()
    }
}

/// What is in an answer, in order: names and values, or one map of attributes.
#[derive(Debug)]
pub(super) enum Answer {
    /// Nothing but that it was done.
    Nothing,
    /// One element.
    Element(&'static str, String),
    /// `<Attributes><entry><key/><value/></entry>…</Attributes>`.
    Attributes(BTreeMap<&'static str, String>),
}

/// The answer to `action`.
pub(super) fn answer(action: &str, answer: &Answer, request_id: &str) -> Response<Bytes> {
    let mut text = String::new();
    let mut writer = XmlWriter::new(&mut text);
    let (root, result) = (format!("{action}Response"), format!("{action}Result"));
    let mut root = writer.start_el(&root).write_ns(NAMESPACE, None).finish();
    match answer {
        Answer::Nothing => {}
        Answer::Element(name, value) => element(&mut root.start_el(&result).finish(), name, value),
        Answer::Attributes(attributes) => {
            let mut result = root.start_el(&result).finish();
            let mut map = result.start_el("Attributes").finish();
            for (key, value) in attributes {
                let mut entry = map.start_el("entry").finish();
                element(&mut entry, "key", key);
                element(&mut entry, "value", value);
            }
        }
    }
    let mut metadata = root.start_el("ResponseMetadata").finish();
    element(&mut metadata, "RequestId", request_id);
    metadata.finish();
    root.finish();
    xml(StatusCode::OK, text)
}

/// An error as the Query protocol writes it.
pub(in crate::aws) fn error(error: &AwsError) -> Response<Bytes> {
    let mut text = String::new();
    let mut writer = XmlWriter::new(&mut text);
    let mut root = writer
        .start_el("ErrorResponse")
        .write_ns(NAMESPACE, None)
        .finish();
    let mut inner = root.start_el("Error").finish();
    let at_fault = if error.status.is_server_error() {
        "Receiver"
    } else {
        "Sender"
    };
    element(&mut inner, "Type", at_fault);
    element(&mut inner, "Code", error.kind);
    element(&mut inner, "Message", &error.message);
    inner.finish();
    root.finish();
    xml(error.status, text)
}

fn element(parent: &mut aws_smithy_xml::encode::ScopeWriter<'_, '_>, name: &str, value: &str) {
    parent.start_el(name).finish().data(value);
}

fn xml(status: StatusCode, text: String) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(text));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("text/xml"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_ends_with_the_first_number_that_is_missing() {
        let form = Form::read(b"A.entry.1.key=x&A.entry.1.value=1&A.entry.2.key=y&A.entry.4.key=z");
        let expected = [("x", "1"), ("y", "")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(form.map("A", "key", "value"), BTreeMap::from(expected));
    }

    #[test]
    fn what_a_caller_wrote_cannot_end_an_element() {
        let answer = answer(
            "Publish",
            &Answer::Element("MessageId", "</MessageId><a&".to_owned()),
            "1",
        );
        let text = String::from_utf8(answer.into_body().to_vec()).unwrap();
        assert!(
            text.contains("<MessageId>&lt;/MessageId&gt;&lt;a&amp;</MessageId>"),
            "{text}"
        );
    }
}
