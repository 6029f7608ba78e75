import assert from "node:assert/strict";
import { parsePythonJson } from "../../src/io/python_json.ts";

Deno.test("parsePythonJson() reads what JSON.parse reads", () => {
  const text = '{ "a": [1, -2.5e3, null, true], "b": "NaN, -Infinity and \\"Infinity\\"", "__proto__": 1 }';
  assert.deepEqual(parsePythonJson(text), JSON.parse(text));
});

Deno.test("parsePythonJson() reads the numbers that JSON lacks", () => {
  assert.deepEqual(parsePythonJson('{"a":-Infinity,"b":[Infinity, NaN]}'), { a: -Infinity, b: [Infinity, NaN] });
  assert.equal(parsePythonJson(" -Infinity "), -Infinity);
});

Deno.test("parsePythonJson() leaves the words alone inside strings", () => {
  const text = String
    .raw`{ "NaN": "-Infinity", "#": "a \" NaN \\", "##NaN": "###Infinity", "x": NaN, "y": "\n\u0041" }`;
  assert.deepEqual(parsePythonJson(text), {
    NaN: "-Infinity",
    "#": 'a " NaN \\',
    "##NaN": "###Infinity",
    x: NaN,
    y: "\nA",
  });
});

Deno.test("parsePythonJson() throws a SyntaxError when the text is neither", () => {
  const texts = [
    "",
    "{",
    "[1,]",
    "-NaN",
    "--Infinity",
    "+Infinity",
    "Infinity1",
    "aNaN",
    "[NaN NaN]",
    '"NaN',
    "{NaN: 1}x",
  ];
  for (const text of texts) assert.throws(() => parsePythonJson(text), SyntaxError, text);
});
