#![allow(unsafe_code)] // interface names to numbers and back
//! Addresses as text: what a caller writes, and what a caller is shown.
//!
//! Parsing never asks the network. It returns a name as a name, for the resolver. Invariant: [`parse`] reads what
//! [`format()`] writes back as the same address.

use crate::error::{Error, Result};
use std::ffi::{CStr, CString};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// The longest host name in DNS, and the longest part of a name between two dots.
const NAME_MAX: usize = 253;
const LABEL_MAX: usize = 63;

/// An address as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// An address for connect and bind.
    Numeric(SocketAddr),
    /// A name to resolve first.
    Name {
        /// A well-formed host name, known or not.
        host: String,
        /// The port.
        port: u16,
    },
}

impl fmt::Display for Parsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Parsed::Numeric(address) => address.fmt(f),
            Parsed::Name { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

/// Reads `127.0.0.1:7000`, `[::1]:7000`, `[fe80::1%eth0]:7000`, `[fe80::1%2]:7000` or `name:7000`.
/// ENODEV: the interface does not exist. ADDRESS: any other text.
pub fn parse(text: &str) -> Result<Parsed> {
    if let Some(rest) = text.strip_prefix('[') {
        let (inside, port) = rest.rsplit_once("]:").ok_or(Error::ADDRESS)?;
        return bracketed(inside, parse_port(port)?);
    }
    let (host, port) = text.rsplit_once(':').ok_or(Error::ADDRESS)?;
    let port = parse_port(port)?;
    if let Ok(ip) = host.parse::<Ipv4Addr>() {
        return Ok(Parsed::Numeric(SocketAddr::new(IpAddr::V4(ip), port)));
    }
    if !is_host_name(host) {
        return Err(Error::ADDRESS);
    }
    Ok(Parsed::Name { host: host.to_owned(), port })
}

/// Reads a local address, a number with or without a port: `127.0.0.1`, `::1`, `127.0.0.1:7000` or `[::1]:7000`.
/// ADDRESS: any other text. ENODEV: the interface does not exist.
pub fn parse_local(text: &str) -> Result<SocketAddr> {
    let parsed = match parse(text) {
        Err(Error::ADDRESS) => parse(&join(text, 0)?)?,
        parsed => parsed?,
    };
    match parsed {
        Parsed::Numeric(address) => Ok(address),
        Parsed::Name { .. } => Err(Error::ADDRESS),
    }
}

/// Writes `host` and `port` as [`parse`] reads them: an IPv6 address gets its brackets, if it has none yet.
/// ADDRESS: the text would be no address. ENODEV: the interface does not exist.
pub fn join(host: &str, port: u16) -> Result<String> {
    let bare_ipv6 = host.contains(':') && !host.starts_with('[');
    let text = if bare_ipv6 { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    parse(&text).map(|_| text)
}

/// Writes an address as [`parse`] reads it, in at most 127 bytes: 39 digits and colons, an interface name of 15, and a port.
/// An interface without a name is written as its number.
pub fn format(address: &SocketAddr) -> String {
    match address {
        SocketAddr::V6(v6) if v6.scope_id() != 0 => match interface_name(v6.scope_id()) {
            Some(name) => format!("[{}%{}]:{}", v6.ip(), name, v6.port()),
            None => format!("[{}%{}]:{}", v6.ip(), v6.scope_id(), v6.port()),
        },
        other => other.to_string(),
    }
}

fn bracketed(inside: &str, port: u16) -> Result<Parsed> {
    let (ip, scope_id) = match inside.split_once('%') {
        Some((ip, scope)) => (ip, Some(scope)),
        None => (inside, None),
    };
    let ip = ip.parse::<Ipv6Addr>().map_err(|_| Error::ADDRESS)?;
    let scope_id = scope_id.map_or(Ok(0), interface_index)?;
    Ok(Parsed::Numeric(SocketAddr::V6(SocketAddrV6::new(ip, port, 0, scope_id))))
}

/// Digits only: the standard library's parser would accept a plus sign.
fn parse_port(text: &str) -> Result<u16> {
    if text.is_empty() || text.len() > 5 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Error::ADDRESS);
    }
    text.parse().map_err(|_| Error::ADDRESS)
}

/// Whether the resolver can look up `host`. If the last part is made of digits, it is a mistyped number such as 256.1.1.1 or
/// 127.1. The C library would read such a number in its own ways.
fn is_host_name(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let label_ok = |label: &str| {
        !label.is_empty()
            && label.len() <= LABEL_MAX
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let numeric = |label: &str| {
        let digits = label.strip_prefix("0x").or_else(|| label.strip_prefix("0X"));
        label.bytes().all(|byte| byte.is_ascii_digit())
            || digits.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    host.len() <= NAME_MAX && host.split('.').all(label_ok) && !host.rsplit('.').next().is_some_and(numeric)
}

/// The number of an interface. The name comes first, because an interface may have a number for its name.
fn interface_index(scope: &str) -> Result<u32> {
    let name = CString::new(scope).map_err(|_| Error::ADDRESS)?;
    if scope.is_empty() {
        return Err(Error::ADDRESS);
    }
    // SAFETY: `name` ends in zero and outlives the call, which only reads it.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    if index != 0 {
        return Ok(index);
    }
    if !scope.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Error::from_errno(libc::ENODEV));
    }
    scope.parse().map_err(|_| Error::ADDRESS)
}

/// `None` if the interface is gone, or its name is not UTF-8.
fn interface_name(index: u32) -> Option<String> {
    let mut name = [0; libc::IF_NAMESIZE];
    // SAFETY: the call writes at most IF_NAMESIZE bytes, which is the array's size.
    let found = unsafe { libc::if_indextoname(index, name.as_mut_ptr().cast()) };
    if found.is_null() {
        return None;
    }
    CStr::from_bytes_until_nul(&name).ok()?.to_str().ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numeric(text: &str) -> SocketAddr {
        match parse(text) {
            Ok(Parsed::Numeric(address)) => address,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn numbers_are_read_and_written_back() {
        for text in [
            "127.0.0.1:7000",
            "0.0.0.0:0",
            "255.255.255.255:65535",
            "[::1]:7000",
            "[::]:0",
            "[2001:db8::7]:80",
        ] {
            assert_eq!(format(&numeric(text)), text);
        }
        assert_eq!(numeric("[::ffff:1.2.3.4]:5").to_string(), "[::ffff:1.2.3.4]:5");
        assert_eq!(numeric("127.0.0.1:00080").port(), 80);
    }

    #[test]
    fn a_host_and_a_port_are_joined_with_the_brackets_that_they_need() {
        for (host, text) in [
            ("127.0.0.1", "127.0.0.1:80"),
            ("::1", "[::1]:80"),
            ("[::1]", "[::1]:80"),
            ("fe80::1%lo", "[fe80::1%lo]:80"),
            ("example.org", "example.org:80"),
        ] {
            assert_eq!(join(host, 80).as_deref(), Ok(text));
        }
        for host in
            ["", "a:1", "127.0.0.1:80", "[::1]:80", "[::1", "::1]", "[a]", "1::2::3", "a b", "256.1.1.1"]
        {
            assert_eq!(join(host, 80), Err(Error::ADDRESS), "{host}");
        }
        assert_eq!(join("fe80::1%nosuch0", 80), Err(Error::from_errno(libc::ENODEV)));
    }

    #[test]
    fn a_local_address_is_a_number_with_or_without_a_port() {
        for (text, expected) in [
            ("127.0.0.1", "127.0.0.1:0"),
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("::1", "[::1]:0"),
            ("[::1]:80", "[::1]:80"),
            ("::1:80", "[::1:80]:0"),
        ] {
            assert_eq!(parse_local(text).map(|address| format(&address)).as_deref(), Ok(expected));
        }
        for text in ["", "localhost", "localhost:80", "127.0.0.1:x", "[::1]:x"] {
            assert_eq!(parse_local(text), Err(Error::ADDRESS), "{text}");
        }
    }

    #[test]
    fn interfaces_go_by_name_or_number() {
        let by_name = numeric("[fe80::1%lo]:7000");
        let SocketAddr::V6(v6) = by_name else { panic!("an IPv6 address") };
        assert_ne!(v6.scope_id(), 0);
        assert_eq!(numeric(&format!("[fe80::1%{}]:7000", v6.scope_id())), by_name);
        assert_eq!(format(&by_name), "[fe80::1%lo]:7000");
        let gone = SocketAddr::V6(SocketAddrV6::new(v6.ip().to_owned(), 1, 0, u32::MAX));
        assert_eq!(format(&gone), "[fe80::1%4294967295]:1");
        assert_eq!(numeric(&format(&gone)), gone);
    }

    #[test]
    fn a_missing_interface_is_named_as_such() {
        for text in
            ["[fe80::1%nosuch0]:1", "[fe80::1%a_name_longer_than_any_interface_has]:1", "[fe80::1%lo%lo]:1"]
        {
            assert_eq!(parse(text), Err(Error::from_errno(libc::ENODEV)), "{text}");
        }
    }

    #[test]
    fn names_come_back_as_names() {
        let longest = format!("{0}.{0}.{0}.{1}", "a".repeat(63), "b".repeat(61));
        for host in
            ["localhost", "a", "example.org", "example.org.", "x-1.y_2", "7.example", "10a", longest.as_str()]
        {
            let expected = Parsed::Name { host: host.to_owned(), port: 7000 };
            assert_eq!(parse(&format!("{host}:7000")), Ok(expected));
        }
    }

    const MALFORMED: &[&str] = &[
        "",
        ":",
        ":1",
        "localhost",
        "localhost:",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        "127.0.0.1:+1",
        "127.0.0.1: 1",
        "127.0.0.1:1 ",
        " 127.0.0.1:1",
        "127.0.0.1:000080",
        "127.0.0.1:0x50",
        "127.0.0.1:http",
        "256.0.0.1:1",
        "127.1:1",
        "1:1",
        "0x7f:1",
        "a.0x:1",
        "1.2.3.4.5:1",
        "010.0.0.1:1",
        "::1:80",
        "::1",
        "[::1]",
        "[::1]:",
        "[::1]80",
        "[::1:80",
        "::1]:80",
        "[]:80",
        "[127.0.0.1]:80",
        "[localhost]:80",
        "[::1]:80]:80",
        "[fe80::1%]:80",
        "[fe80::1%99999999999]:80",
        "[fe80::1%lo\0]:80",
        "[:::1]:80",
        ".:1",
        "..:1",
        "a..b:1",
        ".a:1",
        "a..:1",
        "a b:1",
        "a/b:1",
        "a%lo:1",
        "user@host:1",
        "h\u{f6}st:1",
        "a\0b:1",
        "a:b:1",
    ];

    #[test]
    fn everything_else_is_malformed() {
        let too_long = format!("{0}.{0}.{0}.{1}:1", "a".repeat(63), "b".repeat(62));
        let long_label = format!("{}:1", "a".repeat(64));
        let made = [too_long.as_str(), long_label.as_str()];
        for text in MALFORMED.iter().copied().chain(made) {
            assert_eq!(parse(text), Err(Error::ADDRESS), "{text:?}");
        }
    }
}
