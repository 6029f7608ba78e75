// Downloads from a hub that does what networks do: it breaks off, sends wrong bytes, refuses, says nothing.

import assert from "node:assert/strict";
import { DownloadError } from "../../src/errors.ts";
import { downloadModel, type DownloadProgress, type ResolveOptions } from "../../src/io/hub.ts";
import { assertHidden, assertSame, failStore, FAST, ID, load, partOf, startHub, WEIGHTS } from "./_hub_cache.ts";
import { temporaryFolder } from "../_temporary_folder.ts";

Deno.test("downloadModel() goes on by range where a connection broke", async () => {
  await using hub = startHub();
  using cache = temporaryFolder();
  failStore(hub, { cutAfter: 30_000 }, { times: 5 }); // more often than it would try without progress
  const { folder } = await load(hub, cache.path);
  assertSame(folder, hub);
  const ranges = hub.calls.filter(({ kind, path }) => kind === "store" && path === WEIGHTS).map(({ headers }) =>
    headers.get("range")
  );
  assert.equal(ranges.length, 6);
  assert.equal(ranges[0], null);
  const starts = ranges.slice(1).map((range) => Number(/^bytes=(\d+)-$/.exec(range!)![1]));
  assert.ok(starts.every((start, i) => start > (starts[i - 1] ?? 0)), String(starts));
});

Deno.test("downloadModel() goes on where an answer ends early or stays silent", async () => {
  for (const fault of [{ endAfter: 1000 }, { silence: 3000 }]) {
    await using hub = startHub();
    using cache = temporaryFolder();
    failStore(hub, fault);
    const { folder } = await load(hub, cache.path, { retry: { ...FAST, silenceMs: 300 } });
    assertSame(folder, hub);
    assert.equal(hub.count("store", WEIGHTS), 2);
  }
});

Deno.test("downloadModel() keeps what came when it gives up, and the next one goes on from there", async () => {
  await using hub = startHub();
  using cache = temporaryFolder();
  hub.fault = ({ kind, path, before }) => {
    if (kind === "store" && path === WEIGHTS) return before === 0 ? { cutAfter: 50_000 } : { status: 503 };
  };
  await assert.rejects(
    load(hub, cache.path),
    /transformer\/diffusion_pytorch_model.safetensors.*answers 503.*again later/,
  );
  assertHidden(cache.path, hub);
  const { size } = Deno.statSync(partOf(cache.path, hub));
  assert.ok(size > 0 && size <= 50_000, String(size));
  hub.fault = () => undefined;
  hub.calls.length = 0;
  const { folder, fetchedBytes } = await load(hub, cache.path, { files: "transformer" });
  assertSame(folder, hub, [WEIGHTS]);
  const [{ headers }] = hub.calls.filter(({ kind }) => kind === "store");
  assert.equal(headers.get("range"), `bytes=${size}-`);
  assert.ok(fetchedBytes < 200_000);
});

Deno.test("downloadModel() begins anew where the server knows no ranges", async () => {
  await using hub = startHub();
  using cache = temporaryFolder();
  hub.fault = ({ kind, before, path }) => {
    if (kind === "store" && path === WEIGHTS) return before === 0 ? { cutAfter: 50_000 } : { noRange: true };
  };
  const told: number[] = [];
  const { folder } = await load(hub, cache.path, { onProgress: ({ loaded, total }) => told.push(loaded / total) });
  assertSame(folder, hub);
  assert.equal(told.at(-1), 1);
});

Deno.test("downloadModel() deletes wrong bytes and says so", async () => {
  await using hub = startHub();
  using cache = temporaryFolder();
  failStore(hub, { wrong: true }, { times: Infinity });
  await assert.rejects(load(hub, cache.path), (error) => {
    assert.ok(error instanceof DownloadError);
    assert.match(error.message, /^Cannot download transformer.* as its sha256 must be [0-9a-f]{64}: other bytes came/);
    return true;
  });
  assertHidden(cache.path, hub);
  assert.throws(() => Deno.statSync(partOf(cache.path, hub)));
  assert.equal(hub.count("store", WEIGHTS), 1);
});

Deno.test("downloadModel() checks small files by git's hash", async () => {
  await using hub = startHub();
  using cache = temporaryFolder();
  hub.fault = ({ kind, path }) => kind === "file" && path === "vae/config.json" ? { wrong: true } : undefined;
  await assert.rejects(load(hub, cache.path), /vae\/config.json of org\/name as its git hash must be [0-9a-f]{40}:/);
  assertHidden(cache.path, hub, "vae/config.json");
});

Deno.test("downloadModel() fetches the whole again where an earlier run left damaged bytes", async () => {
  for (const length of [1000, 200_000, 200_001]) {
    await using hub = startHub();
    using cache = temporaryFolder();
    Deno.mkdirSync(`${cache.path}/models--org--name/blobs`, { recursive: true });
    Deno.writeFileSync(partOf(cache.path, hub), new Uint8Array(length));
    const { folder } = await load(hub, cache.path);
    assertSame(folder, hub);
  }
});

Deno.test("downloadModel() refuses more bytes than were announced", async () => {
  await using hub = startHub();
  using cache = temporaryFolder();
  failStore(hub, { longer: true });
  await assert.rejects(load(hub, cache.path), /must have 200000 bytes: the server sends more/);
  assertHidden(cache.path, hub);
});

Deno.test("downloadModel() tries again after 429 and 5xx, and waits as long as it is asked to", async () => {
  await using hub = startHub();
  using cache = temporaryFolder();
  hub.fault = ({ before, kind }) => {
    if (before > 0) return undefined;
    return kind === "api" ? { status: 429, headers: { "retry-after": "1" } } : { status: kind === "head" ? 502 : 500 };
  };
  const started = performance.now();
  const { folder } = await load(hub, cache.path);
  assert.ok(performance.now() - started >= 1000);
  assertSame(folder, hub);
});

Deno.test("downloadModel() gives up after as many tries as the rules say", async () => {
  await using hub = startHub();
  using cache = temporaryFolder();
  hub.fault = () => ({ status: 429, headers: { ratelimit: '"api";r=0;t=0', "retry-after": "0" } });
  await assert.rejects(
    load(hub, cache.path),
    /org\/name as the hub must send it: 127\.0\.0\.1:\d+ answers 429.*try again later/,
  );
  assert.equal(hub.calls.length, FAST.tries);
  // Nobody waits for an hour unasked.
  hub.fault = () => ({ status: 429, headers: { "retry-after": "3600" } });
  await assert.rejects(load(hub, cache.path), /asks to wait 3600 s/);
  assert.equal(hub.calls.length, FAST.tries + 1);
});

Deno.test("downloadModel() says in one sentence why the hub refuses", async () => {
  await using hub = startHub();
  using cache = temporaryFolder();
  const refusals: [ResolveOptions, string, RegExp, ("private" | "gated")?][] = [
    [
      {},
      "org/none",
      /^Cannot download org\/none as it must be there and open to you: .* answers 401; check the name, or set HF_TOKEN/,
    ],
    [{ token: hub.token }, "org/none", /answers 404; check the name, and that the token may read it/],
    [{}, ID, /answers 401; check the name, or set HF_TOKEN where it is private$/, "private"],
    [{ token: "hf_old" }, ID, /answers 401; check the name, and that the token may read it$/, "private"],
    [
      {},
      ID,
      /owners must have let you in: .* answers 401; ask for access at http.*\/org\/name, then set HF_TOKEN/,
      "gated",
    ],
    [{ token: hub.token }, ID, /answers 403; ask for access at http:\/\/127\.0\.0\.1:\d+\/org\/name$/, "gated"],
  ];
  for (const [options, id, message, access] of refusals) {
    hub.models[ID].access = access;
    const before = hub.calls.length;
    const settings = { endpoint: hub.endpoint, cacheDir: cache.path, retry: FAST, token: "", offline: false };
    await assert.rejects(downloadModel(id, { ...settings, ...options }), (error) => {
      assert.ok(error instanceof DownloadError, String(error));
      assert.match(error.message, message);
      assert.ok(!error.message.includes("\n") && !error.message.includes(hub.token));
      return true;
    });
    assert.equal(hub.calls.length, before + 1); // a refusal is not asked again
  }
});

Deno.test("downloadModel() says when a file is gone, or the store refuses, without telling signatures", async () => {
  await using hub = startHub();
  using cache = temporaryFolder();
  hub.fault = ({ kind, path }) => kind === "head" && path === WEIGHTS ? { status: 404 } : undefined;
  await assert.rejects(
    load(hub, cache.path),
    /Cannot download transformer\S+ of org\/name as it must be there: .* 404/,
  );
  failStore(hub, { status: 403 }, { times: Infinity });
  await assert.rejects(load(hub, cache.path), (error) => {
    assert.ok(error instanceof DownloadError);
    assert.match(error.message, /answers 403/);
    assert.doesNotMatch(error.message, /Signature|do-not-tell/);
    return true;
  });
});

Deno.test("downloadModel() needs a hash to check a file by, and its size", async () => {
  await using hub = startHub();
  using cache = temporaryFolder();
  hub.fault = ({ kind, path }) => {
    return kind === "head" && path === WEIGHTS
      ? { status: 200, headers: { etag: 'W/"5f-1"', "content-length": "9" } }
      : undefined;
  };
  await assert.rejects(load(hub, cache.path), /must state its sha256 or git's hash of it: its etag is "5f-1"/);
  assertHidden(cache.path, hub);
});

Deno.test("downloadModel() stops when its signal says so, keeps what came, and goes on later", async () => {
  await using hub = startHub();
  using cache = temporaryFolder();
  failStore(hub, { slow: 50 }, { times: Infinity });
  const stop = new AbortController();
  const reason = new Error("enough");
  const onProgress = ({ file }: DownloadProgress) => file === WEIGHTS && stop.abort(reason);
  await assert.rejects(load(hub, cache.path, { signal: stop.signal, onProgress }), (error) => error === reason);
  assertHidden(cache.path, hub);
  assert.ok(Deno.statSync(partOf(cache.path, hub)).size > 0);
  hub.fault = () => undefined;
  const { folder } = await load(hub, cache.path);
  assertSame(folder, hub);
});

Deno.test("downloadModel() says when the disk is full or cannot be written", async () => {
  await using hub = startHub();
  using cache = temporaryFolder();
  if (Deno.build.os === "linux") {
    Deno.mkdirSync(`${cache.path}/models--org--name/blobs`, { recursive: true });
    Deno.symlinkSync("/dev/full", partOf(cache.path, hub));
    await assert.rejects(
      load(hub, cache.path),
      /Cannot store transformer\S+ of org\/name as .* must take it: the disk is full/,
    );
  }
  Deno.writeTextFileSync(`${cache.path}/file`, "");
  await assert.rejects(load(hub, `${cache.path}/file`), (error) => {
    assert.ok(error instanceof DownloadError, String(error));
    assert.match(error.message, /a file stands where a folder must be/);
    return true;
  });
});

Deno.test("downloadModel() says when nobody answers", async () => {
  using cache = temporaryFolder();
  const { endpoint } = await (async () => {
    await using hub = startHub();
    return hub; // gone when it is used
  })();
  const settings = { endpoint, cacheDir: cache.path, retry: FAST, token: "", offline: false };
  await assert.rejects(downloadModel(ID, settings), (error) => {
    assert.ok(error instanceof DownloadError);
    assert.match(
      error.message,
      /^Cannot reach 127\.0\.0\.1:\d+ as it must answer: .*[Cc]onnect.*; check the network, or name a mirror/,
    );
    assert.ok(!error.message.includes("\n"));
    return true;
  });
});

Deno.test("downloadModel() says when something else answers in the hub's place", async () => {
  await using page = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, () => new Response("<html>Log in"));
  using cache = temporaryFolder();
  const endpoint = `http://127.0.0.1:${page.addr.port}`;
  const settings = { endpoint, cacheDir: cache.path, retry: FAST, token: "", offline: false };
  await assert.rejects(downloadModel(ID, settings), /the hub must name a commit and its files: it names none/);
});
