//! `halfbyte devices`: the GPUs of this machine, and what would be used of the one that is chosen.

use std::path::PathBuf;

use ::devices::IntegerDot;
use engine::{EngineError, gpu::adapters};
use serde_json::{Value, json};

use crate::{error::CliError, figures::size, model::GpuArgs, output, qualify};

/// Show the GPUs of this machine.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    gpu: GpuArgs,
    /// Run every operator's cases on the chosen one, twice, under load, and show which are wrong
    #[arg(long)]
    qualify: bool,
    /// Save the kernels of cases that are wrong, as WGSL and SPIR-V, in this folder
    #[arg(long, value_name = "DIR", requires = "qualify")]
    out: Option<PathBuf>,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

/// See the module.
pub fn run(args: &Args) -> Result<(), CliError> {
    let list = adapters();
    if list.is_empty() {
        return Err(EngineError::from(engine::gpu::GpuError::NoAdapter).into());
    }
    let gpu = args.gpu.open()?;
    if args.qualify {
        return qualify::run(&gpu, args.out.as_deref(), args.json);
    }
    let (summary, target) = (gpu.summary(), gpu.offers());
    let limits = &target.limits;
    if args.json {
        let all: Vec<Value> =
            list.iter().map(|a| adapter_json(a, a.index == summary.adapter.index)).collect();
        return output::json(&json!({
            "adapters": all,
            "opened": {
                "index": summary.adapter.index,
                "f16": f16(summary.f16),
                "low_priority": summary.low_priority,
                "notes": summary.notes,
                "max_buffer_bytes": limits.max_buffer_size,
                "max_binding_bytes": target.max_binding(),
                "max_workgroup_threads": limits.max_compute_invocations_per_workgroup,
                "workgroup_memory_bytes": limits.max_compute_workgroup_storage_size,
                "offset_alignment": gpu.offset_alignment(),
                "timestamps": target.timestamps,
                "free_memory_bytes": gpu.free_memory(),
                "max_submit_ms": gpu.max_submit().as_secs_f64() * 1e3,
                "features": gpu.features(),
            },
        }));
    }
    for adapter in &list {
        let mark = if adapter.index == summary.adapter.index { "*" } else { " " };
        output::line(&format!("{mark} {adapter}"))?;
        output::line(&format!("    profile {} because {}", adapter.profile, adapter.reason))?;
        output::line(&format!(
            "    f16: {}; subgroups: {}; cooperative matrices: {}; 8-bit dot products: {}; low priority: {}",
            f16(adapter.f16),
            subgroups(adapter.subgroups),
            coop(adapter.coop),
            integer_dot(adapter.integer_dot),
            if adapter.low_priority { "offered" } else { "none" }
        ))?;
    }
    output::line(&format!("* is chosen; opened it has f16: {}", f16(summary.f16)))?;
    output::line(&format!(
        "    queue priority: {}; submissions of {} ms at most; timestamps: {}; free memory: {}",
        if summary.low_priority { "low" } else { "the driver's default" },
        gpu.max_submit().as_millis(),
        if target.timestamps { "yes" } else { "no, single submits are timed instead" },
        gpu.free_memory().map_or("not told".to_owned(), size)
    ))?;
    output::line(&format!(
        "    largest buffer {}, binding {}; workgroups of up to {} threads and {} of memory; offsets multiples of {} B",
        size(limits.max_buffer_size),
        size(target.max_binding()),
        limits.max_compute_invocations_per_workgroup,
        size(limits.max_compute_workgroup_storage_size.into()),
        gpu.offset_alignment()
    ))?;
    summary.notes.iter().try_for_each(|note| output::line(&format!("    refused: {note}")))
}

fn adapter_json(adapter: &engine::gpu::AdapterSummary, chosen: bool) -> Value {
    json!({
        "index": adapter.index,
        "name": adapter.name,
        "backend": adapter.backend,
        "kind": adapter.kind,
        "driver": adapter.driver,
        "profile": adapter.profile,
        "profile_reason": adapter.reason,
        "f16": f16(adapter.f16),
        "cooperative_matrices": adapter.coop.map(|c| c.size),
        "integer_dot": adapter.integer_dot != IntegerDot::None,
        "subgroups": adapter.subgroups.map(|s| json!({ "min": s.min, "max": s.max })),
        "max_binding_bytes": adapter.max_binding,
        "low_priority": adapter.low_priority,
        "chosen": chosen,
    })
}

fn f16(road: ::devices::F16) -> &'static str {
    match road {
        ::devices::F16::None => "none",
        ::devices::F16::Native => "native",
        ::devices::F16::Passthrough => "spirv passthrough",
    }
}

fn coop(matrices: Option<::devices::Coop>) -> String {
    matrices.map_or_else(|| "none".to_owned(), |c| format!("{0}x{0}x{0} of f16 with sums in f32", c.size))
}

fn integer_dot(products: IntegerDot) -> &'static str {
    match products {
        IntegerDot::None => "none known",
        IntegerDot::Unsigned => "native, of unsigned ones",
        IntegerDot::Signed => "native",
    }
}

fn subgroups(sizes: Option<::devices::Subgroups>) -> String {
    match sizes {
        None => "none".to_owned(),
        Some(s) if s.min == s.max => format!("of {}", s.min),
        Some(s) => format!("of {} to {}", s.min, s.max),
    }
}
