//! The addresses of names in the hosts file.
//!
//! The caller's thread reads the file for each question, so a change of the file takes effect at once. Reading a file of
//! this size takes some microseconds and asks no name server. Therefore these names resolve at once even while name servers
//! are silent.
//!
//! Invariant: an answer has all addresses that the file gives a name. If the file is too large or a line of the name cannot
//! be read, there is no answer, and getaddrinfo decides.

use std::fs::File;
use std::io::Read;
use std::net::SocketAddr;

const PATH: &str = "/etc/hosts";
/// The largest file that is read. A callback may be waiting for the read.
const SIZE_MAX: usize = 64 << 10;

/// The addresses of `host`, in the order to try them. `None`: the file gives no answer.
pub fn find(host: &str, port: u16) -> Option<Vec<SocketAddr>> {
    find_in(&read()?, host, port)
}

fn read() -> Option<String> {
    let mut text = Vec::new();
    File::open(PATH).ok()?.take(SIZE_MAX as u64 + 1).read_to_end(&mut text).ok()?;
    (text.len() <= SIZE_MAX).then(|| String::from_utf8_lossy(&text).into_owned())
}

fn find_in(text: &str, host: &str, port: u16) -> Option<Vec<SocketAddr>> {
    let mut addresses = Vec::new();
    for line in text.lines() {
        let mut words = line.split('#').next()?.split_ascii_whitespace();
        let ip = words.next();
        if words.any(|name| name.eq_ignore_ascii_case(host)) {
            let address = SocketAddr::new(ip?.parse().ok()?, port);
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
    }
    addresses.sort_by_key(SocketAddr::is_ipv4); // IPv6 first, in getaddrinfo's order
    (!addresses.is_empty()).then_some(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# 10.0.0.1 commented
127.0.0.1\tlocalhost  here # not-here
::1 localhost ip6-localhost
  192.0.2.7 HERE a.example
127.0.0.1 localhost
fe80::1%lo scoped
192.0.2.8 scoped
192.0.2.9
";

    fn found(host: &str) -> Option<Vec<String>> {
        let addresses = find_in(TEXT, host, 7)?;
        Some(addresses.iter().map(SocketAddr::to_string).collect())
    }

    #[test]
    fn a_name_has_the_addresses_of_all_its_lines_ipv6_first() {
        let list = |addresses: &[&str]| Some(addresses.iter().map(|&text| text.to_owned()).collect());
        assert_eq!(found("localhost"), list(&["[::1]:7", "127.0.0.1:7"]));
        assert_eq!(found("Here"), list(&["127.0.0.1:7", "192.0.2.7:7"]));
        assert_eq!(found("a.EXAMPLE"), list(&["192.0.2.7:7"]));
    }

    #[test]
    fn what_the_file_does_not_say_is_left_to_others() {
        for host in ["example", "commented", "not-here", "127.0.0.1", "localhost.", "192.0.2.9", ""] {
            assert_eq!(found(host), None, "{host}");
        }
        assert_eq!(found("scoped"), None, "a line that cannot be read");
    }
}
