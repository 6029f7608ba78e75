# PyTorch as a peer: fp16 and scaled_dot_product_attention on CUDA, f32 on all cores of a CPU. In: jobs as JSON, with their inputs in
# a safetensors file each, or nothing: then a list of its own, at the shapes of the models. Out: one JSON document of timings.
#
#   python3 pytorch.py --json FILE            the models' shapes on this machine's best device, and its ceilings
#   python3 pytorch.py --json FILE --smoke    the same code at tiny shapes
#   python3 pytorch.py --jobs FILE            what a run of the bench asks for; a line of JSON for each job on stdout

import argparse
import json
import sys
import time

import torch
import torch.nn.functional as F

from pytorch_jobs import own_jobs
from pytorch_networks import Block, block_weights, decode, run_step, run_t5, t5_weights, vae_weights

CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")
DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "f32": torch.float32}


def matmul(x, w):
    w = w.t().contiguous()  # [out, in], as models keep it
    return lambda: F.linear(x, w)


def attention(q, k, v):
    # [B, tokens, heads, width]; transposed as a model does it, without a copy.
    q, k, v = (t if t.dim() == 4 else t[None] for t in (q, k, v))
    q, k, v = (t.transpose(1, 2) for t in (q, k, v))
    return lambda: F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


def conv2d(x, w, bias):
    x = x.permute(0, 3, 1, 2)  # its memory stays channels last
    w = w.permute(3, 2, 0, 1).contiguous(memory_format=torch.channels_last)
    return lambda: F.conv2d(x, w, bias, padding=1).permute(0, 2, 3, 1)


def layer_norm(x, shift, scale):
    return lambda: F.layer_norm(x, x.shape[-1:], eps=1e-6) * scale + shift


def group_norm(x, weight, bias):
    x = x.permute(0, 3, 1, 2).contiguous()
    return lambda: F.silu(F.group_norm(x, 32, weight, bias, eps=1e-6)).permute(0, 2, 3, 1)


def block(x, caption, modulation, **weights):
    own = Block({name: w.t().contiguous() if w.dim() == 2 else w for name, w in weights.items()})
    rows = [row[None, None] for row in modulation]
    x, caption = x[None], caption[None]
    return lambda: own.forward(x, rows, own.keys_values(caption))


OPS = {f.__name__: f for f in (matmul, attention, conv2d, layer_norm, group_norm, block)}


def random_inputs(kind, e, dtype):
    """Inputs of an op where none are given, by its extents."""
    def r(*shape):
        return torch.randn(shape, device=DEVICE, dtype=dtype)
    if kind == "matmul":
        return {"x": r(e["M"], e["K"]), "w": r(e["K"], e["N"]) * e["K"] ** -0.5}
    if kind == "attention":
        batch = e.get("batch", 1)
        q = r(batch, e["queries"], e["heads"], e["headWidth"])
        k, v = (r(batch, e["keys"], e["heads"], e["headWidth"]) for _ in range(2))
        return {"q": q, "k": k, "v": v}
    if kind == "conv2d":
        w = r(3, 3, e["CI"], e["CO"]) * (9 * e["CI"]) ** -0.5
        return {"x": r(1, e["side"], e["side"], e["CI"]), "w": w, "bias": r(e["CO"])}
    if kind == "layer_norm":
        return {"x": r(e["N"], e["C"]), "shift": r(e["C"]), "scale": r(e["C"])}
    if kind == "group_norm":
        return {"x": r(1, e["side"], e["side"], e["C"]), "weight": r(e["C"]), "bias": r(e["C"])}
    raise ValueError(f"Cannot make inputs of {kind} as it must be an op: it is none")


def network(kind, e, dtype):
    """A whole network with random weights; its work is what the bench's own network does a step, once keys and values are made."""
    if kind == "step":
        return run_step(e, block_weights(e.get("blocks", 28), DEVICE, dtype), DEVICE, dtype)
    if kind == "t5":
        return run_t5(e, t5_weights(e["blocks"], DEVICE, dtype), DEVICE, dtype)
    weights = vae_weights(DEVICE, dtype)
    latents = torch.randn((1, 4, e["side"], e["side"]), device=DEVICE, dtype=dtype)
    latents = latents.contiguous(memory_format=torch.channels_last)
    return lambda: decode(weights, latents)


def once(work, repetitions):
    """Milliseconds of one repetition: by events of the GPU, else by the clock on the wall."""
    if not CUDA:
        start = time.perf_counter()
        for _ in range(repetitions):
            work()
        return (time.perf_counter() - start) * 1000 / repetitions
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(repetitions):
        work()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / repetitions


def measure(work, seconds):
    """Minimum and median over rounds of many repetitions, after the work has run warm."""
    deadline = time.perf_counter() + seconds
    for _ in range(2 if CUDA else 1):
        work()
    single = once(work, 1)
    repetitions = max(1, min(256, int((30 if CUDA else 100) / max(single, 1e-3))))
    times = []
    while len(times) < 20 and (len(times) < 2 or time.perf_counter() < deadline):
        times.append(once(work, repetitions))
    times.sort()
    middle = len(times) // 2
    median = times[middle] if len(times) % 2 else (times[middle - 1] + times[middle]) / 2
    return {
        "minMs": times[0],
        "medianMs": median,
        "spread": median / times[0] - 1,
        "rounds": len(times),
        "repetitions": repetitions,
        "clock": "gpu" if CUDA else "wall",
    }


def graphed(work):
    """The same work as one CUDA graph, which spares the host its launches."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        work()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph.replay


def given_inputs(path, dtype):
    from safetensors.torch import load_file
    return {name: t.to(DEVICE, dtype) for name, t in load_file(path).items()}


def prepare(job, dtype):
    """A job as a function that does it once."""
    kind, extents = job["kind"], job["extents"]
    if kind not in OPS:
        return network(kind, extents, dtype)
    inputs = given_inputs(job["inputs"], dtype) if job.get("inputs") else random_inputs(kind, extents, dtype)
    return OPS[kind](**inputs)


def run_job(job, precision, seconds):
    """One job: its timing, the elements that it asks for, and the work itself."""
    work = prepare(job, DTYPES[precision])
    result = work().float().flatten()
    if not torch.isfinite(result).all() and job["kind"] != "t5":  # T5-XXL is known to overflow halves
        raise ArithmeticError("the result holds numbers that are not finite")
    values = result[torch.tensor(job["places"], device=DEVICE)].tolist() if job.get("places") else None
    del result
    return measure(work, seconds), values, work


def serve(jobs):
    """Answers the jobs of a run of the bench, in their order."""
    for job in jobs:
        precision = "fp16" if CUDA else "f32"
        line = {"name": f"PyTorch {precision}"}
        try:
            line["timing"], values, _ = run_job(job, precision, job["budgetMs"] / 1000)
            if values is not None and job.get("inputs"):
                line["values"] = values
        except Exception as error:  # noqa: BLE001 - told in the line; the other jobs go on
            line["note"] = f"{type(error).__name__}: {error}".split("\n")[0]
        print(json.dumps(line), flush=True)


def own_rows(job, seconds):
    """One job of our own as rows of a report: eager, and for networks on CUDA as a graph, too."""
    precision = job.get("precision", "fp16" if CUDA else "f32")
    row = {key: job[key] for key in ("op", "shape", "dtype", "flops", "bytes")}
    row.update(name=f"PyTorch {precision}", kind="peer", ok=False)
    try:
        row["timing"], _, work = run_job(job, precision, seconds)
        row["ok"] = True
        yield row
        if CUDA and job["kind"] not in OPS:
            row = {**row, "name": f"{row['name']} graph"}
            row["timing"] = measure(graphed(work), seconds)
            yield row
    except Exception as error:  # noqa: BLE001 - told in the row; the other jobs go on
        row.update(ok=False, note=f"{type(error).__name__}: {error}".split("\n")[0])
        row.pop("timing", None)
        yield row
    finally:
        if CUDA:
            torch.cuda.empty_cache()


def ceilings(smoke, seconds):
    """Operations and bytes a second: products of square matrices in each precision, and a copy."""
    side = 128 if smoke else 8192 if CUDA else 2048
    found = {}
    for precision in (["bf16", "fp16", "tf32", "f32"] if CUDA else ["f32"]):
        torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        dtype = DTYPES.get(precision, torch.float32)
        a, b = (torch.randn((side, side), device=DEVICE, dtype=dtype) for _ in range(2))
        best = measure(lambda: a @ b, seconds if precision != "f32" else seconds / 2)
        found[precision] = 2 * side**3 / best["minMs"] * 1000
    torch.backends.cuda.matmul.allow_tf32 = False
    source = torch.randn((1 << (12 if smoke else 28 if CUDA else 24)), device=DEVICE)
    target = torch.empty_like(source)
    found["copy"] = 8 * source.numel() / measure(lambda: target.copy_(source), seconds)["minMs"] * 1000
    return {"side": side, **found}


def report(options):
    """The document of a run without jobs, written again after each of its own: a run that is cut off leaves what it has."""
    started = time.perf_counter()
    document = {
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name() if CUDA else f"CPU, {torch.get_num_threads()} threads",
        "ceilings": ceilings(options.smoke, options.seconds),
        "rows": [],
    }
    for job in sorted(own_jobs(options.smoke, CUDA), key=lambda job: job["kind"] in OPS):  # networks first
        for row in own_rows(job, options.seconds):
            document["rows"].append(row)
            told = f"{row['timing']['minMs']:.3f} ms" if row["ok"] else f"NOT OK: {row['note']}"
            print(row["op"], row["shape"], row["name"], told, file=sys.stderr, flush=True)
        document["seconds"] = time.perf_counter() - started
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(document, file, ensure_ascii=False, indent=1)


def main():
    parser = argparse.ArgumentParser(description="Times PyTorch at the bench's shapes.")
    parser.add_argument("--json", help="where the document is written")
    parser.add_argument("--jobs", help="jobs of a run of the bench, as JSON")
    parser.add_argument("--smoke", action="store_true", help="tiny shapes: whether it runs at all")
    parser.add_argument("--seconds", type=float, default=0.3, help="for each thing that is measured")
    options = parser.parse_args()
    if bool(options.json) == bool(options.jobs):
        parser.error("one of --json and --jobs must be given")
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True
    with torch.inference_mode():
        if options.jobs:
            serve(json.load(open(options.jobs, encoding="utf-8")))
        else:
            report(options)


if __name__ == "__main__":
    main()
