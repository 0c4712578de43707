//! What a net counts, as text for Prometheus.
//!
//! The boundary asks for it. Invariant: one list has each field of the statistics, with its name and its help. Its size does
//! not depend on how much is open.

use super::Stats;
use std::fmt::Write;

/// One family of metrics, in the words of Prometheus.
pub struct Family {
    /// The name, such as `iouringnet_callbacks_total`.
    pub name: &'static str,
    kind: &'static str,
    help: &'static str,
    /// One for each line: a family of the loops has two.
    pub samples: &'static [Sample],
}

/// One number.
pub struct Sample {
    /// The field of the statistics.
    pub field: &'static str,
    /// What stands behind the name.
    pub labels: &'static str,
    value: fn(&Stats) -> u64,
}

const SEND: &str = "{loop=\"send\"}";
const RECV: &str = "{loop=\"recv\"}";
const NET: &str = "";

/// Makes names and values from one list. Exception: `engine` is no number, and a label of `iouringnet_info`.
macro_rules! families {
    ($($kind:ident $name:literal $help:literal: $($field:ident $labels:ident),*;)*) => {
        /// The metrics of a net.
        pub const FAMILIES: &[Family] = &[$(Family {
            name: concat!("iouringnet_", $name),
            kind: stringify!($kind),
            help: $help,
            samples: &[$(Sample {
                field: stringify!($field),
                labels: $labels,
                value: |stats| stats.$field,
            }),*],
        }),*];

        // A field that the list lacks does not compile here.
        const _: fn(Stats) = |stats| {
            let Stats { $($($field: _,)*)* engine: _ } = stats;
        };
    };
}

families! {
    counter "loop_enters_total" "System calls in which a loop submits entries or waits.": send_enters SEND, recv_enters RECV;
    counter "loop_entries_total" "Entries that a loop has submitted, or requests over epoll.": send_entries SEND, recv_entries RECV;
    counter "loop_completions_total" "Completions that a loop has reaped.": send_completions SEND, recv_completions RECV;
    counter "loop_wakes_total" "Times that another thread has woken a loop up.": send_wakes SEND, recv_wakes RECV;
    counter "callbacks_total" "Callbacks that the net has run.": callbacks NET;
    gauge "connections" "Connections that are open, including closed ones that drain or linger.": connections NET;
    gauge "listeners" "Listeners that are open.": listeners NET;
    gauge "operations" "Operations that are in flight, as max_operations counts them.": operations NET;
    counter "accept_errors_total" "Errors of accepts that did not end the accept or the watch.": accept_errors NET;
    counter "drains_timed_out_total" "Closed connections that a time limit has reset.": drains_timed_out NET;
    counter "drains_shed_total" "Closed connections that ended early because descriptors or memory ran short.": drains_shed NET;
}

/// The statistics in the text format of Prometheus, version 0.0.4.
pub fn text(stats: &Stats) -> String {
    let mut text = String::with_capacity(4096);
    for family in FAMILIES {
        head(&mut text, family.name, family.kind, family.help);
        for sample in family.samples {
            // Writing to a string cannot fail, here and below.
            let _ = writeln!(text, "{}{} {}", family.name, sample.labels, (sample.value)(stats));
        }
    }
    head(&mut text, "iouringnet_info", "gauge", "The engine of the net and the version of the library.");
    let (engine, version) = (stats.engine.name(), env!("CARGO_PKG_VERSION"));
    let _ = writeln!(text, "iouringnet_info{{engine=\"{engine}\",version=\"{version}\"}} 1");
    text
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::EngineKind;

    fn stats_of(mut next: impl FnMut() -> u64) -> Stats {
        Stats {
            send_enters: next(),
            send_entries: next(),
            send_completions: next(),
            send_wakes: next(),
            recv_enters: next(),
            recv_entries: next(),
            recv_completions: next(),
            recv_wakes: next(),
            callbacks: next(),
            connections: next(),
            listeners: next(),
            operations: next(),
            accept_errors: next(),
            drains_timed_out: next(),
            drains_shed: next(),
            engine: EngineKind::Epoll,
        }
    }

    #[test]
    fn each_number_has_its_name() {
        let mut count = 100;
        let text = text(&stats_of(|| {
            count += 1;
            count
        }));
        for line in [
            "iouringnet_loop_enters_total{loop=\"send\"} 101",
            "iouringnet_loop_enters_total{loop=\"recv\"} 105",
            "iouringnet_loop_wakes_total{loop=\"recv\"} 108",
            "# TYPE iouringnet_callbacks_total counter",
            "# HELP iouringnet_callbacks_total Callbacks that the net has run.",
            "iouringnet_callbacks_total 109",
            "# TYPE iouringnet_connections gauge",
            "iouringnet_connections 110",
            "iouringnet_drains_shed_total 115",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in {text}");
        }
        let version = env!("CARGO_PKG_VERSION");
        assert!(text.ends_with(&format!("iouringnet_info{{engine=\"epoll\",version=\"{version}\"}} 1\n")));
    }

    #[test]
    fn names_are_those_that_prometheus_expects() {
        for family in FAMILIES {
            let is_counter = family.kind == "counter";
            assert_eq!(family.name.ends_with("_total"), is_counter, "{}", family.name);
            assert!(family.name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{}", family.name);
            assert!(!family.help.contains(['\\', '\n']), "{} needs an escape", family.name);
        }
    }

    #[test]
    fn the_longest_text_is_half_as_long_as_the_header_allows() {
        assert!(text(&stats_of(|| u64::MAX)).len() < 4096);
    }
}
