// How an update meets the element that is there already.

fn met(there: Elem, update: Elem) -> Elem {
#if REDUCTION == none
    return update;
#elif REDUCTION == add
    return there + update;
#elif REDUCTION == mul
    return there * update;
#elif ELEM == f32 || ELEM == f16
    let most = $REDUCTION(there, update);
    return select(select(most, update, is_nan(f32(update))), there, is_nan(f32(there)));
#else
    return $REDUCTION(there, update);
#endif
}
