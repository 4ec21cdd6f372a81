//! A collector of traces: takes what is posted, answers as it is told, and decodes with the official types.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

/// One request as it came.
#[derive(Clone)]
pub(crate) struct Posted {
    pub(crate) line: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

pub(crate) struct Collector {
    address: SocketAddr,
    posted: Arc<Mutex<Vec<Posted>>>,
}

impl Collector {
    /// `answer` gets the number of each request, from 0, and gives its status; without one it never answers.
    pub(crate) fn start(answer: impl Fn(usize) -> Option<u16> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let posted: Arc<Mutex<Vec<Posted>>> = Arc::default();
        let (log, answer) = (Arc::clone(&posted), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
                thread::spawn(move || converse(stream, &log, &*answer));
            }
        });
        Self { address, posted }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn posted(&self) -> Vec<Posted> {
        self.posted.lock().unwrap().clone()
    }

    /// Every span so far, with the attributes of its resource.
    pub(crate) fn spans(&self) -> Vec<(Span, Vec<KeyValue>)> {
        let decode = |posted: &Posted| ExportTraceServiceRequest::decode(posted.body.as_slice()).unwrap();
        let resources =
            self.posted().iter().map(decode).flat_map(|request| request.resource_spans).collect::<Vec<_>>();
        let spans = resources.into_iter().flat_map(|resource| {
            let attributes = resource.resource.unwrap().attributes;
            let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            spans.map(move |span| (span, attributes.clone())).collect::<Vec<_>>()
        });
        spans.collect()
    }
}

fn converse(stream: TcpStream, log: &Mutex<Vec<Posted>>, answer: &dyn Fn(usize) -> Option<u16>) {
    let mut stream = BufReader::new(stream);
    while let Some(posted) = read(&mut stream) {
        let number = {
            let mut log = log.lock().unwrap();
            log.push(posted);
            log.len() - 1
        };
        let Some(status) = answer(number) else {
            loop {
                thread::park();
            }
        };
        let head = format!("HTTP/1.1 {status} Scripted\r\nContent-Length: 0\r\n\r\n");
        if stream.get_mut().write_all(head.as_bytes()).is_err() {
            return;
        }
    }
}

fn read(stream: &mut BufReader<TcpStream>) -> Option<Posted> {
    let line = read_line(stream)?;
    let mut headers = BTreeMap::new();
    loop {
        let header = read_line(stream)?;
        let Some((name, value)) = header.split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let mut body = vec![0; headers["content-length"].parse().unwrap()];
    stream.read_exact(&mut body).ok()?;
    Some(Posted { line, headers, body })
}

fn read_line(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = String::new();
    let length = stream.read_line(&mut line).ok()?;
    (length > 0).then(|| line.trim_end().to_owned())
}

/// An attribute as text; empty when there is none.
pub(crate) fn attribute(attributes: &[KeyValue], key: &str) -> String {
    let found = attributes.iter().find(|attribute| attribute.key == key);
    match found.and_then(|attribute| attribute.value.clone()) {
        Some(AnyValue { value: Some(Value::StringValue(text)) }) => text,
        Some(AnyValue { value: Some(Value::IntValue(number)) }) => number.to_string(),
        _ => String::new(),
    }
}
