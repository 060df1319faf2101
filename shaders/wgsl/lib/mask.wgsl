// Which keys a query sees. The key must lie in [first_key(query), last_key(query)); both ends are 0 .. keys.

struct Rule {
    keys: u32,
    past: i32,
    window: i32,
}

fn last_key(query: u32, rule: Rule) -> u32 {
#if CAUSAL
    return min(rule.keys, u32(max(i32(query) + rule.past + 1, 0)));
#else
    return rule.keys;
#endif
}

fn first_key(query: u32, rule: Rule) -> u32 {
#if WINDOW
    return u32(max(i32(query) + rule.past + 1 - rule.window, 0));
#else
    return 0u;
#endif
}
