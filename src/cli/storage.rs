//! What `plan` and `status` print of the place of the log.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::plan::Storage;
use crate::storage::forecast::{Bytes, Span};
use crate::time::{at, rfc3339};

/// A few lines for people.
pub fn text(storage: &Storage) -> String {
    let Storage { seen, forecast, .. } = storage;
    let mut out = String::new();
    let _ = writeln!(
        out,
        "lies on   {:8} {}: {}",
        seen.judgement.lasting.name(),
        storage.directory,
        seen.judgement.reason
    );
    let disk = seen.disk;
    let kept = match disk.eviction {
        0 => String::new(),
        bytes => format!(", and the kubelet ends pods below {}", Bytes(bytes)),
    };
    let mut line = match (forecast.worst, forecast.expected) {
        (Some(worst), Some(expected)) if worst > expected => {
            format!(
                "the log may come to {} as it is kept, {} if nothing were compressed or too old",
                Bytes(expected),
                Bytes(worst)
            )
        }
        (_, Some(expected)) => format!("the log may come to {}", Bytes(expected)),
        (_, None) => "nothing limits the log".to_owned(),
    };
    if forecast.ratio > 1.0 {
        let how =
            if forecast.is_measured { "as measured" } else { "taken for granted, as there is none to measure" };
        let _ = write!(line, " (a file is compressed to a {:.0}th, {how})", forecast.ratio);
    }
    let _ = writeln!(
        out,
        "forecast  {line}; its file system has {}, of which {} are free{kept}",
        Bytes(disk.total),
        Bytes(disk.available)
    );
    match (forecast.rate, forecast.rotation) {
        (Some((rate, since)), rotation) => {
            let _ = write!(
                out,
                "forecast  {} of events an hour since {}",
                Bytes((rate * 3600.0) as u64),
                rfc3339(at(since))
            );
            if let Some(rotation) = rotation {
                let _ = write!(out, ", a new file every {}", Span(rotation));
            }
            match forecast.kept {
                Some((seconds, end)) => {
                    let _ =
                        writeln!(out, ": the log will reach back {}, which {} limits", Span(seconds), end.name());
                }
                None => out.push_str(": nothing limits how far back the log will reach\n"),
            }
        }
        (None, _) => out.push_str(
            "forecast  how far back the log will reach can't be told before there are events of a minute\n",
        ),
    }
    out
}

/// The same for programs. Sizes are in bytes, times in seconds.
pub fn document(storage: &Storage) -> Value {
    let Storage { seen, forecast, .. } = storage;
    json!({
        "directory": storage.directory,
        "lasting": seen.judgement.lasting.name(),
        "reason": seen.judgement.reason,
        "fileSystem": {
            "bytes": seen.disk.total,
            "availableBytes": seen.disk.available,
            "evictionBytes": seen.disk.eviction,
        },
        "log": {
            "bytes": seen.history.total(),
            "files": seen.history.rotated.len() + usize::from(seen.history.bytes > 0),
            "firstEvent": seen.history.events.map(|(first, _)| rfc3339(at(first))),
            "lastEvent": seen.history.events.map(|(_, last)| rfc3339(at(last))),
        },
        "forecast": {
            "plainBytes": forecast.worst,
            "bytes": forecast.expected,
            "ratio": forecast.ratio,
            "ratioMeasured": forecast.is_measured,
            "bytesPerSecond": forecast.rate.map(|(rate, _)| rate),
            "since": forecast.rate.map(|(_, since)| rfc3339(at(since))),
            "rotationSeconds": forecast.rotation,
            "keptSeconds": forecast.kept.map(|(seconds, _)| seconds),
            "limitedBy": forecast.kept.map(|(_, end)| end.name()),
        },
    })
}
