//! Windows over an image whose size is not known: one plan serves every size.

#![allow(clippy::unwrap_used)] // a test's way to fail

use std::sync::Arc;

use engine::{
    dtype::DType,
    graph::{Fact, Graph},
    host::HostTensor,
    infer::infer,
    op::{
        Elem, LowerOptions, Op, Target, composite,
        window::{Padding, Window},
    },
    ops::{
        conv::Conv,
        conv_transpose::ConvTranspose,
        pool::{Function, Pool},
    },
    plan::{BoundPlan, Plan, PlanOptions},
};
use symbolic::{Bindings, Expr, Symbol};

fn window(strides: [i64; 2], padding: Padding, ceil: bool) -> Window {
    Window { strides: strides.to_vec(), padding, ceil, ..Window::default() }
}

/// An image `[1, 2, height, 9]`, what `op` makes of it, and a plan for that.
fn planned(op: &Arc<dyn Op>, filters: Option<&[usize]>, height: &Expr) -> (Vec<Expr>, Plan) {
    let mut graph = Graph::default();
    let shape = [Expr::ONE, Expr::from(2), height.clone(), Expr::from(9)];
    let x = graph.add_value("x", Some(Fact::new(DType::F32, shape.to_vec())));
    graph.inputs.push(x);
    let filters = filters.map(|shape| {
        let values = vec![1.0; shape.iter().product()];
        graph.add_constant("filters", HostTensor::from_f32(shape.to_vec(), &values).unwrap())
    });
    let inputs = [Some(x), filters].into_iter().filter(Option::is_some).collect();
    let out = graph.add_node("out", op.clone(), inputs, None);
    graph.outputs.push(out);
    infer(&mut graph).unwrap();
    let decode = devices::Decode {
        shape: devices::DecodeShape::LanesAlongK,
        threads: 64,
        stages_norm: false,
        columns_in_bytes: 32,
    };
    let prefill = devices::Prefill { tokens: 4, outputs: 4, workgroup: [16, 4], at_once: 8 };
    let target = Target {
        f16: false,
        integer_products: false,
        integer_dot: devices::IntegerDot::None,
        coop: None,
        subgroups: false,
        octets: false,
        max_binding: 1 << 27,
        max_slots: 8,
        weights: devices::WeightMemory::Buffer,
        max_texture: 8192,
        decode,
        prefill,
        subgroup_size: 1,
        max_threads: 256,
        max_shared: 16 << 10,
        avoid_workgroups: &[],
        choices: Arc::default(),
    };
    let lower = LowerOptions { target, activations: Elem::F32 };
    let capacity = Symbol::new("capacity");
    let options = PlanOptions { lower, caches: Vec::new(), capacity, stepping: Vec::new(), kept: Vec::new() };
    let plan = Plan::new(&graph, &options).unwrap();
    (graph.fact(out).unwrap().shape.clone(), plan)
}

#[test]
fn a_plan_for_any_size_is_bound_to_the_numbers_of_one_for_that_size() {
    let none = || Padding::Explicit(Vec::new());
    let pads = || Padding::Explicit(vec![[1, 2], [0, 1]]);
    let same = |upper| Padding::Same { upper };
    let conv = |window| -> Arc<dyn Op> { Arc::new(Conv { window, groups: 1 }) };
    let pool = |window, function| -> Arc<dyn Op> { Arc::new(Pool { window, taps: vec![3, 2], function }) };
    let transposed = |padding| {
        let window = window([3, 2], padding, false);
        composite(ConvTranspose { window, groups: 1, more: Vec::new(), sizes: None })
    };
    let (many, few) = (Some(&[20, 2, 3, 2][..]), Some(&[3, 2, 3, 2][..]));
    let mean = Function::Mean { padding: true };
    let all = [
        (conv(window([1, 1], none(), false)), many),
        (conv(window([2, 3], pads(), false)), few),
        (conv(window([2, 2], same(true), false)), many),
        (conv(window([3, 2], same(false), false)), few),
        (transposed(pads()), Some(&[2, 20, 3, 2][..])),
        (transposed(same(true)), Some(&[2, 1, 4, 4])),
        (pool(window([2, 2], pads(), true), Function::Max), None),
        (pool(window([2, 2], same(false), false), mean), None),
        (pool(window([3, 1], pads(), false), Function::Sum), None),
    ];
    let height = Symbol::new("height").with_range(3, 4096);
    for (op, filters) in all {
        let (shape, plan) = planned(&op, filters, &Expr::from(&height));
        for size in [3, 4, 7, 8, 100] {
            let bindings = Bindings::new().with(&height, size);
            let (fixed, own) = planned(&op, filters, &Expr::from(size));
            let found: Vec<_> = shape.iter().map(|d| d.eval(&bindings).unwrap()).collect();
            let wanted: Vec<_> = fixed.iter().filter_map(Expr::constant).collect();
            assert_eq!(found, wanted, "{op:?} at {size}");
            // Aligned to elements, so that where the arena has a root does not show in the offsets.
            let (bound, own) = (plan.bind(&bindings, 4).unwrap(), own.bind(&Bindings::new(), 4).unwrap());
            let grids = |plan: &BoundPlan| plan.calls.iter().map(|c| c.workgroups).collect::<Vec<_>>();
            assert_eq!(grids(&bound), grids(&own), "{op:?} at {size}");
            assert_eq!(bound.params, own.params, "{op:?} at {size}");
        }
    }
}
