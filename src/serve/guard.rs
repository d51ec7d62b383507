//! Who may ask: the page itself, from this machine, or with the token.
//!
//! A page of somebody else that is open in the same browser can send requests to this machine, and a name of its own can be made
//! to lead here. So every request must name a host that this server goes by, none may come from another site, and one that
//! changes something must say that it comes from the page.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, COOKIE, HOST, LOCATION, ORIGIN,
    REFERRER_POLICY, SET_COOKIE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

/// Nothing but this server's own files is loaded, run or asked.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// The cookie that the token is kept in.
const TOKEN_COOKIE: &str = "agon_token";

/// What requests must have.
#[derive(Debug)]
pub(super) struct Guard {
    /// Names that this server goes by, beside those of this machine's loopback.
    pub(super) hosts: Vec<String>,
    /// Whether it is reached from elsewhere, under any address.
    pub(super) is_open: bool,
    pub(super) token: Option<String>,
}

/// Lets through what may ask, and says in every answer what the page may do.
pub(super) async fn watch(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let mut response = match guard.refusal(request.method(), request.uri().path(), request.headers()) {
        Some((status, reason)) => refused(status, reason),
        None => match guard.admission(&request) {
            Ok(()) => next.run(request).await,
            Err(response) => *response,
        },
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

fn refused(status: StatusCode, reason: &'static str) -> Response {
    (status, [(CONTENT_TYPE, "text/plain; charset=utf-8")], format!("{reason}\n")).into_response()
}

impl Guard {
    /// Why a request is refused, whoever sent it.
    fn refusal(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
    ) -> Option<(StatusCode, &'static str)> {
        let forbidden = |reason| Some((StatusCode::FORBIDDEN, reason));
        let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
        let host = match (text(HOST), headers.get_all(HOST).iter().count()) {
            (Some(host), 1) if self.goes_by(host) => host,
            _ => return forbidden("this server does not go by that name: --allow-host adds one"),
        };
        let origin = text(ORIGIN);
        if origin.is_some_and(|origin| origin.strip_prefix("http://") != Some(host)) {
            return forbidden("requests of other sites are refused");
        }
        let fetch = |name| text(HeaderName::from_static(name));
        let is_own = matches!(fetch("sec-fetch-site"), None | Some("same-origin" | "none"));
        // A link on another site may lead here.
        let is_link = path == "/" && *method == Method::GET && fetch("sec-fetch-mode") == Some("navigate");
        if !is_own && !is_link {
            return forbidden("requests of other sites are refused");
        }
        match *method {
            Method::POST if origin.is_none() => {
                forbidden("a request that changes something must name its origin")
            }
            Method::POST if text(CONTENT_TYPE) != Some("application/json") => {
                Some((StatusCode::UNSUPPORTED_MEDIA_TYPE, "expected JSON"))
            }
            Method::GET | Method::HEAD | Method::POST => None,
            _ => Some((StatusCode::METHOD_NOT_ALLOWED, "there is nothing to be changed here")),
        }
    }

    /// Whether a host, with a port or without, is this server. Ports are not compared: a tunnel may have another one.
    fn goes_by(&self, host: &str) -> bool {
        let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((address, _)) => address,
            None => host.rsplit_once(':').map_or(host, |(name, _)| name),
        };
        let address = name.parse::<IpAddr>().ok();
        name.eq_ignore_ascii_case("localhost")
            || address.is_some_and(|address| address.is_loopback() || self.is_open)
            || self.hosts.iter().any(|known| known.eq_ignore_ascii_case(name))
    }

    /// Whether a request has the token, if one is needed; one that brings it in its address gets it as a cookie.
    fn admission(&self, request: &Request) -> Result<(), Box<Response>> {
        let Some(token) = &self.token else { return Ok(()) };
        let headers = request.headers();
        let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut in_cookies = cookies
            .flat_map(|cookies| cookies.split(';'))
            .filter_map(|cookie| cookie.trim().split_once('='))
            .filter_map(|(name, value)| (name == TOKEN_COOKIE).then_some(value));
        let bearer =
            headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        if bearer.is_some_and(|found| same(found, token)) || in_cookies.any(|found| same(found, token)) {
            return Ok(());
        }
        let mut in_address = request.uri().query().unwrap_or_default().split('&');
        if request.uri().path() == "/"
            && in_address.any(|part| part.strip_prefix("token=").is_some_and(|found| same(found, token)))
        {
            let cookie = format!("{TOKEN_COOKIE}={token}; HttpOnly; SameSite=Strict; Path=/");
            let answer = Response::builder()
                .status(StatusCode::SEE_OTHER)
                .header(LOCATION, "/")
                .header(SET_COOKIE, cookie)
                .body(Body::empty());
            return Err(Box::new(
                answer.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response()),
            ));
        }
        let reason =
            "a token is needed: open the address that ends with ?token=…, which `agon serve` printed";
        Err(Box::new(refused(StatusCode::UNAUTHORIZED, reason)))
    }
}

/// Compares in a time that does not tell how much is right.
fn same(found: &str, expected: &str) -> bool {
    let differing = found.bytes().zip(expected.bytes()).fold(0, |differing, (a, b)| differing | (a ^ b));
    found.len() == expected.len() && differing == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: &Method, path: &str, headers: &[(&'static str, &'static str)]) -> Option<StatusCode> {
        let guard = Guard { hosts: vec!["box".to_owned()], is_open: false, token: None };
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        guard.refusal(method, path, &headers.collect()).map(|(status, _)| status)
    }

    #[test]
    fn only_known_hosts_are_answered() {
        for host in ["localhost", "localhost:6070", "LOCALHOST:1", "127.0.0.1:6070", "[::1]:6070", "box:6070"]
        {
            assert_eq!(asked(&Method::GET, "/", &[("host", host)]), None, "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:6070",
            "127.0.0.1.evil.example",
            "192.168.0.7:6070",
            "",
            "localhost.evil",
        ] {
            assert_eq!(asked(&Method::GET, "/", &[("host", host)]), Some(StatusCode::FORBIDDEN), "{host}");
        }
        assert_eq!(asked(&Method::GET, "/", &[]), Some(StatusCode::FORBIDDEN));
    }

    #[test]
    fn other_sites_may_link_here_and_nothing_else() {
        let host = ("host", "localhost:6070");
        let from = |site, mode, path| {
            asked(&Method::GET, path, &[host, ("sec-fetch-site", site), ("sec-fetch-mode", mode)])
        };
        assert_eq!(from("cross-site", "navigate", "/"), None);
        assert_eq!(from("same-origin", "cors", "/api/list"), None);
        for (site, mode, path) in [
            ("cross-site", "navigate", "/api/list"),
            ("same-site", "cors", "/"),
            ("cross-site", "no-cors", "/assets/main.js"),
        ] {
            assert_eq!(from(site, mode, path), Some(StatusCode::FORBIDDEN), "{site} {mode} {path}");
        }
    }

    #[test]
    fn what_changes_something_must_come_from_the_page() {
        let host = ("host", "localhost:6070");
        let json = ("content-type", "application/json");
        let post = |headers: &[_]| asked(&Method::POST, "/api/replays", headers);
        assert_eq!(post(&[host, json, ("origin", "http://localhost:6070")]), None);
        assert_eq!(post(&[host, json]), Some(StatusCode::FORBIDDEN));
        for origin in ["http://evil.example", "https://localhost:6070", "http://localhost:1", "null"] {
            assert_eq!(post(&[host, json, ("origin", origin)]), Some(StatusCode::FORBIDDEN), "{origin}");
        }
        let form = ("content-type", "text/plain");
        assert_eq!(
            post(&[host, form, ("origin", "http://localhost:6070")]),
            Some(StatusCode::UNSUPPORTED_MEDIA_TYPE)
        );
        assert_eq!(asked(&Method::DELETE, "/", &[host]), Some(StatusCode::METHOD_NOT_ALLOWED));
    }

    #[test]
    fn tokens_are_compared_as_a_whole() {
        assert!(same("secret", "secret"));
        assert!(!same("secre", "secret") && !same("secrets", "secret") && !same("", "secret"));
    }
}
