//! `halfbyte infer`: any ONNX model once, on tensors from files.

use std::{
    collections::{BTreeMap, HashSet},
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use engine::{
    host::{HostTensor, WeightFormat},
    infer_once::{self, OnceOptions},
    open::ModelFile,
    passes::{PassOptions, WeightFormats},
};
use serde_json::json;

use crate::{
    error::CliError,
    model::{GpuArgs, keep_pipelines},
    output, tensor_file,
};

/// Elements of an output that are shown.
const SHOWN: usize = 6;

/// Run any ONNX model once, with tensors from files.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The .onnx file
    model: PathBuf,
    /// A tensor for an input: NAME=FILE, the file a .npy or a TensorProto .pb; once for each input
    #[arg(long = "input", value_name = "NAME=FILE", value_parser = named_file)]
    inputs: Vec<(String, PathBuf)>,
    /// Write each output to a file in this folder
    #[arg(long, value_name = "DIR")]
    output_dir: Option<PathBuf>,
    /// Write TensorProto .pb files instead of .npy
    #[arg(long, requires = "output_dir")]
    pb: bool,
    /// How constant matrices are held on the GPU; a packed file says itself [default: f32]
    #[arg(long, value_name = "FORMAT")]
    format: Option<WeightFormat>,
    /// Run the graph node by node, with nothing fused
    #[arg(long)]
    no_fuse: bool,
    #[command(flatten)]
    gpu: GpuArgs,
    /// Print what came out as JSON
    #[arg(long)]
    json: bool,
}

fn named_file(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, file)) if !name.is_empty() && !file.is_empty() => Ok((name.to_owned(), file.into())),
        _ => Err("write it as NAME=FILE, such as --input x=x.npy".to_owned()),
    }
}

/// See the module.
pub fn run(args: &Args) -> Result<(), CliError> {
    let mut inputs = BTreeMap::new();
    for (name, path) in &args.inputs {
        if inputs.insert(name.clone(), tensor_file::read(path)?).is_some() {
            return Err(CliError::Usage(format!("input {name:?} is given twice")));
        }
    }
    let fail = CliError::model(&args.model);
    let file = ModelFile::open(&args.model).map_err(&fail)?;
    let formats = match (file.formats, args.format) {
        (Some(_), Some(_)) => {
            let text = format!("{} is packed: leave --format away", args.model.display());
            return Err(CliError::Usage(text));
        }
        (Some(packed), None) => packed,
        (None, format) => WeightFormats::uniform(format.unwrap_or(WeightFormat::F32)),
    };
    let gpu = args.gpu.open()?;
    let activations = args.gpu.activations(gpu.offers())?;
    let options = OnceOptions { passes: PassOptions { formats, fuse: !args.no_fuse }, activations };
    let start = Instant::now();
    let outputs = infer_once::run(&gpu, &file, &inputs, &options).map_err(&fail)?;
    let seconds = start.elapsed().as_secs_f64();
    keep_pipelines(&gpu);
    let files = match &args.output_dir {
        Some(folder) => write(folder, &outputs, args.pb)?,
        None => Vec::new(),
    };
    if args.json {
        let list = outputs.iter().enumerate().map(|(i, (name, tensor))| {
            json!({
                "name": name,
                "dtype": tensor.dtype().to_string(),
                "shape": tensor.shape(),
                "file": files.get(i),
            })
        });
        let list: Vec<_> = list.collect();
        return output::json(&json!({ "outputs": list, "seconds": seconds }));
    }
    for (index, (name, tensor)) in outputs.iter().enumerate() {
        let to = files.get(index).map_or(String::new(), |f| format!(" -> {}", f.display()));
        output::line(&format!("{name}: {} {:?}{to}", tensor.dtype(), tensor.shape()))?;
        output::line(&format!("  {}", summary(tensor)))?;
    }
    Ok(())
}

fn write(folder: &Path, outputs: &[(String, HostTensor)], pb: bool) -> Result<Vec<PathBuf>, CliError> {
    fs::create_dir_all(folder).map_err(CliError::file(folder))?;
    let mut taken = HashSet::new();
    let mut files = Vec::new();
    for (index, (name, tensor)) in outputs.iter().enumerate() {
        let plain = |c: char| if c.is_alphanumeric() || "._-".contains(c) { c } else { '_' };
        let mut stem: String = name.chars().map(plain).collect();
        while stem.starts_with('.') || stem.is_empty() || !taken.insert(stem.clone()) {
            stem = format!("output{index}_{stem}");
        }
        let path = folder.join(format!("{stem}.{}", if pb { "pb" } else { "npy" }));
        tensor_file::write(&path, name, tensor)?;
        files.push(path);
    }
    Ok(files)
}

fn summary(tensor: &HostTensor) -> String {
    let all = tensor.to_f64s();
    let first: Vec<String> = all.iter().take(SHOWN).map(|v| format!("{v}")).collect();
    let more = if all.len() > SHOWN { ", …" } else { "" };
    let least = all.iter().copied().fold(f64::INFINITY, f64::min);
    let greatest = all.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if all.is_empty() {
        return "no elements".to_owned();
    }
    format!("[{}{more}] from {least} to {greatest}", first.join(", "))
}
