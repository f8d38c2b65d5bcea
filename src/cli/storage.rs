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
        "place     {:10} {}: {}",
        seen.judgement.lasting.name(),
        storage.directory,
        seen.judgement.reason
    );
    let mut line = match (forecast.worst, forecast.expected) {
        (worst, Some(expected)) => {
            let mut line = format!("up to {} on the disk", Bytes(expected));
            if let Some(worst) = worst.filter(|worst| *worst > expected) {
                let how = match (forecast.ratio > 1.0, forecast.is_measured) {
                    (true, true) => format!("uncompressed, measured {:.0} percent", 100.0 / forecast.ratio),
                    (true, false) => format!("uncompressed, {:.0} percent assumed", 100.0 / forecast.ratio),
                    (false, _) => "without maxage".to_owned(),
                };
                let _ = write!(line, " ({} {how})", Bytes(worst));
            }
            line
        }
        (_, None) => "nothing limits the log".to_owned(),
    };
    if let Some(disk) = seen.disk {
        let _ =
            write!(line, "; its file system has {}, {} of them free", Bytes(disk.total), Bytes(disk.available));
        if disk.eviction > 0 {
            let _ = write!(line, ", and the kubelet evicts pods when less than {} are", Bytes(disk.eviction));
        }
    }
    let _ = writeln!(out, "forecast  {line}");
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
            "forecast  how far back the log will reach can't be told before there are events of half a minute\n",
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
        "fileSystem": seen.disk.map(|disk| json!({
            "bytes": disk.total,
            "availableBytes": disk.available,
            "evictionBytes": disk.eviction,
        })),
        "readOnly": seen.is_read_only,
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
