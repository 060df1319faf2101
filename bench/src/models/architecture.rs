//! What the graph of a decoder-only language model depends on, as plain data.

/// A decoder-only transformer with RMS norms, rotary positions and a gated feed-forward layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Architecture {
    /// Layers.
    pub layers: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Query heads.
    pub heads: usize,
    /// Heads of keys and values, of which several queries share one.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Width of the feed-forward layer.
    pub feed_forward: usize,
    /// Tokens that there are.
    pub vocabulary: usize,
    /// Most positions that the model was made for.
    pub positions: usize,
    /// What norms add to the mean square.
    pub epsilon: f32,
    /// Rotary positions.
    pub rope: Rope,
    /// Layers that look back only so far; none where `None`.
    pub sliding: Option<Sliding>,
    /// Whether queries, keys and values are one matrix.
    pub fused_heads: bool,
    /// Whether queries, keys and values have a bias.
    pub heads_bias: bool,
    /// Whether each head of queries and keys is normalised, and where that is written.
    pub heads_norm: Option<HeadsNorm>,
    /// Whether gate and what it lets through are one matrix.
    pub fused_gate: bool,
    /// The gate's function.
    pub activation: Activation,
    /// Whether the results of attention and of the feed-forward layer are normalised too, before they are added.
    pub norms_behind: bool,
    /// Whether the output head is the embedding.
    pub tied: bool,
    /// What the embedding is multiplied by.
    pub embedding_scale: Option<f32>,
    /// What scores are multiplied by; 1 / sqrt(head_dim) where `None`.
    pub attention_scale: Option<f32>,
    /// Scores become `cap * tanh(score / cap)`.
    pub attention_softcap: Option<f32>,
    /// Logits become `cap * tanh(logit / cap)`.
    pub logits_softcap: Option<f32>,
}

/// Rotary positions: pair `i` of a head turns by `theta^(-2i / width)` a position.
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    /// The base.
    pub theta: f64,
    /// How many elements of a head are turned, from the first on; 0 for all.
    pub width: usize,
    /// Whether neighbours are a pair; else those `width / 2` apart.
    pub interleaved: bool,
    /// How the frequencies were changed for longer texts.
    pub stretch: Option<Stretch>,
}

/// What Llama 3.1 and later do to their frequencies: those that turn less than `low` times in `original` positions are
/// divided by `factor`, those that turn more than `high` times stay, and there is a line between.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stretch {
    /// See above.
    pub factor: f64,
    /// See above.
    pub low: f64,
    /// See above.
    pub high: f64,
    /// See above.
    pub original: f64,
}

/// Layers whose queries see the latest positions only.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sliding {
    /// Positions that they see, their own included.
    pub window: usize,
    /// One layer of so many sees everything: the last of them.
    pub every: usize,
    /// The base of their rotary positions.
    pub theta: f64,
}

/// Where heads are normalised, which is the same to everything but the order of nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadsNorm {
    /// As `[batch, positions, heads, head_dim]`.
    BehindPositions,
    /// As `[batch, heads, positions, head_dim]`.
    BeforePositions,
}

/// The function of a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x * sigmoid(x)`.
    Silu,
    /// Gelu by tanh.
    GeluTanh,
}

impl Architecture {
    /// What many models have in common with Llama, without any size.
    pub const LLAMA: Self = Self {
        layers: 0,
        hidden: 0,
        heads: 0,
        kv_heads: 0,
        head_dim: 0,
        feed_forward: 0,
        vocabulary: 0,
        positions: 0,
        epsilon: 1e-5,
        rope: Rope { theta: 10_000.0, width: 0, interleaved: false, stretch: None },
        sliding: None,
        fused_heads: false,
        heads_bias: false,
        heads_norm: None,
        fused_gate: false,
        activation: Activation::Silu,
        norms_behind: false,
        tied: false,
        embedding_scale: None,
        attention_scale: None,
        attention_softcap: None,
        logits_softcap: None,
    };

    /// Whether a layer's queries see the latest positions only.
    #[must_use]
    pub fn slides(&self, layer: usize) -> Option<Sliding> {
        self.sliding.filter(|sliding| !(layer + 1).is_multiple_of(sliding.every.max(1)))
    }

    /// Elements of a head that are turned.
    #[must_use]
    pub fn turned(&self) -> usize {
        if self.rope.width == 0 { self.head_dim } else { self.rope.width }
    }
}

impl Rope {
    /// The angle of each pair at position 1, for `width` elements and this base.
    #[must_use]
    pub fn frequencies(&self, width: usize, theta: f64) -> Vec<f32> {
        let plain = (0..width / 2).map(|pair| theta.powf(-((2 * pair) as f64) / width as f64));
        plain.map(|f| self.stretch.map_or(f, |stretch| stretch.of(f)) as f32).collect()
    }
}

impl Stretch {
    fn of(self, frequency: f64) -> f64 {
        let turns = self.original * frequency / std::f64::consts::TAU;
        let kept = ((turns - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        frequency * (kept + (1.0 - kept) / self.factor)
    }
}
