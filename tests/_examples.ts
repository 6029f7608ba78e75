// What is loaded before the examples of docstrings are run as tests: an assertion that fails is an error there, not a line on the console.

console.assert = (holds?: boolean, ...said: unknown[]) => {
  if (!holds) throw new Error(`the example's assertion does not hold ${said.join(" ")}`.trimEnd());
};
