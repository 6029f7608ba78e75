export function race(..._a: unknown[]) {
  return Promise.resolve();
}
