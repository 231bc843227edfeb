"""Cambium's architecture for `transformers`: one or more experts over one embedding table or several.

Load with AutoModelForCausalLM.from_pretrained(FOLDER, trust_remote_code=True). Whole sequences are
computed at once, without a cache, and without padding.
"""
import torch
import torch.nn.functional as F
from torch import nn
from transformers import GenerationMixin, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput


class CambiumConfig(PretrainedConfig):
    model_type = "cambium"

    def __init__(self, experts=None, merge=None, vocab_size=1, n_embed=1, tables=None, **kwargs):
        self.experts = experts or []
        self.tables = tables or [0] * len(self.experts)  # the expert whose table each one reads
        self.merge = merge or {"rule": "mean", "weights": [1.0], "forget": 0.01}
        self.vocab_size = vocab_size
        self.n_embed = n_embed
        first = self.experts[0] if self.experts else {}
        self.hidden_size = first.get("d_model", 1)
        self.num_hidden_layers = first.get("n_layers", 0)
        self.num_attention_heads = first.get("n_heads", 1)
        kwargs["tie_word_embeddings"] = False
        super().__init__(**kwargs)


def make_norm(c):
    if c["norm"] == "rms":
        return nn.RMSNorm(c["d_model"], eps=c["norm_eps"])
    return nn.LayerNorm(c["d_model"], eps=c["norm_eps"], bias=c["norm_bias"])


def rotate(x, base):
    """Rotary positions on (B, H, T, D), half-split pairing."""
    t, d = x.shape[-2:]
    inv_freq = base ** (-torch.arange(0, d, 2, dtype=torch.float64, device=x.device) / d)
    angles = torch.arange(t, device=x.device)[:, None] * inv_freq.float()
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c
        d, q, k = c["d_model"], c["n_heads"] * c["head_dim"], c["n_kv_heads"] * c["head_dim"]
        self.attn_norm = make_norm(c)
        self.attn_q = nn.Linear(d, q, bias=c["bias_qkv"])
        self.attn_k = nn.Linear(d, k, bias=c["bias_qkv"])
        self.attn_v = nn.Linear(d, k, bias=c["bias_qkv"])
        self.attn_out = nn.Linear(q, d, bias=c["bias_out"])
        self.ffn_norm = make_norm(c)
        if c["act"] == "swiglu":
            self.ffn_gate = nn.Linear(d, c["d_ff"], bias=False)
        self.ffn_up = nn.Linear(d, c["d_ff"], bias=c["bias_ffn"])
        self.ffn_down = nn.Linear(c["d_ff"], d, bias=c["bias_ffn"])

    def attention(self, x):
        c, (batch, t, _) = self.c, x.shape
        q = self.attn_q(x).view(batch, t, c["n_heads"], -1).transpose(1, 2)
        k = self.attn_k(x).view(batch, t, c["n_kv_heads"], -1).transpose(1, 2)
        v = self.attn_v(x).view(batch, t, c["n_kv_heads"], -1).transpose(1, 2)
        q, k = rotate(q, c["rope_base"]), rotate(k, c["rope_base"])
        group = c["n_heads"] // c["n_kv_heads"]
        k, v = k.repeat_interleave(group, dim=1), v.repeat_interleave(group, dim=1)
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.attn_out(out.transpose(1, 2).reshape(batch, t, -1))

    def forward(self, x):
        x = x + self.attention(self.attn_norm(x))
        y = self.ffn_norm(x)
        up = self.ffn_up(y)
        y = F.silu(self.ffn_gate(y)) * up if self.c["act"] == "swiglu" else F.gelu(up)
        return x + self.ffn_down(y)


class Head(nn.Module):
    """The matrix is absent from tied heads, which read the table."""

    def __init__(self, c):
        super().__init__()
        tied = c["tied_head"]
        self.weight = None if tied else nn.Parameter(torch.empty(c["vocab_size"], c["d_model"]))
        self.bias = nn.Parameter(torch.empty(c["vocab_size"])) if c["bias_head"] else None


class Expert(nn.Module):
    def __init__(self, c, own_table):
        super().__init__()
        self.c = c
        if own_table:
            self.embedding = nn.Embedding(c["vocab_size"], c["n_embed"])
        self.blocks = nn.ModuleList(Block(c) for _ in range(c["n_layers"]))
        self.final_norm = make_norm(c)
        self.head = Head(c)

    def forward(self, rows, table):
        x = rows.repeat_interleave(self.c["d_model"] // rows.shape[-1], dim=-1)
        x = x * self.c["embed_scale"]
        for block in self.blocks:
            x = block(x)
        weight = table if self.head.weight is None else self.head.weight
        return F.linear(self.final_norm(x), weight, self.head.bias)


class Adapter(nn.Module):
    """Weights of the experts at each position from their largest log-probabilities."""

    def __init__(self, n_experts, top, hidden):
        super().__init__()
        self.top = top
        self.w1 = nn.Parameter(torch.empty(hidden, n_experts * top))
        self.b1 = nn.Parameter(torch.empty(hidden))
        self.w2 = nn.Parameter(torch.empty(n_experts, hidden))
        self.b2 = nn.Parameter(torch.empty(n_experts))

    def forward(self, logp):  # (E, B, T, V) -> (E, B, T)
        features = torch.cat(list(logp.topk(self.top, dim=-1).values), dim=-1)
        hidden = F.gelu(F.linear(features, self.w1, self.b1))
        return F.linear(hidden, self.w2, self.b2).softmax(-1).movedim(-1, 0)


class Pictures(nn.Module):
    """What brings the rows of a glyph table back to pictures; kept, and not computed with."""

    def __init__(self, side, kept, rows):
        super().__init__()
        self.register_buffer("mean", torch.empty(side, side))
        self.register_buffer("components", torch.empty(kept, side * side))
        self.register_buffer("lengths", torch.empty(rows))


class CambiumForCausalLM(PreTrainedModel, GenerationMixin):
    config_class = CambiumConfig

    def __init__(self, config):
        super().__init__(config)
        self.embedding = nn.Embedding(config.vocab_size, config.n_embed)
        self.experts = nn.ModuleList(
            Expert(c, i > 0 and config.tables[i] == i) for i, c in enumerate(config.experts)
        )
        if config.merge["rule"] == "adapter":
            size = config.merge["adapter"]
            self.adapter = Adapter(len(config.experts), size["top"], size["hidden"])
        pictures = (getattr(config, "cambium", None) or {}).get("pictures")
        if pictures:
            self.pictures = Pictures(pictures["side"], pictures["kept"], config.vocab_size)
        self.post_init()

    def _init_weights(self, module):
        pass

    def get_input_embeddings(self):
        return self.embedding

    def bayes_weights(self, logp, ids):
        """The weight of each expert before each position, (E, B, T)."""
        n, batch, t, _ = logp.shape
        forget = self.config.merge["forget"]
        w = torch.tensor(self.config.merge["weights"], device=logp.device).float()
        w = w[:, None].expand(n, batch)
        weights = [w]
        for i in range(t - 1):
            seen = logp[:, :, i].gather(-1, ids[None, :, i + 1, None].expand(n, -1, 1))[..., 0]
            w = (1 - forget) * (w.log() + seen).softmax(0) + forget / n
            weights.append(w)
        return torch.stack(weights, dim=-1)

    def combine(self, logits, ids):
        rule, n = self.config.merge["rule"], logits.shape[0]
        if n == 1:
            return logits[0]
        if rule in ("mean", "weighted"):
            w = self.config.merge["weights"] if rule == "weighted" else [1 / n] * n
            return sum(a * x for a, x in zip(w, logits))
        logp = logits.log_softmax(-1)
        w = self.adapter(logp) if rule == "adapter" else self.bayes_weights(logp, ids)
        return (w.log()[..., None] + logp).logsumexp(0)

    def forward(self, input_ids, attention_mask=None, labels=None, **kwargs):
        if attention_mask is not None and not bool(attention_mask.all()):
            raise ValueError("padded batches are not supported: give one length at a time")
        each = []
        for expert, owner in zip(self.experts, self.config.tables):
            table = self.experts[owner].embedding if owner else self.embedding
            each.append(expert(table(input_ids), table.weight).float())
        logits = self.combine(torch.stack(each), input_ids)
        loss = None
        if labels is not None:
            loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
        return CausalLMOutput(loss=loss, logits=logits)

    def prepare_inputs_for_generation(self, input_ids, **kwargs):
        return {"input_ids": input_ids, "use_cache": False}
