//! What the environment says of it, by OpenTelemetry's own variables. Pure.

use std::time::Duration;

use crate::proxy::spans::Sampler;

/// Where something is sent: `http://host:port/path`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub host: String,
    pub port: u16,
    pub path: String,
}

/// Where, and what goes along in the head of each request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub endpoint: Endpoint,
    /// May hold secrets.
    pub headers: Vec<(String, String)>,
    pub timeout: Duration,
}

/// What is exported, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub(super) traces: Option<Target>,
    pub(super) metrics: Option<Target>,
    /// About this process: names and values.
    pub(super) resource: Vec<(String, String)>,
    pub(super) sampler: Sampler,
    pub(super) metrics_each: Duration,
    pub(super) spans_each: Duration,
    pub(super) most_queued: usize,
    pub(super) most_at_once: usize,
}

/// Values of variables; one that is empty is as good as none.
type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

impl Plan {
    /// What these variables say; `None` when they name no endpoint.
    ///
    /// # Errors
    /// What cannot be understood, or is not there.
    pub fn read(get: Variables<'_>) -> Result<Option<Self>, String> {
        let get = |name: &str| get(name).filter(|value| !value.trim().is_empty());
        let is_off = get("OTEL_SDK_DISABLED").is_some_and(|value| is_true(&value));
        let (traces, metrics) = match is_off {
            true => (None, None),
            false => (target(&get, "TRACES")?, target(&get, "METRICS")?),
        };
        if traces.is_none() && metrics.is_none() {
            return Ok(None);
        }
        let most_queued = number(&get, "OTEL_BSP_MAX_QUEUE_SIZE", 2_048, 1_000_000)?;
        let most_at_once = number(&get, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512, 100_000)?;
        Ok(Some(Self {
            traces,
            metrics,
            resource: resource(&get)?,
            sampler: sampler(&get)?,
            metrics_each: span(&get, "OTEL_METRIC_EXPORT_INTERVAL", 60_000)?,
            spans_each: span(&get, "OTEL_BSP_SCHEDULE_DELAY", 5_000)?,
            most_queued,
            most_at_once: most_at_once.min(most_queued),
        }))
    }
}

fn is_true(value: &str) -> bool {
    value.trim().eq_ignore_ascii_case("true")
}

/// A whole number from 1.
fn number(
    get: &dyn Fn(&str) -> Option<String>,
    name: &str,
    default: usize,
    most: usize,
) -> Result<usize, String> {
    let Some(value) = get(name) else {
        return Ok(default);
    };
    let number = value.trim().parse().ok();
    let number = number.filter(|number| (1..=most).contains(number));
    number.ok_or_else(|| format!("{name}: a whole number from 1 to {most} is wanted"))
}

/// Milliseconds, at most a day.
fn span(
    get: &dyn Fn(&str) -> Option<String>,
    name: &str,
    default: usize,
) -> Result<Duration, String> {
    let ms = number(get, name, default, 86_400_000)?;
    Ok(Duration::from_millis(u64::try_from(ms).unwrap_or(u64::MAX)))
}

/// Where this signal goes; nowhere without an endpoint.
fn target(get: &dyn Fn(&str) -> Option<String>, signal: &str) -> Result<Option<Target>, String> {
    let exporter = format!("OTEL_{signal}_EXPORTER");
    match get(&exporter).as_deref().map(str::trim) {
        None | Some("otlp") => {}
        Some("none") => return Ok(None),
        Some(_) => return Err(format!("{exporter}: only otlp and none are known")),
    }
    let own = |what: &str| format!("OTEL_EXPORTER_OTLP_{signal}_{what}");
    let of_all = |what: &str| format!("OTEL_EXPORTER_OTLP_{what}");
    let (name, url) = match (get(&own("ENDPOINT")), get(&of_all("ENDPOINT"))) {
        (Some(url), _) => (own("ENDPOINT"), url),
        (None, Some(base)) => {
            let path = signal.to_ascii_lowercase();
            let url = format!("{}/v1/{path}", base.trim().trim_end_matches('/'));
            (of_all("ENDPOINT"), url)
        }
        (None, None) => return Ok(None),
    };
    let endpoint = endpoint(url.trim()).map_err(|wrong| format!("{name}: {wrong}"))?;
    for name in [own("PROTOCOL"), of_all("PROTOCOL")] {
        let protocol = get(&name);
        if protocol.is_some_and(|protocol| protocol.trim() != "http/json") {
            return Err(format!("{name}: only http/json is spoken"));
        }
    }
    let either = |what: &str| get(&own(what)).map_or_else(|| of_all(what), |_| own(what));
    Ok(Some(Target {
        endpoint,
        headers: pairs(get, &either("HEADERS"))?,
        timeout: span(get, &either("TIMEOUT"), 10_000)?,
    }))
}

fn endpoint(url: &str) -> Result<Endpoint, String> {
    let Some(rest) = url.strip_prefix("http://") else {
        return Err(
            "a URL http://HOST:PORT is wanted; into TLS a collector beside pgweave can take it"
                .to_owned(),
        );
    };
    let (authority, path) = match rest.split_once('/') {
        Some((authority, path)) => (authority, format!("/{path}")),
        None => (rest, "/".to_owned()),
    };
    let has_port = !authority.ends_with(']');
    let (host, port) = match authority.rsplit_once(':').filter(|_| has_port) {
        Some((host, port)) => (host, port.parse().map_err(|_| "its port is none")?),
        None => (authority, 4318),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    if host.is_empty() || host.contains('@') || !is_plain(host) || !is_plain(&path) {
        return Err("it names no host, or more than that".to_owned());
    }
    Ok(Endpoint {
        host: host.to_owned(),
        port,
        path,
    })
}

/// `name=value,name=value`, the values as in a URL. Values are secrets perhaps: no error
/// tells them.
fn pairs(
    get: &dyn Fn(&str) -> Option<String>,
    name: &str,
) -> Result<Vec<(String, String)>, String> {
    let text = get(name).unwrap_or_default();
    let parts = text.split(',').filter(|part| !part.trim().is_empty());
    let pair = |part: &str| {
        let (key, value) = part.split_once('=')?;
        Some((key.trim().to_owned(), decoded(value.trim())?))
    };
    let pairs = parts.map(pair).collect::<Option<Vec<_>>>();
    pairs.ok_or_else(|| format!("{name}: a list like name=value,name=value is wanted"))
}

/// Without `%20` and its like.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next()?, rest.next()?];
        let digits = std::str::from_utf8(&digits).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
    }
    String::from_utf8(bytes).ok()
}

fn resource(get: &dyn Fn(&str) -> Option<String>) -> Result<Vec<(String, String)>, String> {
    let mut given = pairs(get, "OTEL_RESOURCE_ATTRIBUTES")?;
    if let Some(name) = get("OTEL_SERVICE_NAME") {
        given.retain(|(key, _)| key != "service.name");
        given.push(("service.name".to_owned(), name));
    }
    let usual = [
        ("service.name", "pgweave".to_owned()),
        ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
        ("service.instance.id", std::process::id().to_string()),
    ];
    for (key, value) in usual {
        if !given.iter().any(|(other, _)| other == key) {
            given.push((key.to_owned(), value));
        }
    }
    Ok(given)
}

fn sampler(get: &dyn Fn(&str) -> Option<String>) -> Result<Sampler, String> {
    let name = get("OTEL_TRACES_SAMPLER");
    let name = name.as_deref().map_or("parentbased_always_on", str::trim);
    let (follows_parent, own) = match name.strip_prefix("parentbased_") {
        Some(own) => (true, own),
        None => (false, name),
    };
    let ratio = match own {
        "always_on" => 1.0,
        "always_off" => 0.0,
        "traceidratio" => share(get)?,
        _ => {
            return Err(
                "OTEL_TRACES_SAMPLER: always_on, always_off and traceidratio are known, \
                 each with parentbased_ before it as well"
                    .to_owned(),
            );
        }
    };
    Ok(Sampler {
        ratio,
        follows_parent,
    })
}

fn share(get: &dyn Fn(&str) -> Option<String>) -> Result<f64, String> {
    let name = "OTEL_TRACES_SAMPLER_ARG";
    let Some(value) = get(name) else {
        return Ok(1.0);
    };
    let share = value.trim().parse().ok();
    let share = share.filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| format!("{name}: a number from 0 to 1 is wanted"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Option<Plan>, String> {
        let get = |name: &str| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Plan::read(&get)
    }

    fn planned(variables: &[(&str, &str)]) -> Plan {
        read(variables).unwrap().unwrap()
    }

    const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/");

    #[test]
    fn without_an_endpoint_there_is_none() {
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&[("OTEL_SERVICE_NAME", "x")]), Ok(None));
        assert_eq!(read(&[ENDPOINT, ("OTEL_SDK_DISABLED", "true")]), Ok(None));
        assert_eq!(read(&[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")]), Ok(None));
    }

    #[test]
    fn each_signal_has_its_place() {
        let plan = planned(&[ENDPOINT]);
        let at = |path: &str| Endpoint {
            host: "collector".to_owned(),
            port: 4318,
            path: path.to_owned(),
        };
        assert_eq!(plan.traces.unwrap().endpoint, at("/v1/traces"));
        assert_eq!(plan.metrics.unwrap().endpoint, at("/v1/metrics"));
        let own = (
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "http://[::1]:9/as/it/is",
        );
        let plan = planned(&[own]);
        let traces = plan.traces.unwrap().endpoint;
        assert_eq!(
            (traces.host.as_str(), traces.port, traces.path.as_str()),
            ("::1", 9, "/as/it/is")
        );
        assert_eq!(plan.metrics, None);
        let plan = planned(&[ENDPOINT, ("OTEL_TRACES_EXPORTER", "none")]);
        assert!(plan.traces.is_none() && plan.metrics.is_some());
    }

    #[test]
    fn what_goes_along_is_of_the_signal_or_of_all() {
        let plan = planned(&[
            ENDPOINT,
            ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20b, x=y"),
            ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "other=1"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "250"),
            ("OTEL_SERVICE_NAME", "front"),
            ("OTEL_RESOURCE_ATTRIBUTES", "service.name=back,zone=b"),
        ]);
        let (traces, metrics) = (plan.traces.unwrap(), plan.metrics.unwrap());
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(traces.headers, [pair("api-key", "a b"), pair("x", "y")]);
        assert_eq!(metrics.headers, [pair("other", "1")]);
        assert_eq!(traces.timeout, Duration::from_millis(250));
        assert!(plan.resource.contains(&pair("service.name", "front")));
        assert!(plan.resource.contains(&pair("zone", "b")));
        assert!(!plan.resource.contains(&pair("service.name", "back")));
    }

    #[test]
    fn samplers_are_those_of_the_specification() {
        for (name, ratio, follows_parent) in [
            ("always_on", 1.0, false),
            ("parentbased_always_off", 0.0, true),
            ("parentbased_traceidratio", 0.25, true),
            ("traceidratio", 0.25, false),
        ] {
            let plan = planned(&[
                ENDPOINT,
                ("OTEL_TRACES_SAMPLER", name),
                ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
            ]);
            let expected = Sampler {
                ratio,
                follows_parent,
            };
            assert_eq!(plan.sampler, expected, "{name}");
        }
        let usual = planned(&[ENDPOINT]).sampler;
        assert!(usual.follows_parent && usual.ratio >= 1.0);
    }

    #[test]
    fn what_is_wrong_is_told_without_secrets() {
        for (name, value) in [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://me:s3cret@collector"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:99999"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "s3cret"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "0"),
            ("OTEL_TRACES_EXPORTER", "zipkin"),
            ("OTEL_TRACES_SAMPLER", "jaeger_remote"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "soon"),
        ] {
            let told = read(&[(name, value), ENDPOINT]).unwrap_err();
            assert!(told.starts_with(name), "{told}");
            assert!(!told.contains("s3cret"), "{told}");
        }
    }
}
