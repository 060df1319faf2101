//! Reports as one page that needs nothing else: the data as JSON, and a script beside it that draws them.

use super::Report;

const PAGE: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/style.css");
/// In the order in which they stand: what charts are made of, sections, the page.
const SCRIPTS: [&str; 14] = [
    include_str!("page/format.js"),
    include_str!("page/chart.js"),
    include_str!("page/lines.js"),
    include_str!("page/bars.js"),
    include_str!("page/table.js"),
    include_str!("page/overview.js"),
    include_str!("page/throughput.js"),
    include_str!("page/heat.js"),
    include_str!("page/profile.js"),
    include_str!("page/memory.js"),
    include_str!("page/kernels.js"),
    include_str!("page/compare.js"),
    include_str!("page/together.js"),
    include_str!("page/main.js"),
];

/// A page that shows reports, beside each other where there are several. It loads nothing, and holds all of their data in the
/// element `data`, as a list of what `--json` prints.
#[must_use]
pub fn html(reports: &[Report]) -> String {
    // Only texts have a `<` in JSON; as an escape it cannot end the element.
    let data = serde_json::to_string(reports).unwrap_or_else(|_| "[]".to_owned()).replace('<', "\\u003c");
    // The data comes last, since it may have the other marks in it.
    PAGE.replacen("{{style}}", STYLE, 1)
        .replacen("{{script}}", &SCRIPTS.concat(), 1)
        .replacen("{{data}}", &data, 1)
}
