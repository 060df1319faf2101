//! Binding the next step allocates nothing: counted by the allocator of this test program.
#![allow(unsafe_code)] // an allocator that counts has to be one

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

use engine::{
    host::{GroupSize, WeightFormat},
    language::{LanguageModel, LanguageOptions, Phase, Symbols},
    op::{Elem, LowerOptions},
    open::ModelFile,
    passes::{PassOptions, WeightFormats},
    plan::{BoundPlan, Plan},
};
use symbolic::Bindings;
use tests::models;

const CHUNK: usize = 64;
const CONTEXT: usize = 512;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call is handed to the system's allocator as it came; counting touches a cell of the thread alone.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`; `at` came from `System`.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the contract of `realloc`; `at` came from `System`.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often `work` asks for memory.
fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

fn plan(folder: &std::path::Path, phase: Phase, format: WeightFormat, padding: bool) -> Plan {
    let file = ModelFile::open(&folder.join("model.onnx")).unwrap();
    let model = LanguageModel::recognise(file.graph).unwrap();
    let device = devices::Target::from_profile(devices::profiles().next().unwrap());
    let options = LanguageOptions {
        lower: LowerOptions { target: (&device).into(), activations: Elem::F32 },
        passes: PassOptions { formats: WeightFormats::uniform(format), fuse: true },
        context: CONTEXT,
        cache: Elem::F32,
        padding,
        all_logits: false,
    };
    model.prepare(phase, &options).unwrap().plan
}

fn bindings(seq: usize, past: usize) -> Bindings {
    let symbols = Symbols::new(CHUNK, CONTEXT);
    Bindings::new()
        .with(&symbols.seq, seq as i64)
        .with(&symbols.past, past as i64)
        .with(&symbols.capacity, CONTEXT as i64)
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(1)))), 1);
    let mut list = vec![1];
    assert!(allocations(|| list.extend(0..100)) > 0);
}

#[test]
fn the_next_step_is_bound_without_allocating() {
    let symbols = Symbols::new(CHUNK, CONTEXT);
    for folder in models("tiny_llama") {
        for format in [WeightFormat::F32, WeightFormat::M0e4 { group: GroupSize::G32 }] {
            for padding in [false, true] {
                let plan = plan(&folder, Phase::Decode, format, padding);
                let mut numbers = bindings(1, 0);
                let largest = bindings(CHUNK, CONTEXT);
                let mut bound = plan.bind_within(&numbers, &largest, 256).unwrap();
                let slots =
                    |bound: &BoundPlan| bound.calls.iter().map(|c| c.slots.clone()).collect::<Vec<_>>();
                let first = slots(&bound);
                for past in 1..200 {
                    let count = allocations(|| {
                        numbers.set(&symbols.past, past);
                        bound.advance(&plan, &numbers).unwrap();
                    });
                    assert_eq!(count, 0, "{} {format} padding {padding} past {past}", folder.display());
                }
                assert_eq!(
                    slots(&bound),
                    first,
                    "{} {format} padding {padding}: memory moved",
                    folder.display()
                );
                let anew = plan.bind_within(&numbers, &largest, 256).unwrap();
                assert_eq!(bound.params, anew.params, "{}: advanced to other parameters", folder.display());
            }
        }
    }
}

#[test]
fn evaluating_an_expression_allocates_nothing() {
    let folder = &models("tiny_llama")[0];
    for (phase, seq) in [(Phase::Prefill { chunk: CHUNK }, 17), (Phase::Decode, 1)] {
        let plan = plan(folder, phase, WeightFormat::F32, true);
        let numbers = bindings(seq, 100);
        let mut seen = 0;
        let mut symbolic = 0;
        let mut check = |e: &symbolic::Expr| {
            seen += 1;
            symbolic += usize::from(e.constant().is_none());
            assert_eq!(allocations(|| assert!(e.eval(&numbers).is_ok())), 0, "{e}");
        };
        plan.calls.iter().for_each(|call| call.for_each_expr(&mut check));
        plan.roots.iter().for_each(|root| check(&root.len));
        check(&plan.arena.size);
        assert!(seen > 100 && symbolic > 10, "{seen} expressions, {symbolic} of them with symbols");
    }
}
