//! RoiAlign: regions of images brought to one size (He et al., "Mask R-CNN", 2017).

use std::sync::Arc;

use shaders::KernelSpec;
use symbolic::Expr;

use crate::{
    error::{OpError, invalid},
    graph::Fact,
    host::HostTensor,
    op::{
        Case, Destination, Dispatch, Elem, Grid, Infer, Lowering, OnnxNode, Op, Operator, Param, Slot,
        converted,
        nd::{floats, given},
        sample, standard,
    },
};

/// Points a side of a part, at most.
const LIMIT: u32 = 256;

/// Inputs: x `[batch, channels, height, width]`, regions `[regions, 4]` as left, top, right and bottom, and the image of each.
/// Gives `[regions, channels, ..parts]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RoiAlign {
    /// Parts of a region from top to bottom and from left to right.
    pub parts: [u32; 2],
    /// Points a side of a part; 0 for one for each element that it is wide, at most 256.
    pub samples: u32,
    /// Elements of the image for a unit of a region.
    pub scale: f32,
    /// Whether a region's 0 is the edge of the image; else the centre of its first element.
    pub half_pixel: bool,
    /// Whether the greatest share of an element is taken; else the mean.
    pub max: bool,
}

impl RoiAlign {
    fn shift(self) -> f32 {
        if self.half_pixel { 0.5 } else { 0.0 }
    }

    /// The shares of the four elements around a point.
    fn shares(plane: &[f64], [height, width]: [usize; 2], [y, x]: [f64; 2]) -> [f64; 4] {
        if y < -1.0 || x < -1.0 || y > height as f64 || x > width as f64 || plane.is_empty() {
            return [0.0; 4];
        }
        let along = |at: f64, size: usize| {
            let at = at.clamp(0.0, size as f64 - 1.0);
            let low = at as usize;
            (low, (low + 1).min(size - 1), at - at.floor())
        };
        let ((top, bottom, down), (left, right, across)) = (along(y, height), along(x, width));
        [
            (1.0 - down) * (1.0 - across) * plane[top * width + left],
            (1.0 - down) * across * plane[top * width + right],
            down * (1.0 - across) * plane[bottom * width + left],
            down * across * plane[bottom * width + right],
        ]
    }

    /// One part of a region of one channel.
    fn part(self, plane: &[f64], sizes: [usize; 2], region: &[f64], part: [u32; 2]) -> f64 {
        let at = |index: usize| region[index] * f64::from(self.scale) - f64::from(self.shift());
        let (from, to) = ([at(1), at(0)], [at(3), at(2)]);
        let side = |a: usize| {
            let extent = if self.half_pixel { to[a] - from[a] } else { (to[a] - from[a]).max(1.0) };
            let size = extent / f64::from(self.parts[a]);
            let wanted = size.ceil().clamp(0.0, f64::from(LIMIT)) as u32;
            (size, if self.samples > 0 { self.samples } else { wanted })
        };
        let sides = [side(0), side(1)];
        let place = |a: usize, i: u32| {
            let (size, points) = sides[a];
            from[a] + f64::from(part[a]) * size + (f64::from(i) + 0.5) * size / f64::from(points)
        };
        let points = (0..sides[0].1).flat_map(|i| (0..sides[1].1).map(move |j| (i, j)));
        let shares = points.clone().map(|(i, j)| Self::shares(plane, sizes, [place(0, i), place(1, j)]));
        if self.max {
            return shares.flatten().reduce(f64::max).unwrap_or(0.0);
        }
        shares.flatten().sum::<f64>() / points.count().max(1) as f64
    }
}

impl Op for RoiAlign {
    fn name(&self) -> &'static str {
        "RoiAlign"
    }

    fn infer(&self, cx: &mut Infer<'_>) -> Result<Vec<Fact>, OpError> {
        let (x, rois) = (cx.input(0)?, cx.input(1)?);
        let ([_, channels, _, _], [count, _]) = (&x.shape[..], &rois.shape[..]) else {
            return Err(invalid(format!("regions {rois} of {x}")));
        };
        if x.shape[2..].iter().any(|size| size.constant() == Some(0)) {
            return Err(invalid(format!("regions of {x}")));
        }
        cx.expect(1, "regions", &[count.clone(), Expr::from(4)])?;
        cx.input(2)?;
        cx.expect(2, "images of regions", std::slice::from_ref(count))?;
        let [height, width] = self.parts.map(|n| Expr::from(i64::from(n)));
        Ok(vec![Fact::new(x.dtype, vec![count.clone(), channels.clone(), height, width])])
    }

    fn reference(&self, inputs: &[Option<&HostTensor>]) -> Result<Vec<HostTensor>, OpError> {
        let (x, rois, batch) = (given(inputs, 0)?, given(inputs, 1)?, given(inputs, 2)?.to_i64s());
        let (&[images, channels, height, width], &[count, 4]) = (x.shape(), rois.shape()) else {
            return Err(invalid(format!("regions {:?} of {:?}", rois.shape(), x.shape())));
        };
        let (all, regions) = (x.to_f64s(), rois.to_f64s());
        let mut out = Vec::new();
        for (region, image) in regions.chunks(4).zip(&batch) {
            let image = usize::try_from(*image).ok().filter(|image| *image < images);
            let image = image.ok_or_else(|| invalid("a region of an image that is not there"))?;
            for channel in 0..channels {
                let plane = &all[(image * channels + channel) * height * width..][..height * width];
                let parts = (0..self.parts[0]).flat_map(|h| (0..self.parts[1]).map(move |w| [h, w]));
                out.extend(parts.map(|part| self.part(plane, [height, width], region, part)));
            }
        }
        let [rows, columns] = self.parts.map(|n| n as usize);
        Ok(vec![floats(x.dtype(), vec![count, channels, rows, columns], &out)?])
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<(), OpError> {
        let sizes = cx.fact(0)?.shape.clone();
        let flat = |cx: &mut Lowering<'_>, index| {
            let view = cx.shaped(index)?;
            cx.contiguous(view)
        };
        let (x, rois, batch) = (flat(cx, 0)?, flat(cx, 1)?, flat(cx, 2)?);
        let batch = converted(cx, batch, Elem::I32)?;
        let out = Destination::contiguous(cx, 0)?;
        let total = out.view.len();
        let int = |n: u32| Expr::from(i64::from(n));
        let params = vec![
            ("sizes", Param::Ints(sizes)),
            ("parts", Param::Ints(self.parts.map(int).to_vec())),
            ("total", Param::Int(total.clone())),
            ("samples", Param::Int(int(self.samples))),
            ("scale", Param::Float(self.scale)),
            ("shift", Param::Float(self.shift())),
        ];
        let spec = KernelSpec::new("roi_align").with("ELEM", x.elem.wgsl()).flag("MAX", self.max);
        let spec = spec.set("LIMIT", LIMIT);
        let slots = [("x", x), ("rois", rois), ("batch", batch), ("out", out.view.clone())];
        let slots = slots.map(|(n, v)| (n, Slot::View(v))).to_vec();
        cx.dispatch(Dispatch { spec, slots, params, grid: Grid::Linear(total.ceil_div(64)) });
        out.finish(cx)
    }
}

fn decode(node: &OnnxNode<'_>) -> Result<Arc<dyn Op>, OpError> {
    let old = if node.version() < 16 { "output_half_pixel" } else { "half_pixel" };
    let half_pixel = match node.string("coordinate_transformation_mode")?.unwrap_or(old) {
        "half_pixel" => true,
        "output_half_pixel" => false,
        other => return Err(invalid(format!("coordinate_transformation_mode = {other:?} is not known"))),
    };
    let max = match node.string("mode")?.unwrap_or("avg") {
        "avg" => false,
        "max" => true,
        other => return Err(invalid(format!("mode = {other:?} is not known"))),
    };
    let number = |name: &str, default: i64, range: std::ops::RangeInclusive<u32>| {
        let given = node.int_or(name, default)?;
        let fits = u32::try_from(given).ok().filter(|n| range.contains(n));
        fits.ok_or_else(|| invalid(format!("{name} = {given}")))
    };
    let parts = [number("output_height", 1, 1..=1 << 14)?, number("output_width", 1, 1..=1 << 14)?];
    let samples = number("sampling_ratio", 0, 0..=LIMIT)?;
    Ok(Arc::new(RoiAlign { parts, samples, scale: node.float_or("spatial_scale", 1.0)?, half_pixel, max }))
}

fn cases() -> Vec<Case> {
    let case = |name: &str, op: RoiAlign| {
        let regions = [
            [0.0, 0.0, 8.0, 6.0],
            [2.5, 1.0, 7.0, 11.5],
            [-3.0, -2.0, 1.0, 1.5],
            [4.0, 4.0, 4.25, 4.25],
            [9.0, 5.0, 30.0, 20.0],
        ];
        let images = sample::of(crate::dtype::DType::I64, &[5], &[0.0, 1.0, 1.0, 0.0, 1.0]);
        let rois = sample::of(crate::dtype::DType::F32, &[5, 4], regions.as_flattened());
        let inputs = vec![Some(sample::floats(&[2, 3, 7, 9], 1)), Some(rois), Some(images)];
        Case::new(name, op, inputs)
    };
    let op = RoiAlign { parts: [3, 2], samples: 2, scale: 1.0, half_pixel: true, max: false };
    vec![
        case("the mean", op),
        case("points as many as elements", RoiAlign { samples: 0, scale: 0.5, ..op }),
        case("no half pixel", RoiAlign { half_pixel: false, samples: 3, ..op }),
        case("no half pixel, points as many as elements", RoiAlign { half_pixel: false, samples: 0, ..op }),
        case("the greatest", RoiAlign { max: true, ..op }),
    ]
}

/// The row of the operator table.
pub static OPERATOR: Operator = Operator { onnx: &[standard("RoiAlign", 10..=27)], decode, cases };
