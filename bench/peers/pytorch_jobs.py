# The jobs that PyTorch does where no run of the bench asks for any. In: whether they are to be tiny, whether there is a GPU. Out: jobs
# under the names that the bench gives the same work, so that its results can be laid beside them.

C, HEADS, CAPTION = 1152, 16, 300


def own_jobs(smoke, cuda):
    """The shapes of PixArt-Σ at 256, 512 and 1024 pixels, T5-XXL and SDXL's VAE, under the names that the bench gives them."""
    jobs = []

    def job(op, shape, kind, extents, flops, nbytes, **more):
        jobs.append({"op": op, "shape": shape, "dtype": "f16", "kind": kind, "extents": extents, "flops": flops,
                     "bytes": nbytes, **more})

    def linear(what, M, K, N, **more):
        job("matmul", f"{what} {M}x{K}x{N}", "matmul", {"M": M, "K": K, "N": N}, 2 * M * K * N,
            4 * M * (K + N) + 2 * K * N, **more)
    sizes = [32] if smoke else [256, 512, 1024]
    for size in sizes:
        tokens = (size // 16) ** 2
        for batch in ([1] if smoke else [1, 2]):
            what = "" if batch == 1 else " batch 2"
            for name, K, N in [("proj", C, C), ("qkv", C, 3 * C), ("mlp-up", C, 4 * C), ("mlp-down", 4 * C, C)]:
                linear(name + what, batch * tokens, K, N)
            for name, keys in [("self", tokens), ("caption", CAPTION)]:
                job("attention", f"{name}{what} {HEADS}x{tokens}x{keys}x{C // HEADS}", "attention",
                    {"batch": batch, "heads": HEADS, "headWidth": C // HEADS, "queries": tokens, "keys": keys},
                    4 * batch * tokens * keys * C, 8 * batch * C * (tokens + keys))
        job("layer_norm", f"1x{tokens}x{C}", "layer_norm", {"N": tokens, "C": C}, 8 * tokens * C, 8 * tokens * C)
        blocks = 1 if smoke else 28
        flops = 2 * blocks * (2 * tokens * C * C * 14 + 4 * tokens * tokens * C + 4 * tokens * CAPTION * C)
        job("step", f"Σ XL/2 {size} px, batch 2", "step", {"tokens": tokens, "blocks": blocks, "batch": 2}, flops,
            blocks * 32 * C * C)
        job("vae", f"SDXL decode {size} px", "vae", {"side": size // 8}, 0, 0)
    width, hidden = 4096, 10240
    for precision in (["f32"] if not cuda else ["fp16", "bf16"]):
        blocks = 1 if smoke else 24
        flops = blocks * (2 * CAPTION * width * (4 * width + 3 * hidden) + 4 * CAPTION * CAPTION * width)
        job("t5", f"XXL, {blocks} of 24 blocks, {CAPTION} tokens", "t5", {"tokens": CAPTION, "blocks": blocks}, flops,
            blocks * 2 * width * (4 * width + 3 * hidden), precision=precision)
    linear("t5-up", 300, width, hidden)
    convs = [(8, 4, 8)] if smoke else [(64, 128, 128), (128, 512, 512), (256, 256, 256), (1024, 128, 128)]
    for side, CI, CO in convs:
        job("conv2d", f"3x3 {side}x{side} {CI}->{CO}", "conv2d", {"side": side, "CI": CI, "CO": CO},
            18 * side * side * CI * CO, 4 * side * side * (CI + CO) + 18 * CI * CO)
    norms = [(8, 32)] if smoke else [(128, 128), (512, 256)]
    for side, width in norms:
        job("group_norm", f"silu {side}x{side}x{width}", "group_norm", {"side": side, "C": width, "groups": 32},
            12 * side * side * width, 12 * side * side * width)
    return jobs
