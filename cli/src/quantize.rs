//! `halfbyte quantize`: packs a language model's weights into one file that starts without quantising again.

use std::{fs, path::PathBuf, time::Instant};

use engine::{
    graph::Constant,
    language::{LanguageOptions, Phase},
    op::{Elem, LowerOptions},
    open::ModelFile,
    passes::PassOptions,
};
use serde_json::json;

use crate::{bars::Bars, error::CliError, figures::size, model, output};

/// Pack a model's weights into one file that starts at once.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The exported .onnx file, with its external data beside it
    model: PathBuf,
    /// The file to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    formats: model::FormatArgs,
    /// Print the sizes as JSON
    #[arg(long)]
    json: bool,
}

/// See the module.
pub fn run(args: &Args) -> Result<(), CliError> {
    let start = Instant::now();
    let fail = CliError::model(&args.model);
    let file = ModelFile::open(&args.model).map_err(&fail)?;
    if file.formats.is_some() {
        let text =
            format!("{} is packed already: quantize the .onnx file it was made from", args.model.display());
        return Err(CliError::Usage(text));
    }
    let same = |a: &PathBuf| fs::canonicalize(a).ok();
    if same(&args.model).is_some_and(|m| Some(m) == same(&args.output)) {
        return Err(CliError::Usage("the output is the model itself: give another name".to_owned()));
    }
    let formats = args.formats.formats();
    let model = model::recognise(&file)?;
    let profile = ::devices::Target::from_profile(software()?);
    let options = LanguageOptions {
        lower: LowerOptions { target: (&profile).into(), activations: Elem::F32 },
        passes: PassOptions { formats, fuse: true },
        context: 1,
        cache: Elem::F32,
        padding: false,
        all_logits: false,
    };
    let prepared = model.prepare(Phase::Decode, &options).map_err(&fail)?;
    let before: u64 = file
        .graph
        .values
        .iter()
        .filter_map(|v| match &v.constant {
            Some(Constant::Host(tensor)) => Some(tensor.data().len() as u64),
            _ => None,
        })
        .sum();
    let bars = Bars::default();
    let packed =
        file.pack(&prepared.graph, &prepared.plan.weights, &formats, &args.output, &|done, total| {
            bars.show("packing", done, total);
        });
    bars.clear();
    let after = packed.map_err(&fail)?;
    let seconds = start.elapsed().as_secs_f64();
    if args.json {
        return output::json(&json!({
            "output": args.output,
            "bytes_before": before,
            "bytes_after": after,
            "seconds": seconds,
        }));
    }
    output::line(&format!(
        "{}: weights {} -> file {} ({:.1} %), layers {}, embedding {}, head {}, in {seconds:.1} s",
        args.output.display(),
        size(before),
        size(after),
        after as f64 / before.max(1) as f64 * 100.0,
        formats.layers,
        formats.embedding,
        formats.head
    ))
}

/// The profile that packing is planned for; the layout of weights is the same for all.
fn software() -> Result<&'static ::devices::Profile, CliError> {
    ::devices::by_name("software").map_err(|e| CliError::other(e.to_string()))
}
