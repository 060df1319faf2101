//! `halfbyte bench --ui`: how the frames of a screen fare while a prompt is run, with what leaves them their turns and without.

use std::time::Duration;

use bench::{FrameReport, Load, Test, Workload, frames};
use engine::generate::Generator;

use crate::{bars::Bars, cancel::Cancel, error::CliError, known::KnownArgs, model::LoadArgs, output};

/// Submissions cut, low priority asked for.
const WAYS: [(bool, bool); 4] = [(true, true), (true, false), (false, true), (false, false)];

/// Measures for so long each.
pub fn run(
    model: &KnownArgs,
    how: &LoadArgs,
    work: &Workload,
    time: Duration,
    json: bool,
    (bars, cancel): (&Bars, &Cancel),
) -> Result<(), CliError> {
    let Some(test) = work.tests().first().copied() else { return Ok(()) };
    let screen = how.screen()?;
    cancel.begin();
    let mut report = FrameReport(vec![frames(&screen, None, time)?]);
    for (done, (cut, low)) in WAYS.into_iter().enumerate() {
        bars.show("frames", done as u64, WAYS.len() as u64);
        if cancel.requested() {
            break;
        }
        let mut opened = super::open(model, &how.yielding(cut, low), test.positions(), &Bars::default())?;
        let has_low = opened.session().model().gpu().summary().low_priority;
        // A driver that has no low priority makes both the same.
        if low && !has_low {
            continue;
        }
        let load = Load { name: name(&opened, test), generator: &mut opened, test };
        report.0.push(frames(&screen, Some(load), time)?);
    }
    bars.clear();
    cancel.end();
    if json { output::json(&output::value(&report)?) } else { output::text(&report.to_string()) }
}

fn name(generator: &Generator, test: Test) -> String {
    let gpu = generator.session().model().gpu();
    let cut = match gpu.max_submit() {
        Duration::ZERO => "uncut".to_owned(),
        most => format!("in slices of {} ms", most.as_millis()),
    };
    let priority = if gpu.summary().low_priority { "low" } else { "the driver's" };
    format!("{test} {cut}, {priority} priority")
}
