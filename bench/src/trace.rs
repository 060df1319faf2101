//! A profile as a trace that Perfetto and Chrome show: <https://ui.perfetto.dev>, in the format of trace events.

use serde_json::{Value, json};

use crate::{PhaseTime, Profile};

/// Every phase as a track of its own, its calls one behind the other.
#[must_use]
pub fn trace(profile: &Profile, device: &str) -> Value {
    let mut events = vec![json!({"ph": "M", "name": "process_name", "pid": 1, "args": {"name": device}})];
    for (track, phase) in profile.phases.iter().enumerate() {
        let PhaseTime { kind, tokens, depth, calls, .. } = phase;
        let name = format!("{kind} of {tokens} at depth {depth}");
        events.push(json!({
            "ph": "M", "name": "thread_name", "pid": 1, "tid": track, "args": {"name": name},
        }));
        let mut at = 0.0;
        for call in calls {
            let microseconds = call.seconds * 1e6;
            events.push(json!({
                "ph": "X",
                "name": call.kernel,
                "cat": kind,
                "pid": 1,
                "tid": track,
                "ts": at,
                "dur": microseconds,
                "args": {"node": call.node},
            }));
            at += microseconds;
        }
    }
    json!({"displayTimeUnit": "ms", "traceEvents": events})
}
