// Bytes by range, from files and from servers of several manners.
import assert from "node:assert/strict";
import { ConfigError, WeightsError } from "../../src/errors.ts";
import { bytesOf, exists, folderOf, joinPath, openBytes, readBytes, readJson } from "../../src/io/byte_source.ts";
import { temporaryFolder } from "../_temporary_folder.ts";

const bytes = Uint8Array.from({ length: 1000 }, (_, i) => i % 251);

async function withServer(handler: (request: Request) => Response, use: (url: string) => Promise<void>): Promise<void> {
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, handler);
  try {
    await use(`http://127.0.0.1:${server.addr.port}/file.bin`);
  } finally {
    await server.shutdown();
  }
}

/** An answer as a server that knows ranges gives it; `cut` ends the body early. */
function ranged(request: Request, body: Uint8Array<ArrayBuffer>, tag = '"1"', cut = Infinity): Response {
  const [, start, end] = /bytes=(\d+)-(\d+)/.exec(request.headers.get("range")!)!.map(Number);
  if (start >= body.length) {
    return new Response(null, { status: 416, headers: { "content-range": `bytes */${body.length}` } });
  }
  const last = Math.min(end, body.length - 1);
  const headers = { "content-range": `bytes ${start}-${last}/${body.length}`, etag: tag };
  return new Response(body.slice(start, Math.min(last + 1, start + cut)), { status: 206, headers });
}

Deno.test("openBytes() reads ranges of a file, from a path and from a file: URL", async () => {
  using temporary = temporaryFolder();
  const folder = temporary.path;
  const path = joinPath(folder, "some file.bin");
  await Deno.writeFile(path, bytes);
  for (const address of [path, new URL(`file://${path}`), joinPath(new URL(`file://${folder}`), "some file.bin")]) {
    using source = await openBytes(address);
    assert.equal(source.size, 1000);
    assert.deepEqual(await source.read(990, 10), bytes.slice(990));
    assert.equal((await source.read(1000, 0)).length, 0);
    const memory = new Uint8Array(64);
    const read = await source.read(3, 60, memory);
    assert.deepEqual(read, bytes.slice(3, 63));
    assert.equal(read.buffer, memory.buffer);
  }
});

Deno.test("openBytes() keeps reads apart that run at the same time", async () => {
  using temporary = temporaryFolder();
  const folder = temporary.path;
  const path = joinPath(folder, "large.bin");
  const large = Uint8Array.from({ length: 40 * 2 ** 20 }, (_, i) => (i >> 16) & 255);
  await Deno.writeFile(path, large);
  using source = await openBytes(path);
  const starts = [0, 7, 2 ** 20, 3 * 2 ** 20];
  const parts = await Promise.all(starts.map((start) => source.read(start, 36 * 2 ** 20)));
  parts.forEach((part, i) =>
    assert.ok(part.every((byte, at) => at % 4099 > 0 || byte === large[starts[i] + at]), `part ${i}`)
  );
});

Deno.test("openBytes() refuses what is not there, folders, and ranges outside", async () => {
  using temporary = temporaryFolder();
  const folder = temporary.path;
  const path = joinPath(folder, "a.bin");
  await Deno.writeFile(path, bytes);
  await assert.rejects(openBytes(joinPath(folder, "b.bin")), /b\.bin.*nothing is there/);
  await assert.rejects(openBytes(joinPath(path, "c.bin")), /c\.bin.*nothing is there/);
  await assert.rejects(openBytes(folder), WeightsError);
  const source = await openBytes(path);
  for (const [offset, length] of [[-1, 2], [0, 1001], [999, 2], [0, -1], [0.5, 1], [NaN, 1], [0, Infinity]]) {
    await assert.rejects(source.read(offset, length), /it has 1000 bytes/);
    await assert.rejects(bytesOf("memory", bytes).read(offset, length), /it has 1000 bytes/);
  }
  await Deno.truncate(path, 10);
  await assert.rejects(source.read(0, 20), /ended early: 10 were there/);
  source.close();
  source.close();
  await assert.rejects(source.read(0, 1), /closed/);
});

Deno.test("openBytes() asks a server for ranges only", async () => {
  const asked: string[] = [];
  const handler = (request: Request) => {
    asked.push(request.headers.get("range")!);
    return ranged(request, bytes);
  };
  await withServer(handler, async (url) => {
    using source = await openBytes(`${url}?signature=secret`);
    assert.equal(source.size, 1000);
    assert.equal(source.name, url);
    assert.deepEqual(await source.read(100, 50, new Uint8Array(49)), bytes.slice(100, 150));
  });
  assert.deepEqual(asked, ["bytes=0-0", "bytes=100-149"]);
});

Deno.test("openBytes() reads everything from a server that ignores ranges", async () => {
  let requests = 0;
  await withServer(() => (requests++, new Response(bytes.slice())), async (url) => {
    using source = await openBytes(url);
    assert.deepEqual(await source.read(998, 2), bytes.slice(998));
    assert.deepEqual(await source.read(0, 2), bytes.slice(0, 2));
  });
  assert.equal(requests, 1);
});

Deno.test("openBytes() takes an empty file of a server that knows ranges", () =>
  withServer((request) => ranged(request, new Uint8Array(0)), async (url) => {
    assert.equal((await readBytes(url)).length, 0);
  }));

Deno.test("openBytes() goes on where a connection broke, and gives up when nothing comes", async () => {
  await withServer((request) => ranged(request, bytes, '"1"', 300), async (url) => {
    assert.deepEqual(await readBytes(url), bytes);
  });
  await withServer((request) => ranged(request, bytes, '"1"', 0), async (url) => {
    await assert.rejects(readBytes(url), /connection broke: 0 came/);
  });
});

Deno.test("openBytes() asks again after a 503, and tells a 404, a 401 and a file that changed", async () => {
  let requests = 0;
  const busy = (request: Request) => ++requests === 1 ? new Response("busy", { status: 503 }) : ranged(request, bytes);
  await withServer(busy, async (url) => assert.deepEqual(await readBytes(url), bytes));
  await withServer(() => new Response("", { status: 404 }), async (url) => {
    await assert.rejects(openBytes(url), /file\.bin.*404/);
    assert.equal(await exists(url), false);
  });
  await withServer(() => new Response("", { status: 401 }), async (url) => {
    await assert.rejects(exists(url), /401/);
  });
  let version = 0;
  await withServer((request) => ranged(request, bytes, `"${version++}"`), async (url) => {
    await assert.rejects(readBytes(url), /changed on the server/);
  });
});

Deno.test("openBytes() refuses a server that sends other bytes than asked for", async () => {
  const wrongPlace = () =>
    new Response(bytes.slice(0, 10), { status: 206, headers: { "content-range": "bytes 0-9/1000" } });
  await withServer(wrongPlace, async (url) => {
    using source = await openBytes(url);
    await assert.rejects(source.read(20, 10), /answered "bytes 0-9\/1000"/);
    await assert.rejects(source.read(0, 5), /sent more/);
  });
});

Deno.test("openBytes() ends when its signal aborts, and sends the headers it was given", async () => {
  const controller = new AbortController();
  let token: string | null = null;
  const handler = (request: Request) => {
    token = request.headers.get("authorization");
    return ranged(request, bytes);
  };
  await withServer(handler, async (url) => {
    const options = { signal: controller.signal, headers: { authorization: "Bearer x" } };
    using source = await openBytes(url, options);
    assert.equal(token, "Bearer x");
    controller.abort();
    await assert.rejects(source.read(0, 1), { name: "AbortError" });
  });
});

Deno.test("readJson() names the file that is missing or broken", async () => {
  using temporary = temporaryFolder();
  const folder = temporary.path;
  const path = joinPath(folder, "config.json");
  await assert.rejects(readJson(path), (error) => error instanceof ConfigError && error.message.includes(path));
  await Deno.writeTextFile(path, '\ufeff{ "a": [1] }');
  assert.deepEqual(await readJson(path), { a: [1] });
  await Deno.writeTextFile(path, "{ a: 1 }");
  await assert.rejects(readJson(path), (error) => error instanceof ConfigError && error.message.includes(path));
  await Deno.writeFile(path, Uint8Array.of(0xff));
  await assert.rejects(readJson(path), /config\.json.*not UTF-8/);
  assert.deepEqual(await readJson("data:application/json,[1]"), [1]);
});

Deno.test("exists() finds files, folders and URLs", async () => {
  using temporary = temporaryFolder();
  const folder = temporary.path;
  await Deno.writeFile(joinPath(folder, "a"), bytes);
  assert.equal(await exists(folder), true);
  assert.equal(await exists(joinPath(folder, "a")), true);
  assert.equal(await exists(new URL(`file://${folder}/b`)), false);
  assert.equal(await exists(joinPath(folder, "a", "b")), false);
  await withServer((request) => ranged(request, bytes), async (url) => assert.equal(await exists(url), true));
});

Deno.test("joinPath() and folderOf() know paths and URLs", () => {
  assert.equal(joinPath("models", "vae/config.json"), "models/vae/config.json");
  assert.equal(joinPath("./models//", "./a", "", "b"), "./models/a/b");
  assert.equal(joinPath("/", "a"), "/a");
  assert.equal(joinPath("/"), "/");
  assert.equal(joinPath("", "a"), "a");
  assert.equal(joinPath("C:\\models\\", "a"), "C:\\models/a");
  assert.equal(joinPath("https://a.b/m/", "x y", "c.json"), "https://a.b/m/x%20y/c.json");
  assert.equal(joinPath(new URL("https://a.b/m?token=1"), "c"), "https://a.b/m/c?token=1");
  assert.equal(joinPath("https://a.b", "what?.json"), "https://a.b/what%3F.json");
  assert.equal(folderOf("a/b/c.json"), "a/b");
  assert.equal(folderOf("c.json"), ".");
  assert.equal(folderOf("/c.json"), "/");
  assert.equal(folderOf("https://a.b/m/c.json?k=1"), "https://a.b/m/?k=1");
  assert.equal(joinPath(folderOf("https://a.b/m/c.json?k=1"), "d"), "https://a.b/m/d?k=1");
});
