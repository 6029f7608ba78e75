// Files of torch.save: those that torch wrote, and those that attack.
import assert from "node:assert/strict";
import { WeightsError } from "../../src/errors.ts";
import { bytesOf, openBytes, readBytes } from "../../src/io/byte_source.ts";
import { openSafetensors } from "../../src/io/safetensors.ts";
import { openTorchFile } from "../../src/io/torch_file.ts";
import { readFloats } from "../../src/io/weights.ts";
import { writeZip } from "../../src/io/zip_writer.ts";
import { ascii, assertSame, concat, countedBytes, golden, oneTensor, pickle, torchZip } from "./_weights_files.ts";

const open = (file: Uint8Array<ArrayBuffer>, options = {}) => openTorchFile(bytesOf("lie.pth", file), options);

Deno.test("openTorchFile() takes state_dict out of what a trainer saved, and lists the rest", async () => {
  using weights = await openTorchFile(golden("torch/nested.pth"));
  using expected = await openSafetensors(golden("torch/nested.safetensors"));
  assert.deepEqual(
    weights.names(),
    ["bias", "weight"].map((part) => `blocks.0.attn.qkv.${part}`).concat("blocks.0.attn.table"),
  );
  await assertSame(weights, expected);
  assert.equal(weights.metadata.epoch, "3");
  assert.equal(weights.metadata.args, "argparse.Namespace");
  assert.equal(weights.metadata.optimizer, "a dict of 2");
  assert.equal(weights.metadata.note, "ünï");
});

Deno.test("openTorchFile() takes the averaged weights when asked for them, and says when there are none", async () => {
  using weights = await openTorchFile(golden("torch/nested.pth"), { ema: true });
  using expected = await openSafetensors(golden("torch/nested.safetensors"));
  assert.equal(weights.names().length, 3);
  await assertSame(weights, expected, "ema.");
  await assert.rejects(openTorchFile(golden("torch/bare.pth"), { ema: true }), /no averaged weights/);
});

for (const protocol of [2, 3, 4, 5]) {
  Deno.test(`openTorchFile() reads every dtype in protocol ${protocol}`, async () => {
    using weights = await openTorchFile(golden(`torch/protocol${protocol}.pth`));
    using expected = await openSafetensors(golden("torch/dtypes.safetensors"));
    assert.deepEqual(weights.names(), expected.names());
    for (const name of weights.names()) {
      assert.deepEqual(weights.info(name), expected.info(name));
      assert.deepEqual((await weights.read(name)).slice(), (await expected.read(name)).slice(), name);
    }
    assert.equal(weights.metadata.float8, "a tensor of torch.float8_e4m3fn");
    assert.equal(weights.metadata.complex, "a tensor in torch.ComplexFloatStorage");
    assert.equal(weights.metadata.big, String(2n ** 80n));
  });
}

for (const file of ["strides", "strides_legacy", "strides_legacy4"]) {
  Deno.test(`openTorchFile() reads transposed, cut, shared and expanded tensors of ${file}.pth, and any part of them`, async () => {
    using weights = await openTorchFile(golden(`torch/${file}.pth`));
    using expected = await openSafetensors(golden("torch/strides.safetensors"));
    assert.deepEqual(weights.names(), expected.names());
    for (const name of weights.names()) {
      assert.deepEqual(weights.info(name), expected.info(name));
      const whole = (await expected.read(name)).slice();
      assert.deepEqual((await weights.read(name)).slice(), whole, name);
      for (let start = 0; start < whole.length; start += 5) {
        for (let end = start; end <= whole.length; end += 7) {
          assert.deepEqual((await weights.read(name, start, end)).slice(), whole.slice(start, end), name);
        }
      }
    }
  });
}

Deno.test("openTorchFile() names the items of lists and a tensor alone", async () => {
  using list = await openTorchFile(golden("torch/list.pth"));
  assert.deepEqual(list.names(), ["0", "1.0", "1.1.a"]);
  using bare = await openTorchFile(golden("torch/bare.pth"));
  assert.deepEqual([...await readFloats(bare, "tensor")], [0, 1, 2]);
});

Deno.test("openTorchFile() reads only the bytes that a range asks for", async () => {
  const file = oneTensor(new Float32Array(100_000).map((_, i) => i));
  const { source, lengths } = countedBytes(file);
  using weights = await openTorchFile(source);
  lengths.length = 0;
  const part = await weights.read("w", 400, 408);
  assert.deepEqual([...new Float32Array(part.slice().buffer)], [100, 101]);
  assert.ok(lengths.every((length) => length < 100), String(lengths));
  for (const [start, end] of [[-1, 4], [0, 400_001], [8, 4], [0.5, 4.5]]) {
    await assert.rejects(weights.read("w", start, end), WeightsError);
  }
  assert.throws(() => weights.info("x"), /Cannot find tensor "x"/);
});

Deno.test("openTorchFile() turns the bytes of big-endian files, in both formats", async () => {
  const numbers = Uint8Array.of(0x3f, 0x80, 0, 0, 0xc0, 0, 0, 0);
  const body = pickle.dict(pickle.text("w"), pickle.tensor(pickle.storage("FloatStorage", "0", 2), 0, [2], [1]));
  using zip = await open(torchZip(body, { 0: numbers }, { byteorder: "big" }));
  assert.deepEqual([...await readFloats(zip, "w")], [1, -2]);
  assert.deepEqual([...await zip.read("w", 3, 6)], [0x3f, 0, 0]);
  const magic = "\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.";
  const machine = concat(pickle.start, pickle.dict(pickle.text("little_endian"), "\x89"), pickle.stop);
  const legacyBody = pickle.dict(
    pickle.text("w"),
    pickle.tensor(
      concat(
        pickle.tuple(
          pickle.text("storage"),
          pickle.global("torch", "FloatStorage"),
          pickle.text("9"),
          pickle.text("cpu"),
          pickle.int(2),
          "N",
        ),
        "Q",
      ),
      0,
      [2],
      [1],
    ),
  );
  const keys = concat(pickle.start, "](", pickle.text("9"), "e", pickle.stop);
  const head = concat(magic, "\x80\x02M\xe9\x03.", machine, pickle.start, legacyBody, pickle.stop, keys);
  using legacy = await open(concat(head, [0, 0, 0, 0, 0, 0, 0, 2], numbers));
  assert.deepEqual([...await readFloats(legacy, "w")], [1, -2]);
  using lying = await open(concat(head, [0, 0, 0, 0, 0, 0, 0, 3], numbers));
  await assert.rejects(lying.read("w"), /states 3 elements/);
});

Deno.test("openTorchFile() takes Python 2's dicts of pairs, its strings, and attributes of a dict", async () => {
  const pair = concat("](", "U\x01w", pickle.tensor(pickle.storage("FloatStorage", "0", 1), 0, [1], [1]), "e");
  const body = concat(
    pickle.global("collections", "OrderedDict"),
    pickle.tuple(concat("](", pair, "e")),
    "R",
    pickle.dict(pickle.text("_metadata"), "}"),
    "b",
  );
  using weights = await open(torchZip(body, { 0: Uint8Array.of(0, 0, 0x80, 0x3f) }));
  assert.deepEqual([...await readFloats(weights, "w")], [1]);
});

const w = (value: string | Uint8Array) => torchZip(pickle.dict(pickle.text("w"), value));
const call = (module: string, name: string, args: string | Uint8Array = pickle.tuple(pickle.text("id"))) =>
  w(concat(pickle.global(module, name), args, "R"));
const { global } = pickle;

const ATTACKS: Record<string, [file: Uint8Array<ArrayBuffer>, says: RegExp]> = {
  "os.system": [call("os", "system"), /names os\.system/],
  "posix.system": [call("posix", "system"), /names posix\.system/],
  "builtins.eval": [call("builtins", "eval"), /names builtins\.eval/],
  "Python 2's __builtin__.eval": [call("__builtin__", "eval"), /names builtins\.eval/],
  "builtins.exec, named and never called": [w(global("builtins", "exec")), /names builtins\.exec/],
  "builtins.getattr": [call("builtins", "getattr"), /names builtins\.getattr/],
  "builtins.__import__": [call("builtins", "__import__"), /names builtins\.__import__/],
  "subprocess.Popen": [call("subprocess", "Popen"), /names subprocess\.Popen/],
  "a class of ctypes": [w(global("ctypes", "CDLL")), /names ctypes\.CDLL/],
  "os behind a dotted name": [call("torch.serialization", "os.system"), /names torch\.serialization\.os\.system/],
  "a function of torch": [call("torch", "load"), /names torch\.load/],
  "torch.hub": [call("torch.hub", "load"), /names torch\.hub\.load/],
  "a function of NumPy": [call("numpy.testing._private.utils", "runstring"), /runstring/],
  "a function of a stranger": [call("helpful", "run"), /names helpful\.run/],
  "runpy": [call("runpy", "_run_code"), /names runpy\._run_code/],
  "STACK_GLOBAL": [w(concat(pickle.text("os"), pickle.text("system"), "\x93", ")R")), /names os\.system/],
  "INST": [w("(ios\nsystem\n"), /opcode INST/],
  "OBJ": [w(concat("(", global("argparse", "Namespace"), "o")), /opcode OBJ/],
  "an extension code": [w("\x82\x01"), /opcode EXT1/],
  "a name with control signs": [w("cos\x1b[2J\nsystem\n"), /names os\?\[2J\.system/],
  "an attack beside the weights": [
    torchZip(
      pickle.dict(
        pickle.text("state_dict"),
        pickle.dict(pickle.text("w"), pickle.tensor(pickle.storage("FloatStorage", "0", 1), 0, [1], [1])),
        pickle.text("optimizer"),
        concat(global("os", "system"), pickle.tuple(pickle.text("id")), "R"),
      ),
      { 0: new Uint8Array(4) },
    ),
    /names os\.system/,
  ],
};

for (const [attack, [file, says]] of Object.entries(ATTACKS)) {
  Deno.test(`openTorchFile() refuses ${attack}`, async () => {
    await assert.rejects(open(file), (error) => {
      assert.ok(error instanceof WeightsError, String(error));
      assert.match(error.message, /^Cannot read lie\.pth as a torch file: its pickle, at byte \d+: /);
      assert.match(error.message, says);
      assert.ok(error.message.length < 700);
      return true;
    });
  });
}

const four = new Float32Array([1, 2, 3, 4]);
const storage = pickle.storage("FloatStorage", "0", 4);

/** A dict in a dict, forty times, with a tensor in the middle. */
function nested(levels: number): Uint8Array<ArrayBuffer> {
  let value = pickle.tensor(storage, 0, [4], [1]);
  for (let i = 0; i < levels; i++) value = pickle.dict(pickle.text("k"), value);
  return torchZip(value, { 0: new Uint8Array(16) });
}

/** Dicts that hold the one before twice: 2^levels ways to the innermost. */
function doubling(levels: number): Uint8Array<ArrayBuffer> {
  const parts = [concat("}q\x00")];
  for (let i = 0; i < levels; i++) {
    const before = concat("h", [i]);
    parts.push(concat(pickle.dict(pickle.text("a"), before, pickle.text("b"), before), "q", [i + 1]));
  }
  return torchZip(concat(...parts, "0".repeat(levels), "h", [levels], "\x86"));
}

/** A dict of a thousand items, copied ten thousand times. */
function copies(): Uint8Array<ArrayBuffer> {
  const items = Array.from({ length: 1000 }, (_, i) => concat(pickle.int(i), "N"));
  const copy = `${pickle.global("collections", "OrderedDict")}h\x00\x85R`;
  return concat(pickle.dict(...items), "q\x00", copy.repeat(10_000));
}

const LIES: Record<string, [file: Uint8Array<ArrayBuffer>, says: RegExp]> = {
  "nothing": [new Uint8Array(0), /0 bytes/],
  "text": [ascii("hello world"), /neither a zip archive nor a pickle/],
  "a pickle that torch did not write": [concat("\x80\x02}."), /magic number is missing/],
  "an archive without a pickle": [writeZip([["a/data.pk", new Uint8Array(1)]]), /has 0 members NAME\/data\.pkl/],
  "a pickle that stops early": [torchZip("(("), /its pickle|ends early/],
  "a pickle that leaves values": [torchZip("NN"), /leaves 1 values/],
  "an empty stack": [torchZip("0"), /takes a value where there is none/],
  "a mark that is not there": [torchZip("t"), /mark that is not there/],
  "a value below a mark": [torchZip("N(\x85"), /takes a value where there is none/],
  "protocol 0": [torchZip("I1\n"), /opcode 0x49/],
  "protocol 9": [torchZip("\x80\x09N"), /protocol is 9/],
  "a memo that is not there": [torchZip("h\x05"), /recalls value 5/],
  "a string of 4 GB": [torchZip("X\xff\xff\xff\xff"), /ends early/],
  "a string of 2^64 bytes": [torchZip("\x8d\xff\xff\xff\xff\xff\xff\xff\xff"), /ends early/],
  "an integer of 2^31 bytes": [torchZip("\x8b\xff\xff\xff\x7f"), /an integer has/],
  "half a million lists": [torchZip("]".repeat(500_000)), /more than 400000 objects/],
  "half a million names": [torchZip(global("argparse", "Namespace").repeat(500_000)), /more than 400000 objects/],
  "calls that copy without end": [torchZip(copies()), /copy more than 2000000 items/],
  "five million steps": [torchZip("N0".repeat(2_500_000)), /more than 4000000 steps/],
  "a key without a value": [torchZip("}(Nu"), /key without a value/],
  "items of a number": [torchZip("K\x01(NNu"), /not a dict/],
  "items added to a tuple": [torchZip(")(Ne"), /not a list/],
  "a call of a number": [torchZip("K\x01)R"), /calls something that is not a name/],
  "a call without a tuple": [torchZip(`${global("collections", "OrderedDict")}NR`), /no tuple of arguments/],
  "attributes of a list": [torchZip("]}b"), /sets attributes/],
  "a dict that holds itself": [torchZip(concat("}q\x00", pickle.text("k"), "h\x00s")), /nest deeper/],
  "deep nesting": [nested(40), /nest deeper than 32/],
  "dicts that double": [doubling(30), /more than 400000 values/],
  "a number": [torchZip("K\x01"), /holds 1, not a dict/],
  "no tensors": [torchZip("}"), /holds no tensors/],
  "a class": [torchZip(`${global("argparse", "Namespace")})R`), /holds argparse\.Namespace/],
  "a tensor without storage": [w(pickle.tensor(concat("N"), 0, [1], [1])), /no storage/],
  "a storage that is not there": [
    torchZip(pickle.dict(pickle.text("w"), pickle.tensor(storage, 0, [4], [1]))),
    /storage "0" is not in its archive/,
  ],
  "a storage of another size": [oneTensor(four, { count: 5 }), /has 16 bytes, and its tensors take 20/],
  "a storage of another dtype": [oneTensor(four, { kind: "DoubleStorage" }), /has 16 bytes, and its tensors take 32/],
  "a storage of 2^50 elements": [oneTensor(four, { count: 2 ** 50 }), /its tensors take/],
  "an offset beyond the storage": [oneTensor(four, { offset: 1 }), /reaches beyond its storage of 16 bytes/],
  "a shape beyond the storage": [oneTensor(four, { shape: [5] }), /reaches beyond/],
  "strides beyond the storage": [oneTensor(four, { shape: [2, 2], strides: [3, 1] }), /reaches beyond/],
  "negative strides": [oneTensor(four, { strides: [-1] }), /not a tuple of whole numbers/],
  "a shape whose product is huge": [oneTensor(four, { shape: [2 ** 40, 2 ** 40], strides: [0, 0] }), /would expand/],
  "a tensor that expands to 2 TB": [oneTensor(four, { shape: [2 ** 39, 1], strides: [0, 1] }), /would expand/],
  "fewer strides than axes": [oneTensor(four, { shape: [2, 2] }), /2 axes and 1 strides/],
  "two sizes of one storage": [
    torchZip(
      pickle.dict(
        pickle.text("a"),
        pickle.tensor(storage, 0, [4], [1]),
        pickle.text("b"),
        pickle.tensor(pickle.storage("FloatStorage", "0", 2), 0, [2], [1]),
      ),
      { 0: new Uint8Array(16) },
    ),
    /16 bytes for one tensor, 8 for another/,
  ],
  "one name twice": [
    torchZip(
      pickle.dict(
        pickle.text("a.b"),
        pickle.tensor(storage, 0, [4], [1]),
        pickle.text("a"),
        pickle.dict(pickle.text("b"), pickle.tensor(storage, 0, [4], [1])),
      ),
      { 0: new Uint8Array(16) },
    ),
    /a\.b stands twice/,
  ],
  "an unknown byte order": [torchZip("}", {}, { byteorder: "middle" }), /byte order is "middle"/],
  "a TorchScript program": [torchZip("}", {}, { "constants.pkl": "x" }), /TorchScript/],
};

for (const [lie, [file, says]] of Object.entries(LIES)) {
  Deno.test(`openTorchFile() refuses ${lie}`, async () => {
    await assert.rejects(open(file), (error) => {
      assert.ok(error instanceof WeightsError, String(error));
      assert.match(error.message, /lie\.pth/);
      assert.match(error.message, says);
      assert.ok(error.message.length < 700);
      return true;
    });
  });
}

Deno.test("openTorchFile() refuses a legacy file wherever it is cut off", async () => {
  const file = await readBytes(golden("torch/strides_legacy.pth"));
  for (let length = 0; length < file.length; length += 13) {
    await assert.rejects(open(file.slice(0, length)), WeightsError);
  }
});

Deno.test("openTorchFile() closes its source when the file is wrong, and when it is disposed", async () => {
  for (const file of [new Uint8Array(3), oneTensor(four)]) {
    let closed = 0;
    const source = { ...bytesOf("closing", file), close: () => void closed++ };
    await openTorchFile(source).then((weights) => weights[Symbol.dispose](), () => {});
    assert.equal(closed, 1);
  }
  const source = await openBytes(golden("torch/list.pth"));
  (await openTorchFile(source))[Symbol.dispose]();
  await assert.rejects(source.read(0, 1), /closed before/);
});
