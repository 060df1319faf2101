//! The report as text.

use super::{
    Report,
    graph::{Contents, Port},
    plans::{Fusion, PlanReport, Weights},
};
use crate::{error::CliError, figures::size, output::line};

/// Operators in one line of text.
const PER_LINE: usize = 6;

pub(super) fn print(report: &Report) -> Result<(), CliError> {
    line(&report.model)?;
    contents(&report.contents)?;
    if !report.unsupported.is_empty() {
        line("\nnot supported, so there is nothing to plan:")?;
        return report.unsupported.iter().try_for_each(|text| line(text));
    }
    line("\nevery operator is supported")?;
    language(report)?;
    fusions(&report.fusions)?;
    if let Some(why) = &report.not_planned {
        line(&format!("\nno plan: {why}"))?;
    }
    if !report.plans.is_empty() {
        line(&format!("\nplans for profile {}", report.profile))?;
    }
    report.plans.iter().try_for_each(plan)?;
    report.weights.as_ref().map_or(Ok(()), |w| weights(w, report.formats.as_deref().unwrap_or_default()))
}

fn contents(contents: &Contents) -> Result<(), CliError> {
    line(&format!("  written by {}, IR version {}", contents.producer, contents.ir_version))?;
    for (what, ports) in [("inputs", &contents.inputs), ("outputs", &contents.outputs)] {
        line(&format!("\n{what}"))?;
        ports_text(ports)?;
    }
    line(&format!("\n{} nodes of {} operators", contents.nodes, contents.operators.len()))?;
    for part in contents.operators.chunks(PER_LINE) {
        let words: Vec<String> = part.iter().map(|o| format!("{} {}", o.nodes, o.name)).collect();
        line(&format!("  {}", words.join(", ")))?;
    }
    Ok(())
}

/// Runs of ports of one form, as caches are, take one line.
fn ports_text(ports: &[Port]) -> Result<(), CliError> {
    for run in ports.chunk_by(|a, b| a.form == b.form) {
        let [first, .., last] = run else {
            let [only] = run else { continue };
            line(&format!("  {}: {}", only.name, only.form))?;
            continue;
        };
        line(&format!("  {} … {} ({}): {}", first.name, last.name, run.len(), first.form))?;
    }
    Ok(())
}

fn language(report: &Report) -> Result<(), CliError> {
    let Some(found) = &report.language_model else {
        let why = report.not_a_language_model.as_deref().unwrap_or_default();
        return line(&format!("\nno language model: {why}"));
    };
    let or_none = |name: &Option<String>| name.clone().unwrap_or_else(|| "none".to_owned());
    line("\nlanguage model")?;
    line(&format!(
        "  tokens {}, mask {}, positions {}, vocabulary {}",
        found.tokens,
        or_none(&found.mask),
        or_none(&found.positions),
        found.vocabulary.map_or("unknown".to_owned(), |n| n.to_string())
    ))?;
    let each = found.cache_bytes_per_token.map_or("unknown".to_owned(), |n| format!("{n} B"));
    line(&format!("  KV cache of {} tensors, {each} per token", found.cache_tensors))
}

fn fusions(fusions: &[Fusion]) -> Result<(), CliError> {
    if !fusions.is_empty() {
        line("\nfusions")?;
    }
    for fusion in fusions {
        line(&format!("  {}: {} applied", fusion.pattern, fusion.applied))?;
        for refused in &fusion.refused {
            line(&format!(
                "    {} refused: {} (such as {})",
                refused.nodes, refused.reason, refused.example
            ))?;
        }
    }
    Ok(())
}

fn plan(plan: &PlanReport) -> Result<(), CliError> {
    let per = if plan.phase == "decode" { " per token" } else { "" };
    line(&format!("  {}: {} dispatches{per}", plan.phase, plan.dispatches))?;
    line(&format!("    arena = {}", plan.arena))?;
    plan.sizes.iter().try_for_each(|s| {
        line(&format!(
            "    at {:>10}: {:>10} B, lower bound {:>10} B, ratio {:.3}",
            s.at, s.arena_bytes, s.lower_bound_bytes, s.ratio
        ))
    })
}

fn weights(weights: &Weights, formats: &str) -> Result<(), CliError> {
    line(&format!("\nweights on the GPU: {} ({formats})", size(weights.bytes)))?;
    for each in &weights.by_format {
        line(&format!("  {}: {} weights, {}", each.format, each.weights, size(each.bytes)))?;
    }
    line("  the largest:")?;
    weights
        .largest
        .iter()
        .try_for_each(|w| line(&format!("    {} {:?} {}, {}", w.name, w.shape, w.format, size(w.bytes))))
}
