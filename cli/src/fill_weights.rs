//! `halfbyte fill-weights`: an exported graph whose external data is not at hand, and a GGUF file with the same
//! weights, become a model folder: graph, data, tokenizer and configuration.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::BufWriter,
    path::{Path, PathBuf},
};

use engine::open::map;
use gguf::{Element, ExternalTensor, Gguf, Source};
use onnx_import::{DataType, ExternalRange, LeaveAbsent, TensorData};
use serde::Deserialize;
use serde_json::{Value, json};
use text::Tokenizer;

use crate::{bars::Bars, error::CliError, figures::size, output};

/// Where a GGUF file has its chat template.
const TEMPLATE: &str = "tokenizer.chat_template";

/// Fill the external data of an exported graph from a GGUF file.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The exported graph
    graph: PathBuf,
    /// Which GGUF tensor each initializer is: a JSON list of initializer, gguf, transposed, unpermute_heads
    map: PathBuf,
    /// The GGUF file
    gguf: PathBuf,
    /// The folder to write model.onnx, its data, tokenizer.json, tokenizer_config.json and config.json to
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
}

/// One initializer's origin, as in the map.
#[derive(Debug, Deserialize)]
struct Origin {
    initializer: String,
    gguf: String,
    #[serde(default)]
    transposed: bool,
    /// Heads whose rows llama.cpp interleaved; 0 for none.
    #[serde(default)]
    unpermute_heads: u64,
}

/// See the module.
pub fn run(args: &Args) -> Result<(), CliError> {
    let origins: Vec<Origin> = serde_json::from_slice(&read(&args.map)?)
        .map_err(|e| CliError::other(format!("{}: {e}", args.map.display())))?;
    let graph = map(&args.graph).map_err(CliError::file(&args.graph))?;
    let (location, wanted) = external(args, graph.clone(), origins)?;
    let bytes = map(&args.gguf).map_err(CliError::file(&args.gguf))?;
    let fail = |source| CliError::Gguf { path: args.gguf.display().to_string(), source: Box::new(source) };
    let gguf = Gguf::parse(&bytes).map_err(fail)?;
    let folder = &args.output;
    fs::create_dir_all(folder).map_err(CliError::file(folder))?;
    let data = folder.join(&location);
    let mut out = BufWriter::with_capacity(1 << 20, File::create(&data).map_err(CliError::file(&data))?);
    let bars = Bars::default();
    let filled = gguf::fill(&gguf, &wanted, &mut out, &mut |done, total| bars.show("weights", done, total));
    bars.clear();
    if let Err(e) = filled {
        drop(out);
        // What filling said matters more than that what is left of it cannot be removed.
        let _ = fs::remove_file(&data);
        return Err(fail(e));
    }
    write(&folder.join("model.onnx"), &graph)?;
    write_text_side(&gguf, folder).map_err(|e| match e {
        CliError::Text(e) => CliError::other(format!("{}: {e}", args.gguf.display())),
        e => e,
    })?;
    let bytes: u64 = wanted.iter().map(|t| t.length).sum();
    output::line(&format!("{}: {} tensors, {}", data.display(), wanted.len(), size(bytes)))
}

/// The one external file of the graph, and what belongs into it.
fn external(
    args: &Args,
    graph: bytes::Bytes,
    origins: Vec<Origin>,
) -> Result<(String, Vec<ExternalTensor>), CliError> {
    let fail = |text: String| CliError::other(format!("{}: {text}", args.graph.display()));
    let model = onnx_import::import(graph, &mut LeaveAbsent).map_err(|e| fail(e.to_string()))?;
    let mut by_name: HashMap<String, Origin> = HashMap::new();
    for origin in origins {
        if let Some(first) = by_name.insert(origin.initializer.clone(), origin) {
            let text = format!("{} names {} twice", args.map.display(), first.initializer);
            return Err(CliError::other(text));
        }
    }
    let mut location: Option<String> = None;
    let mut wanted = Vec::new();
    let mut unknown = Vec::new();
    for value in &model.graph.values {
        let Some(tensor) = &value.data else { continue };
        let TensorData::Absent(range) = &tensor.data else { continue };
        let file = range.location.as_str();
        if *location.get_or_insert_with(|| file.to_owned()) != file {
            return Err(fail(format!("its data lies in several files, such as {file}; only one is filled")));
        }
        match by_name.remove(&value.name) {
            Some(origin) => wanted.push(target(origin, tensor, range).map_err(fail)?),
            None => unknown.push(value.name.clone()),
        }
    }
    if !unknown.is_empty() {
        let text = format!("{} does not say where {} come from", args.map.display(), unknown.join(", "));
        return Err(CliError::other(text));
    }
    if let Some(name) = by_name.keys().min() {
        let text = format!("{} names {name}, which has no external data in the graph", args.map.display());
        return Err(CliError::other(text));
    }
    let location = location.ok_or_else(|| fail("it has no external data to fill".to_owned()))?;
    if location.contains('/') || location == "model.onnx" {
        return Err(fail(format!("its data file {location:?} is not a plain file name")));
    }
    Ok((location, wanted))
}

fn target(
    origin: Origin,
    tensor: &onnx_import::Tensor,
    range: &ExternalRange,
) -> Result<ExternalTensor, String> {
    let element = match tensor.dtype {
        DataType::F32 => Element::F32,
        DataType::F16 => Element::F16,
        other => return Err(format!("{:?} is {other}; only f32 and f16 are filled", origin.initializer)),
    };
    Ok(ExternalTensor {
        name: origin.initializer,
        offset: range.offset,
        length: range.length,
        dims: tensor.dims.clone(),
        element,
        source: Source {
            tensor: origin.gguf,
            transposed: origin.transposed,
            heads: Some(origin.unpermute_heads).filter(|n| *n > 0),
        },
    })
}

/// tokenizer.json, and what of the configuration files the program reads.
fn write_text_side(gguf: &Gguf<'_>, folder: &Path) -> Result<(), CliError> {
    let tokenizer = Tokenizer::from_gguf(gguf)?;
    let wrong = |e| CliError::Text(text::TextError::Gguf(e));
    write(&folder.join("tokenizer.json"), tokenizer.to_json()?.as_bytes())?;
    let name = |key: &str| {
        let key = format!("tokenizer.ggml.{key}_token_id");
        let id = gguf.get(&key).map(|_| gguf.u64(&key)).transpose().map_err(wrong)?;
        Ok::<_, CliError>(id.and_then(|id| tokenizer.token(u32::try_from(id).ok()?)))
    };
    let template = gguf.get(TEMPLATE).map(|_| gguf.string(TEMPLATE)).transpose().map_err(wrong)?;
    let mut config = json!({});
    for (key, value) in [
        ("bos_token", name("bos")?),
        ("eos_token", name("eos")?),
        ("chat_template", template.map(str::to_owned)),
    ] {
        if let Some(value) = value {
            config[key] = Value::from(value);
        }
    }
    write_json(&folder.join("tokenizer_config.json"), &config)?;
    let architecture = gguf.string("general.architecture").unwrap_or("unknown");
    let mut config = json!({ "model_type": architecture });
    if let Ok(limit) = gguf.u64(&format!("{architecture}.context_length")) {
        config["max_position_embeddings"] = json!(limit);
    }
    write_json(&folder.join("config.json"), &config)
}

fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    fs::read(path).map_err(CliError::file(path))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    fs::write(path, bytes).map_err(CliError::file(path))
}

fn write_json(path: &Path, value: &Value) -> Result<(), CliError> {
    write(path, format!("{value:#}\n").as_bytes())
}
