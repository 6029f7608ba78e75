# PixArt's transformer, T5-XXL and SDXL's decoder in plain PyTorch, with random weights of the released extents: what a PyTorch program
# would run. In: extents, a device, a dtype. Out: functions that do the work once.

import torch
import torch.nn.functional as F

C, HEADS, CAPTION = 1152, 16, 300
T5_WIDTH, T5_HIDDEN, T5_HEADS = 4096, 10240, 64


def _matrix(outs, ins, device, dtype):
    return torch.randn((outs, ins), device=device, dtype=dtype) * ins**-0.5


def _heads(x, count):
    """[B, N, C] -> [B, heads, N, C / heads]"""
    return x.unflatten(-1, (count, -1)).transpose(1, 2)


def _attend(q, k, v, **more):
    return F.scaled_dot_product_attention(q, k, v, **more).transpose(1, 2).flatten(2)


class Block:
    """A transformer block: adaLN around self-attention and the feed-forward, cross-attention without a norm between them."""

    def __init__(self, weights):
        self.w = weights

    def linear(self, name, x):
        return F.linear(x, self.w[f"{name}.weight"], self.w.get(f"{name}.bias"))

    def keys_values(self, caption):
        return [_heads(self.linear(f"attn2.{name}", caption), HEADS) for name in ("to_k", "to_v")]

    def forward(self, x, modulation, keys_values):
        """modulation: six rows [B, 1, C]; keys_values: of the caption."""
        shift1, scale1, gate1, shift2, scale2, gate2 = modulation
        y = F.layer_norm(x, (C,), eps=1e-6) * (1 + scale1) + shift1
        q, k, v = (_heads(self.linear(f"attn1.{name}", y), HEADS) for name in ("to_q", "to_k", "to_v"))
        x = x + gate1 * self.linear("attn1.to_out.0", _attend(q, k, v))
        q = _heads(self.linear("attn2.to_q", x), HEADS)
        x = x + self.linear("attn2.to_out.0", _attend(q, *keys_values))
        y = F.layer_norm(x, (C,), eps=1e-6) * (1 + scale2) + shift2
        y = F.gelu(self.linear("ff.net.0.proj", y), approximate="tanh")
        return x + gate2 * self.linear("ff.net.2", y)


def block_weights(count, device, dtype):
    """Blocks with random weights."""
    extents = {f"{attention}.{name}": (C, C) for attention in ("attn1", "attn2")
               for name in ("to_q", "to_k", "to_v", "to_out.0")}
    extents |= {"ff.net.0.proj": (4 * C, C), "ff.net.2": (C, 4 * C)}
    blocks = []
    for _ in range(count):
        weights = {f"{name}.weight": _matrix(*shape, device, dtype) for name, shape in extents.items()}
        weights |= {f"{name}.bias": torch.randn(outs, device=device, dtype=dtype) for name, (outs, _) in extents.items()}
        blocks.append(Block(weights))
    return blocks


def run_step(extents, blocks, device, dtype):
    """One step with guidance: patches in, all blocks, noise out; caption and times were encoded before, once a picture."""
    tokens, batch = extents["tokens"], extents["batch"]
    side = int(tokens**0.5)
    latents = torch.randn((1, 4, 2 * side, 2 * side), device=device, dtype=dtype).expand(batch, -1, -1, -1)
    patch = torch.randn((C, 4, 2, 2), device=device, dtype=dtype) * 0.25
    positions = torch.randn((1, tokens, C), device=device, dtype=dtype)
    caption = torch.randn((batch, CAPTION, C), device=device, dtype=dtype)
    shared = torch.randn((batch, 6, C), device=device, dtype=dtype) * 0.1
    tables = [torch.randn((6, C), device=device, dtype=dtype) * 0.1 for _ in blocks]
    last, out = torch.randn((2, 1, C), device=device, dtype=dtype) * 0.1, _matrix(32, C, device, dtype)
    kept = [block.keys_values(caption) for block in blocks]

    def step():
        x = F.conv2d(latents, patch, stride=2).flatten(2).transpose(1, 2) + positions
        for block, table, keys_values in zip(blocks, tables, kept):
            x = block.forward(x, (table + shared).unsqueeze(2).unbind(1), keys_values)
        x = F.layer_norm(x, (C,), eps=1e-6) * (1 + last[1]) + last[0]
        x = F.linear(x, out).unflatten(1, (side, side)).unflatten(-1, (2, 2, 8))
        noise = x.permute(0, 5, 1, 3, 2, 4).reshape(batch, 8, 2 * side, 2 * side)[:, :4]
        return noise[0] + 4.5 * (noise[-1] - noise[0])

    return step


def t5_weights(count, device, dtype):
    """Blocks of T5-XXL with random weights."""
    width, hidden = T5_WIDTH, T5_HIDDEN
    extents = {"q": (width, width), "k": (width, width), "v": (width, width), "o": (width, width),
               "wi_0": (hidden, width), "wi_1": (hidden, width), "wo": (width, hidden)}
    return [{name: _matrix(*shape, device, dtype) for name, shape in extents.items()} for _ in range(count)]


def _rms_norm(x, weight):
    y = x.float()
    return weight * (y * torch.rsqrt(y.square().mean(-1, keepdim=True) + 1e-6)).to(x.dtype)


def run_t5(extents, blocks, device, dtype):
    """All blocks over one prompt: the relative bias and the mask added to the scores, which are not scaled."""
    tokens = extents["tokens"]
    x = torch.randn((1, tokens, T5_WIDTH), device=device, dtype=dtype)
    bias = torch.randn((1, T5_HEADS, tokens, tokens), device=device, dtype=dtype)
    bias[..., tokens * 2 // 5:] = -10000
    norm = torch.ones(T5_WIDTH, device=device, dtype=dtype)

    def encode():
        y = x
        for w in blocks:
            z = _rms_norm(y, norm)
            q, k, v = (_heads(F.linear(z, w[name]), T5_HEADS) for name in "qkv")
            y = y + F.linear(_attend(q, k, v, attn_mask=bias, scale=1.0), w["o"])
            z = _rms_norm(y, norm)
            y = y + F.linear(F.gelu(F.linear(z, w["wi_0"]), approximate="tanh") * F.linear(z, w["wi_1"]), w["wo"])
        return _rms_norm(y, norm)

    return encode


LEVELS = (512, 512, 256, 128)


def vae_weights(device, dtype):
    """SDXL's decoder with random weights: name -> (weight, bias)."""
    weights = {}

    def conv(name, ins, outs, taps=3):
        w = torch.randn((outs, ins, taps, taps), device=device, dtype=dtype) * (ins * taps * taps) ** -0.5
        weights[name] = (w.contiguous(memory_format=torch.channels_last), torch.zeros(outs, device=device, dtype=dtype))

    def norm(name, width):
        weights[name] = (torch.ones(width, device=device, dtype=dtype), torch.zeros(width, device=device, dtype=dtype))

    def resnet(name, ins, outs):
        norm(f"{name}.norm1", ins)
        conv(f"{name}.conv1", ins, outs)
        norm(f"{name}.norm2", outs)
        conv(f"{name}.conv2", outs, outs)
        if ins != outs:
            conv(f"{name}.shortcut", ins, outs, 1)

    conv("post", 4, 4, 1)
    conv("in", 4, 512)
    for name in ("mid.0", "mid.1"):
        resnet(name, 512, 512)
    norm("mid.norm", 512)
    for name in "qkvo":
        weights[f"mid.{name}"] = (_matrix(512, 512, device, dtype), torch.zeros(512, device=device, dtype=dtype))
    width = 512
    for level, outs in enumerate(LEVELS):
        for i in range(3):
            resnet(f"up.{level}.{i}", width if i == 0 else outs, outs)
        if level < 3:
            conv(f"up.{level}.grow", outs, outs)
        width = outs
    norm("norm", 128)
    conv("out", 128, 3)
    return weights


def decode(weights, latents):
    """Latents [1, 4, h, w] -> pixels [1, 3, 8h, 8w]."""
    def conv(name, x):
        w, b = weights[name]
        return F.conv2d(x, w, b, padding=w.shape[-1] // 2)

    def norm(name, x):
        return F.group_norm(x, 32, *weights[name], eps=1e-6)

    def resnet(name, x):
        y = conv(f"{name}.conv1", F.silu(norm(f"{name}.norm1", x)))
        y = conv(f"{name}.conv2", F.silu(norm(f"{name}.norm2", y)))
        return y + (conv(f"{name}.shortcut", x) if f"{name}.shortcut" in weights else x)

    x = resnet("mid.0", conv("in", conv("post", latents)))
    h, w = x.shape[2:]
    y = norm("mid.norm", x).flatten(2).transpose(1, 2)
    q, k, v = (_heads(F.linear(y, *weights[f"mid.{name}"]), 1) for name in "qkv")
    y = F.linear(_attend(q, k, v), *weights["mid.o"])
    x = resnet("mid.1", x + y.transpose(1, 2).unflatten(2, (h, w)))
    for level in range(4):
        for i in range(3):
            x = resnet(f"up.{level}.{i}", x)
        if level < 3:
            x = conv(f"up.{level}.grow", F.interpolate(x, scale_factor=2.0, mode="nearest"))
    return conv("out", F.silu(norm("norm", x)))
